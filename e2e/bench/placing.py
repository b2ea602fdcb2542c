"""Figures of placement: what an independent pilot found of the baselines, and how far a cycle is from the optimum."""

from berth.sim.engine import run
from berth.sim.quality import measure
from berth.sim.scenario import cases
from berth.sim.scenario.cases import Changes
from e2e.bench.figures import Figure, bench
from e2e.bench.simulator import LINGJUN, crossing
from e2e.ground.progress import Progress

_PILOT = {0.60: {"tree-best-fit": 1.8, "random": 64.0, "name-order": 64.0}, 0.85: {"tree-best-fit": 6.9}}
"""Pairs of a gang's hosts under different spines, in per cent, by load and policy: what the pilot published."""
_SEEDS, _BATCHES = 5, 60


@bench("pilot_060")
def pilot_060(progress: Progress) -> Figure:
    """Tree best fit, random and name order at load 0.60."""
    return _pilot("pilot_060", 0.60, progress)


@bench("pilot_085")
def pilot_085(progress: Progress) -> Figure:
    """Tree best fit at load 0.85."""
    return _pilot("pilot_085", 0.85, progress)


def _pilot(name: str, load: float, progress: Progress) -> Figure:
    expected = _PILOT[load]
    found: dict[str, list[float]] = {policy: [] for policy in expected}
    ready = cases.load(LINGJUN, Changes(policies=tuple(expected), loads=(load,), seeds=_SEEDS))
    for setting in ready.settings():
        progress.begin(name, f"{setting.policy}, seed {setting.seed}")
        case = ready.case(setting)
        found[setting.policy].append(round(100 * crossing(measure(run(case), case)), 2))
        progress.end(f"{setting.policy}, seed {setting.seed}: {found[setting.policy][-1]} %")
    means = {policy: round(sum(values) / len(values), 2) for policy, values in found.items()}
    return Figure(
        name=name,
        value=means["tree-best-fit"],
        unit="%",
        goal=f"within one point of the pilot's {expected['tree-best-fit']}",
        conditions={
            "what": "pairs of a gang's hosts under different spines, weighted by device-hours, tree best fit",
            "scenario": LINGJUN.name,
            "load": load,
            "seeds": _SEEDS,
            "by_seed": found,
            "means": means,
            "pilot": expected,
        },
    )


@bench("referee")
def referee(progress: Progress) -> Figure:
    """The cycle's placement of small batches against the exact optimum, one after the other and together."""
    from tests.optimum import above  # the solver is loaded by nobody else

    shares = {}
    for way, batched in (("together", True), ("one after the other", False)):
        progress.begin("referee", f"{_BATCHES} batches, {way}")
        shares[way] = above(range(_BATCHES), batched=batched)
        progress.end(f"{len(shares[way])} batches, {way}")
    means = {way: round(100 * sum(share for share, _ in found) / len(found), 2) for way, found in shares.items()}
    worst = {way: {"above": round(100 * max(found)[0], 1), "seed": max(found)[1]} for way, found in shares.items()}
    return Figure(
        name="referee",
        value=means["together"],
        unit="%",
        goal="at most 2 % above the optimum on average",
        conditions={
            "what": "leaves used + 10 x spines used, summed over a batch of up to 10 gangs, at most 32 leaves",
            "solver": "CP-SAT, proven optimal",
            "batches": len(shares["together"]),
            "seeds": f"0 to {_BATCHES - 1}, those with one gang left out",
            "mean_above": means,
            "worst": worst,
        },
    )
