"""Figures in words, the same in the terminal and on the page: estimates with their intervals, caveats of a setting."""

from collections.abc import Iterable, Sequence

from berth.sim.comparison import Figure, Setting
from berth.sim.measures.intervals import Estimate
from berth.sim.quality import Quality
from berth.text import age

NONE = "-"
HOUR = 3_600


def mean_of(figure: Figure | None) -> Estimate | None:
    """Its mean, if the figure is there."""
    return None if figure is None else figure.mean


def percent(found: Estimate | None) -> str:
    """A share: `1.80 ±0.12`, without the sign; the interval left out of a single seed."""
    return number(found, 100, 2)


def number(found: Estimate | None, factor: float = 1, digits: int = 2) -> str:
    """An estimate with so many digits."""
    if found is None:
        return NONE
    margin = "" if found.margin is None else f" ±{found.margin * factor:,.{digits}f}"
    return f"{found.value * factor:,.{digits}f}{margin}"


def span(found: Estimate | None) -> str:
    """An estimate of seconds: `12m ±90s`."""
    if found is None:
        return NONE
    margin = "" if found.margin is None else f" ±{age(round(found.margin))}"
    return f"{age(round(found.value))}{margin}"


def title(setting: Setting) -> str:
    """The scenario and its load."""
    return setting.case if setting.load is None else f"{setting.case}, load {setting.load:g}"


def listed(seeds: Sequence[int]) -> str:
    """Seeds: `seed 4`, `5 seeds (1 to 5)`, `3 seeds (1, 4, 7)`."""
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    row = list(range(seeds[0], seeds[0] + len(seeds)))
    told = f"{seeds[0]} to {seeds[-1]}" if row == list(seeds) and len(seeds) > 2 else ", ".join(map(str, seeds))
    return f"{len(seeds)} seeds ({told})"


def counted(setting: Setting, qualities: Iterable[Quality]) -> str:
    """How many jobs and seeds the figures are of."""
    mine = [q for q in qualities if setting.counts(q)]
    tasks = {q.jobs.tasks for q in mine}
    warm_up = max(q.jobs.warm_up for q in mine)
    seeds = sorted({q.seed for q in mine})
    jobs = f"{min(tasks):,}" if len(tasks) == 1 else f"{min(tasks):,} to {max(tasks):,}"
    left = f", the first {warm_up:,} in no figure about jobs" if warm_up else ""
    return f"{jobs} job{'' if tasks == {1} else 's'} a run{left}; {listed(seeds)}"


def caveats(setting: Setting, qualities: Iterable[Quality]) -> list[str]:
    """What a reader must know before the figures: interrupted runs, jobs that never started, seeds that are missing."""
    found = [
        f"partial: {q.policy}, seed {q.seed}, interrupted at {age(q.end)}: "
        + ("its figures are of what had happened by then" if setting.counts(q) else "left out, as others are whole")
        for q in qualities
        if q.partial and setting.has(q)
    ]
    found += [
        f"{standing.policy}: jobs that had not started when their run ended: {standing.unstarted:,}; "
        "they count with their wait by then, so its waits are lower bounds"
        for standing in setting.standings
        if standing.unstarted
    ]
    seeds = {seed for standing in setting.standings for seed in standing.seeds}
    found += [
        f"{standing.policy}: ran on {listed(standing.seeds)} only; ratios are of the seeds that it shares"
        for standing in setting.standings
        if set(standing.seeds) != seeds
    ]
    if len(seeds) == 1:
        found.append("one seed: no interval can be told, so small differences may be luck")
    return found
