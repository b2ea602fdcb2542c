"""How long jobs wait and take, by size class and tenant; and against private clusters, job by job.

Quantiles are those of a job: the wait that so many of the jobs had at most (nearest rank), no value between two jobs.
A job that had not started when the run ended counts with the wait that it had by then: figures with such jobs are lower
bounds, and say how many there are.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TypeVar

from berth.core.model import JobKey
from berth.sim.record import Life, Run

N = TypeVar("N", int, float)

_BOUNDS = (1, 2, 8, 16, 64, 256)
CLASSES = ("1", "2-7", "8-15", "16-63", "64-255", "256+")
"""Size classes by the devices of the whole gang."""
BOUND = 60
"""Seconds that a job counts as having worked at least, where its slowdown is told."""
LONGER = 600
"""A job that waits more seconds than this longer than on a private cluster is worse off."""


def size_class(devices: int) -> str:
    """The class of a gang with so many devices, one or more."""
    return CLASSES[sum(devices >= bound for bound in _BOUNDS) - 1]


def quantile(ordered: Sequence[N], share: float) -> N:
    """The least of these that so large a share of them does not exceed. `ordered`: ascending, one or more."""
    rank = -(-len(ordered) * round(share * 1_000) // 1_000)
    return ordered[max(1, rank) - 1]


@dataclass(frozen=True, slots=True)
class Waits:
    """One group of jobs: `size` and `tenant` name it, and are empty where it is all of them.

    `jobs`: how many were submitted; `unstarted`: of these, not started by the end of the run. Seconds from submission
    to the first start: `mean`, `p50`, `p90`, `p99`, `longest`. Of the `finished` that succeeded: `completion`, mean
    seconds from submission to end, and `slowdown`, mean bounded slowdown. Figures are None where there is no such job.
    """

    size: str
    tenant: str
    jobs: int
    unstarted: int
    finished: int
    mean: float | None
    p50: int | None
    p90: int | None
    p99: int | None
    longest: int | None
    completion: float | None
    slowdown: float | None


def waited(life: Life, end: int) -> int:
    """Seconds from submission to the first start, or to the end of the run."""
    return end - life.task.submit if life.wait is None else life.wait


def slowdown(life: Life) -> float | None:
    """Bounded slowdown: time from submission to end over the work, at least 1, the work taken as `BOUND` at least.

    Source: Feitelson et al., "Theory and Practice in Parallel Job Scheduling" (1997), with their ten seconds made a
    minute, as cycles are half a minute apart.
    """
    if life.finished is None:
        return None
    return max(1.0, (life.finished - life.task.submit) / max(life.task.work, BOUND))


def _group(size: str, tenant: str, lives: list[Life], end: int) -> Waits:
    waits = sorted(waited(life, end) for life in lives)
    done = [life for life in lives if life.outcome == "Succeeded" and life.finished is not None]
    slow = [s for life in done if (s := slowdown(life)) is not None]
    return Waits(
        size=size,
        tenant=tenant,
        jobs=len(lives),
        unstarted=sum(life.wait is None for life in lives),
        finished=len(done),
        mean=fmean(waits) if waits else None,
        p50=quantile(waits, 0.5) if waits else None,
        p90=quantile(waits, 0.9) if waits else None,
        p99=quantile(waits, 0.99) if waits else None,
        longest=waits[-1] if waits else None,
        completion=fmean((life.finished or 0) - life.task.submit for life in done) if done else None,
        slowdown=fmean(slow) if slow else None,
    )


def waits(lives: Iterable[Life], end: int) -> tuple[Waits, ...]:
    """All jobs and each size class of them; where there are several tenants, then each of these and its classes.

    Left out are jobs that had devices when the run began (their wait is not of this run, their work only the rest), and
    those that something else than room held back (`Task.held_back`).
    """
    found: dict[tuple[str, str], list[Life]] = {("", ""): []}
    for life in lives:
        if life.task.held or life.task.held_back:
            continue
        size, tenant = size_class(max(1, life.task.devices)), life.task.tenant
        for key in (("", ""), (size, ""), ("", tenant), (size, tenant)) if tenant else (("", ""), (size, "")):
            found.setdefault(key, []).append(life)
    tenants = {tenant for _, tenant in found}
    rank = {name: i for i, name in enumerate(("", *CLASSES))}
    keys = sorted(found, key=lambda key: (key[1], rank[key[0]]))
    several = len(tenants) > 2
    return tuple(_group(*key, found[key], end) for key in keys if several or not key[1])


@dataclass(frozen=True, slots=True)
class Against:
    """A tenant's jobs on the shared cluster against the same jobs on a private one; `tenant` empty: all of them.

    `longer`: share of the jobs that wait more than `LONGER` seconds longer. `mean` to `p99`: of wait shared - wait
    private, seconds; negative: sharing is faster. `unstarted`: jobs that had not started on one side when it ended.
    """

    tenant: str
    jobs: int
    unstarted: int
    longer: float
    mean: float
    p50: int
    p90: int
    p99: int


def against_private(
    shared: Run, private: Iterable[Run], count: Collection[JobKey] | None = None
) -> tuple[Against, ...]:
    """Compare waits job by job: all tenants, then each. `private`: one run or several, which together have the jobs.

    `count`: only these jobs (those without the warm-up, those within guarantee); None: all. Those that `waits`
    leaves out are left out. Raises ValueError for a job of the shared run that no private one has.
    """
    alone: dict[JobKey, tuple[Life, int]] = {life.task.key: (life, run.end) for run in private for life in run.lives}
    rows: dict[str, list[tuple[int, bool]]] = {}
    for life in shared.lives:
        if life.task.held or life.task.held_back or (count is not None and life.task.key not in count):
            continue
        if life.task.key not in alone:
            raise ValueError(f"wait of {life.task.key} on a private cluster: no private run has this job")
        other, end = alone[life.task.key]
        row = (waited(life, shared.end) - waited(other, end), life.wait is None or other.wait is None)
        for tenant in {"", life.task.tenant}:
            rows.setdefault(tenant, []).append(row)
    return tuple(_against(tenant, rows[tenant]) for tenant in sorted(rows))


def _against(tenant: str, rows: list[tuple[int, bool]]) -> Against:
    ordered = sorted(difference for difference, _ in rows)
    return Against(
        tenant=tenant,
        jobs=len(rows),
        unstarted=sum(unstarted for _, unstarted in rows),
        longer=sum(d > LONGER for d in ordered) / len(ordered),
        mean=fmean(ordered),
        p50=quantile(ordered, 0.5),
        p90=quantile(ordered, 0.9),
        p99=quantile(ordered, 0.99),
    )


def of(groups: Iterable[Waits], size: str = "", tenant: str = "") -> Waits | None:
    """The group of that name."""
    return next((group for group in groups if (group.size, group.tenant) == (size, tenant)), None)


def by_tenant(groups: Iterable[Waits]) -> Mapping[str, Waits]:
    """The groups of whole tenants."""
    return {group.tenant: group for group in groups if group.tenant and not group.size}
