"""Policies side by side over seeds: every figure with its interval, and paired with a baseline's on the same seed.

Runs are compared within a setting: the same scenario at the same load. A policy's runs are paired with the baseline's
by seed, because both then had the same jobs; what is left over is luck of the policy, not of the draw.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from berth.sim.measures import intervals
from berth.sim.measures.intervals import Estimate
from berth.sim.measures.seconds import BUCKETS
from berth.sim.quality import Quality, Result

_Figured = Mapping[int, Mapping[str, float]]
"""Figures by seed and name."""

BASELINE = "tree-best-fit"
"""The policy that others are compared with, where it is among them; else the first one is."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a policy over its seeds; against the baseline's on the same seeds, where both have it.

    `missing`: seeds without it (no such gang, no such job). `own`: it is the baseline's.
    """

    mean: Estimate
    ratio: Estimate | None
    difference: Estimate | None
    missing: int = 0
    own: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """A policy in a setting. `unstarted`: jobs that never started.

    `seeds`: those that count. Whole runs do; where there is none, those that were interrupted, which are `partial` and
    are not compared with others. `left_out`: seeds that were interrupted while others of the policy were not.
    """

    policy: str
    seeds: tuple[int, ...]
    partial: tuple[int, ...]
    left_out: tuple[int, ...]
    unstarted: int
    figures: Mapping[str, Figure]


@dataclass(frozen=True, slots=True)
class Setting:
    """One scenario at one load: its policies in the order in which they were run, and the baseline among them."""

    case: str
    load: float | None
    baseline: str
    standings: tuple[Standing, ...]

    def standing(self, policy: str) -> Standing | None:
        """That of a policy."""
        return next((s for s in self.standings if s.policy == policy), None)

    def has(self, quality: Quality) -> bool:
        """Whether a run is one of its own."""
        return (quality.case, quality.load) == (self.case, self.load)

    def counts(self, quality: Quality) -> bool:
        """Whether figures are made of a run of its own."""
        standing = self.standing(quality.policy)
        return self.has(quality) and standing is not None and quality.seed in standing.seeds


def figures(quality: Quality) -> dict[str, float]:
    """The figures of a run that are compared, by name; those that it does not have are left out.

    Names: `crossing/LEVEL`, `inflation/LEVEL`, `largest/LEVEL`, `fragmentation/LEVEL` (behind `POOL/` where there are
    several pools), `wait/mean` and so on, behind `SIZE/` for a size class and `tenant TENANT/` for a tenant;
    `completion`, `slowdown`, `utilisation`; `share/BUCKET` of all device-seconds.
    """
    found: dict[str, float | None] = {}
    several = len(quality.pools) > 1
    for spread in quality.spreads:
        where = f"{spread.pool}/" if spread.pool and several else ""
        found[f"{where}crossing/{spread.level}"] = spread.crossing
        found[f"{where}inflation/{spread.level}"] = spread.inflation
    for room in quality.rooms:
        where = f"{room.pool}/" if several else ""
        found[f"{where}largest/{room.level}"] = room.largest
        found[f"{where}fragmentation/{room.level}"] = room.fragmentation
    for group in quality.waits:
        if group.size and group.tenant:
            continue
        where = f"{group.size}/" if group.size else f"tenant {group.tenant}/" if group.tenant else ""
        for name in ("mean", "p50", "p90", "p99"):
            found[f"{where}wait/{name}"] = getattr(group, name)
        found[f"{where}completion"] = group.completion
        found[f"{where}slowdown"] = group.slowdown
    found["utilisation"] = quality.utilisation
    total = quality.buckets.total
    for name in BUCKETS:
        found[f"share/{name}"] = getattr(quality.buckets, name) / total if total else None
    return {name: value for name, value in found.items() if value is not None}


def compare(results: Iterable[Result], baseline: str = BASELINE) -> tuple[Setting, ...]:
    """Put results side by side: settings and policies in the order in which they come first.

    Raises ValueError if a policy was run twice on one seed of a setting.
    """
    settings: dict[tuple[str, float | None], dict[str, dict[int, Quality]]] = {}
    for result in results:
        q = result.quality
        seeds = settings.setdefault((q.case, q.load), {}).setdefault(q.policy, {})
        if q.seed in seeds:
            raise ValueError(
                f"{q.case}, {q.policy}: two results for seed {q.seed}; name one of the scenarios otherwise"
            )
        seeds[q.seed] = q
    return tuple(_setting(case, load, policies, baseline) for (case, load), policies in settings.items())


def _setting(case: str, load: float | None, policies: Mapping[str, Mapping[int, Quality]], baseline: str) -> Setting:
    base = baseline if baseline in policies else next(iter(policies))
    kept = {policy: _counting(seeds) for policy, seeds in policies.items()}
    figured = {policy: {seed: figures(q) for seed, q in seeds.items()} for policy, seeds in kept.items()}
    cut = {policy for policy, seeds in kept.items() if any(q.partial for q in seeds.values())}
    standings = [
        Standing(
            policy=policy,
            seeds=tuple(sorted(seeds)),
            partial=tuple(sorted(seeds)) if policy in cut else (),
            left_out=tuple(sorted(policies[policy].keys() - seeds.keys())),
            unstarted=sum(q.jobs.unstarted for q in seeds.values()),
            figures=_figures(figured[policy], {} if cut & {policy, base} and policy != base else figured[base]),
        )
        for policy, seeds in kept.items()
    ]
    return Setting(case, load, base, tuple(standings))


def _counting(seeds: Mapping[int, Quality]) -> Mapping[int, Quality]:
    """The runs that figures are made of: the whole ones, if there are any."""
    return {seed: quality for seed, quality in seeds.items() if not quality.partial} or seeds


def _figures(own: _Figured, base: _Figured) -> dict[str, Figure]:
    names = dict.fromkeys(name for seed in sorted(own) for name in own[seed])
    return {name: _figure(name, own, base) for name in names}


def _figure(name: str, own: _Figured, base: _Figured) -> Figure:
    values = [own[seed][name] for seed in sorted(own) if name in own[seed]]
    pairs = [(own[s][name], base[s][name]) for s in sorted(own) if name in own[s] and name in base.get(s, {})]
    mine, theirs = _split(pairs)
    return Figure(
        mean=intervals.mean(values),
        ratio=intervals.ratio(mine, theirs) if pairs else None,
        difference=intervals.difference(mine, theirs) if pairs else None,
        missing=len(own) - len(values),
        own=own is base,
    )


def _split(pairs: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [mine for mine, _ in pairs], [theirs for _, theirs in pairs]
