"""Figures of the simulator: how wide gangs sit against a baseline's rule in the same run, and how long a replay takes.

Short forms of the scenarios in `scenarios/`: fewer jobs and seeds, so that each takes minutes; `berth simulate` on the
scenario itself gives the whole table with intervals.
"""

import platform
import time
from pathlib import Path

from berth.sim import playing
from berth.sim.engine import run
from berth.sim.playing import Told
from berth.sim.quality import Quality, Result
from berth.sim.scenario import cases
from berth.sim.scenario.cases import Changes, Ready
from e2e.bench.figures import Figure, bench
from e2e.ground.progress import Progress

SCENARIOS = Path(__file__).parents[2] / "scenarios"
LINGJUN = SCENARIOS / "lingjun-kalos.yaml"
BASELINE = "tree-best-fit"
SEEDS = 2


class _Quiet:
    """Nobody follows."""

    def told(self, told: Told) -> None:
        """Nothing."""

    def done(self, number: int) -> None:
        """Nothing."""


def crossing(quality: Quality) -> float:
    """Share of a gang's host pairs under different spines, in one run on one pool."""
    spread = next(one for one in quality.spreads if one.level == "spine")
    assert spread.crossing is not None, "some gang has several hosts"
    return spread.crossing


def _crossings(results: list[Result], policy: str) -> list[float]:
    """The same of a policy's runs, by seed."""
    return [crossing(result.quality) for result in results if result.quality.policy == policy]


def _waits(results: list[Result], policy: str) -> list[float | None]:
    """Mean wait of all jobs, by seed."""
    qualities = [result.quality for result in results if result.quality.policy == policy]
    return [next(w.mean for w in q.waits if not w.size and not w.tenant) for q in qualities]


def _lingjun(name: str, load: float, progress: Progress) -> Figure:
    ready = cases.load(LINGJUN, Changes(("berth", BASELINE), (load,), SEEDS))
    jobs = ready.scenario.workload.draw
    assert jobs is not None, "the scenario is drawn"
    progress.begin(name, f"{jobs.jobs} gangs on 847 hosts, load {load:g}, {SEEDS} seeds, two policies")
    settings = ready.settings()
    results = list(playing.play(ready, settings, processes=1, watcher=_Quiet(), stop=lambda: False, brief=True))
    own, base = _crossings(results, "berth"), _crossings(results, BASELINE)
    value = sum(own) / sum(base)
    progress.end(f"{value:.3f} of {BASELINE}'s")
    return Figure(
        name=name,
        value=round(value, 3),
        unit=f"of {BASELINE}'s pairs under different spines",
        goal="at most 0.6, with mean and p99 wait of every size class no worse",
        conditions={
            "scenario": "scenarios/lingjun-kalos.yaml, in a short form",
            "load": load,
            "queue": ready.scenario.queue,
            "jobs": jobs.jobs,
            "warm_up": ready.scenario.warm_up,
            "seeds": [setting.seed for setting in settings if setting.policy == "berth"],
            "crossing_berth": [round(one, 4) for one in own],
            f"crossing_{BASELINE}": [round(one, 4) for one in base],
            "mean_wait_berth_s": _waits(results, "berth"),
            f"mean_wait_{BASELINE}_s": _waits(results, BASELINE),
            "weight": "device-hours",
        },
    )


@bench("lingjun_060")
def lingjun_060(progress: Progress) -> Figure:
    """Pairs under different spines at load 0.60, against tree best fit in the same run."""
    return _lingjun("lingjun_060", 0.60, progress)


@bench("lingjun_085")
def lingjun_085(progress: Progress) -> Figure:
    """The same at load 0.85."""
    return _lingjun("lingjun_085", 0.85, progress)


@bench("itp_replay")
def itp_replay(progress: Progress) -> Figure:
    """Seconds of the processor for two months of ten clusters under Berth's own rules, and under a baseline's."""
    ready = cases.load(SCENARIOS / "itp.yaml", Changes(("berth", BASELINE), (0.83,), 1))
    progress.begin("itp_replay", f"{len(ready.rows)} jobs on 168 hosts")
    seconds = {setting.policy: _seconds(ready, number) for number, setting in enumerate(ready.settings())}
    progress.end(f"{seconds['berth']:.1f} s")
    return Figure(
        name="itp_replay",
        value=round(seconds["berth"], 1),
        unit="s",
        goal="at most 60 s on one core",
        conditions={
            "scenario": "scenarios/itp.yaml at load 0.83",
            "jobs": len(ready.rows),
            "queue": ready.scenario.queue,
            "durations": ready.scenario.knowledge.durations,
            "every_s": ready.scenario.every,
            f"{BASELINE}_s": round(seconds[BASELINE], 1),
            "clock": "processor time, reading the trace and measuring left out",
            "runs": 1,
            "python": platform.python_version(),
        },
    )


def _seconds(ready: Ready, number: int) -> float:
    case = ready.case(ready.settings()[number])
    with playing.uncollected():
        began = time.process_time()
        run(case)
        return time.process_time() - began
