"""How good a run was: every measure of `docs/reference/metrics-of-quality.md`, from its record and its case alone."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from berth.sim.case import Case
from berth.sim.measures import ground, room, seconds, spread, waits
from berth.sim.measures.series import Parts, Steps
from berth.sim.record import Life, Run


@dataclass(frozen=True, slots=True)
class Jobs:
    """What became of the jobs. `tasks`: of the case; `warm_up`: of these, left out of all figures about jobs.

    `unsubmitted`: the run ended before they came. The others are `counted`: `unstarted` at the end of the run,
    `running`, ended well or failed, or without devices after an attempt (`requeued`). `attempts`: of them all.
    """

    tasks: int
    warm_up: int
    unsubmitted: int
    counted: int
    unstarted: int
    running: int
    requeued: int
    succeeded: int
    failed: int
    attempts: int


@dataclass(frozen=True, slots=True)
class Use:
    """A tenant in a pool, or all of the pool (`tenant` empty). `utilisation`: share of the pool's device-seconds held.

    `utilisation` and `working` (only useful work and its slowing) are over the window and over the whole run.
    `series`: devices held, means over the parts of the run.
    """

    pool: str
    tenant: str
    devices: int
    utilisation: float
    working: float
    buckets: seconds.Buckets
    series: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Quality:
    """All figures of one run. Times in seconds, `window` and `edges` from its start; shares from 0 to 1.

    `window`: the time over which utilisation, largest placeable and fragmentation are means. `edges`: of the parts of
    the run that series are told by. `waiting`: devices that those who waited asked for, means over the parts.
    `reasons`: of the jobs that had not started by the end, how many had been refused last for which reason.
    """

    case: str
    policy: str
    seed: int
    load: float | None
    partial: bool
    end: int
    cycles: int
    window: tuple[int, int]
    jobs: Jobs
    waits: tuple[waits.Waits, ...]
    spreads: tuple[spread.Spread, ...]
    rooms: tuple[room.Room, ...]
    pools: tuple[Use, ...]
    tenants: tuple[Use, ...]
    losses: tuple[seconds.Loss, ...]
    reasons: tuple[tuple[str, int], ...]
    edges: tuple[int, ...]
    waiting: tuple[float, ...]

    @property
    def buckets(self) -> seconds.Buckets:
        """Device-seconds of all pools."""
        return sum((use.buckets for use in self.pools), seconds.Buckets())

    @property
    def utilisation(self) -> float | None:
        """Share of all pools' device-seconds that was held in the window; None without devices."""
        devices = sum(use.devices for use in self.pools)
        return sum(use.utilisation * use.devices for use in self.pools) / devices if devices else None

    def wire(self) -> dict[str, Any]:
        """The same as plain values for JSON."""
        return asdict(self)


class Result(NamedTuple):
    """A run, what it was run on, and how good it was."""

    case: Case
    run: Run
    quality: Quality


def measure(run: Run, case: Case) -> Quality:
    """Compute every figure of a run.

    Raises ValueError, which names the record's place, if the run is not one of this case or contradicts itself.
    """
    ground.check(case, run)
    pools, lives = ground.grounds(case), ground.counted(case, run)
    span, parts = ground.window(case, run), Parts.of(run.end)
    down = seconds.outages(run, pools)
    return Quality(
        case=run.case,
        policy=run.policy,
        seed=run.seed,
        load=run.load,
        partial=run.partial,
        end=run.end,
        cycles=run.cycles,
        window=span,
        jobs=_jobs(case, run, lives),
        waits=waits.waits(lives, run.end),
        spreads=spread.spreads(lives, pools),
        rooms=room.rooms(run, pools, down, span, parts),
        pools=tuple(_pools(run, pools, down, span, parts)),
        tenants=tuple(_tenants(run, pools, span, parts)),
        losses=seconds.losses(run),
        reasons=_reasons(lives),
        edges=parts.edges,
        waiting=_waiting(run, parts),
    )


def _jobs(case: Case, run: Run, lives: list[Life]) -> Jobs:
    outcomes = Counter(_state(life, run.end) for life in lives)
    warm_up = min(case.warm_up, len(case.tasks))
    return Jobs(
        tasks=len(case.tasks),
        warm_up=warm_up,
        unsubmitted=len(case.tasks) - warm_up - len(lives),
        counted=len(lives),
        unstarted=outcomes["unstarted"],
        running=outcomes["running"],
        requeued=outcomes["requeued"],
        succeeded=outcomes["Succeeded"],
        failed=outcomes["Failed"],
        attempts=sum(len(life.stints) for life in lives),
    )


def _state(life: Life, end: int) -> str:
    if life.finished is not None:
        return life.outcome
    if not life.stints:
        return "unstarted"
    return "running" if life.stints[-1].end == end and not life.stints[-1].cause else "requeued"


def _reasons(lives: Iterable[Life]) -> tuple[tuple[str, int], ...]:
    found = Counter(life.waiting or "not tried yet" for life in lives if not life.stints and life.finished is None)
    return tuple(sorted(found.items()))


_Sums = dict[tuple[str, str], int]


def _pools(
    run: Run, pools: Mapping[str, ground.Ground], down: seconds.Outages, span: tuple[int, int], parts: Parts
) -> Iterable[Use]:
    buckets = seconds.by_pool(run, pools, down)
    inside, series = _held(run, span, parts, by_tenant=False)
    for name, place in pools.items():
        yield _use(place, "", buckets[name], inside.get((name, ""), 0), series.get((name, "")), span, parts, run.end)


def _tenants(run: Run, pools: Mapping[str, ground.Ground], span: tuple[int, int], parts: Parts) -> Iterable[Use]:
    buckets = seconds.by_tenant(run)
    inside, series = _held(run, span, parts, by_tenant=True)
    for key in sorted(series):
        pool, tenant = key
        yield _use(pools[pool], tenant, buckets[key], inside[key], series[key], span, parts, run.end)


def _held(
    run: Run, span: tuple[int, int], parts: Parts, *, by_tenant: bool
) -> tuple[_Sums, dict[tuple[str, str], Steps]]:
    """Device-seconds held in the window, and devices held over time, by pool and tenant."""
    inside: _Sums = {}
    series: dict[tuple[str, str], Steps] = {}
    for life, stint in ground.stints(run):
        key = (stint.pool, life.task.tenant if by_tenant else "")
        devices = ground.held(life, stint)
        overlap = max(0, min(stint.end, span[1]) - max(stint.start, span[0]))
        inside[key] = inside.get(key, 0) + devices * overlap
        series.setdefault(key, Steps(parts)).add(stint.start, stint.end, devices)
    return inside, series


def _use(
    place: ground.Ground,
    tenant: str,
    buckets: seconds.Buckets,
    inside: int,
    series: Steps | None,
    span: tuple[int, int],
    parts: Parts,
    end: int,
) -> Use:
    window, whole = place.capacity * (span[1] - span[0]), place.capacity * end
    return Use(
        pool=place.fleet.name,
        tenant=tenant,
        devices=place.capacity,
        utilisation=inside / window if window else 0.0,
        working=(buckets.useful + buckets.slowed) / whole if whole else 0.0,
        buckets=buckets,
        series=(series or Steps(parts)).means(),
    )


def _waiting(run: Run, parts: Parts) -> tuple[float, ...]:
    """Devices that jobs asked for that had none: before the first start, and between attempts."""
    steps = Steps(parts)
    for life in run.lives:
        since = life.task.submit
        for stint in life.stints:
            steps.add(since, stint.start, life.task.devices)
            since = stint.end
        if life.finished is None and not (life.stints and not life.stints[-1].cause):
            steps.add(since, run.end, life.task.devices)
    return steps.means()
