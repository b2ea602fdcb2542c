"""The future of some pools: which gangs end when, and what is kept for whom from when on.

It is one set of ledgers that is moved through time. What runs now only ends, so all nodes but those of reservations are
brought from one time to another by the ends between the two, and room once found beside everything stays there.
"""

from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from berth.core.admission import Berth, Find, Pool, Stay, Takes, candidates, find, holds_it_empty
from berth.core.layout import UNKNOWN, union
from berth.core.model import Gang, Job, JobKey, Placement, Record
from berth.core.slots import Ledger

STOPPING_SECONDS = 60
"""A gang that is being stopped is expected to be gone within so many seconds."""
_FOREVER = 1 << 62
_NEAR = 16
"""Next ends after each of which a gang is tried between reservations. Beyond, it is tried only beside all that have
not ended by then: a place may be found later than it could be, never in anybody's way."""


@dataclass(frozen=True, slots=True)
class Backfill:
    """What the operator's settings say: for how many gangs of each pool a place is kept; none: whoever fits may start.

    `assumed`: seconds for which a gang is expected to run that does not say it (no `maxDuration`). `patience`: percent
    of its own run for which a gang waits rather than have all its replicas apart (`core.patience`); 0: it never does.
    """

    depth: int = 8
    assumed: int = 86_400
    patience: int = 20


DEFAULT = Backfill()


@dataclass(frozen=True, slots=True, eq=False)
class Reservation:
    """The place of a gang that waits, from `start` to `end`.

    `guessed`: how many of the gangs whose end it waits for there did not say how long they take.
    """

    key: JobKey
    gang: Gang
    berth: Berth
    start: int
    end: int
    takes: Takes
    guessed: int = 0


def lasts(job: Job, settings: Backfill) -> int:
    """Seconds for which a job would hold its devices if it started now."""
    return settings.assumed if job.max_duration is None else max(1, job.max_duration - job.record.held)


def expected_end(job: Job, placement: Placement, now: int, settings: Backfill) -> int:
    """When a placed job is expected to give its devices back; always to come.

    A gang without `maxDuration` that outlives what is assumed is expected to take a quarter of that more, again and
    again.
    """
    if job.record.ending is not None or job.deleting:
        return now + STOPPING_SECONDS
    end = placement.admitted_at + lasts(job, settings)
    if end > now:
        return end
    if job.max_duration is not None:
        return now + STOPPING_SECONDS
    quarter = max(STOPPING_SECONDS, settings.assumed // 4)
    return end + quarter * ((now - end) // quarter + 1)


def stays(
    jobs: Iterable[Job], pools: Mapping[str, Pool], now: int, settings: Backfill, decided: Mapping[JobKey, Record]
) -> list[Stay]:
    """All gangs that hold devices, by expected end. `decided`: the records that jobs will have after this cycle."""
    found = []
    for job in jobs:
        after = decided.get(job.key, job.record)
        before = job.giving_back or job.record.holds
        if before is not None and after.holds is not None and after.attempt == job.record.attempt:
            believed = job if after is job.record else replace(job, record=after)
            end = expected_end(believed, before, now, settings)
            found.append(_stay(job, before, pools, end))
            continue
        if before is not None:
            found.append(_stay(job, before, pools, now + 1))
        if after.holds is not None:  # it goes on with the next attempt; what it keeps is counted where it is now
            stay = _stay(replace(job, claims={}), after.holds, pools, now + lasts(replace(job, record=after), settings))
            found = [*found[:-1], *_without(found[-1:], stay), stay]
    return sorted((stay for stay in found if stay.takes), key=lambda stay: (stay.end, stay.key))


def _stay(job: Job, placement: Placement, pools: Mapping[str, Pool], end: int) -> Stay:
    """What a placement takes: as its claims say, or else what its gang asks for."""
    pool = pools.get(placement.pool)
    if pool is None:
        return Stay(end, job.key, placement.pool, ())
    position = pool.ledger.tree.position
    claims: Mapping[str, Iterable[tuple[str, int]]] = job.claims
    if not claims:
        each = pool.demand(job.gang).requests
        counts = Counter(placement.nodes)
        claims = {name: [(what, n * replicas) for what, n in each] for name, replicas in counts.items()}
    masks: dict[str, int] = {}
    for name, mask in zip(placement.nodes, placement.devices, strict=False):
        masks[name] = masks.get(name, 0) | mask
    taken = sorted(
        ((position[name], dict(claim), masks.get(name, 0)) for name, claim in claims.items() if name in position),
        key=lambda take: take[0],
    )
    return Stay(end, job.key, pool.name, tuple(taken), job.max_duration is None)


def _without(former: list[Stay], now: Stay) -> list[Stay]:
    """What a gang leaves behind as it goes on: the nodes on which it no longer is."""
    kept = {position for position, *_ in now.takes}
    return [replace(stay, takes=tuple(take for take in stay.takes if take[0] not in kept)) for stay in former]


class Future:
    """What will be taken when, as far as is known now. Asking moves it through time; what it says stays the same."""

    def __init__(self, pools: Mapping[str, Pool], staying: list[Stay], now: int, *, find: Find = find) -> None:
        self.now = now
        self._find = find
        self.reservations: list[Reservation] = []
        self._pools = {name: replace(pool, ledger=pool.ledger.fork()) for name, pool in pools.items()}
        self._taken = {name: list(pool.ledger.used) for name, pool in pools.items()}  # now
        self._held = {name: list(pool.ledger.held) for name, pool in pools.items()}
        self._staying = list(staying)
        self._on: dict[tuple[str, int], list[tuple[int, Mapping[str, int], int]]] = {}
        for stay in staying:
            for position, amounts, mask in stay.takes:
                self._on.setdefault((stay.pool, position), []).append((stay.end, amounts, mask))
        self._freed: dict[str, tuple[list[int], list[int]]] = {}  # by pool: times, devices free from each on
        self._since: list[tuple[Stay, int]] = []  # who started since that was counted, and with how many devices
        self._at = now
        self._shown: dict[Reservation, bool] = {}  # reservations that the ledgers show, and whether they are to come
        self._last: dict[str, Pool] | None = None

    def place(self, gang: Gang, at: int, until: int) -> Berth | None:
        """Find room for a gang that will be there, beside all reservations, at any moment from `at` to `until`."""
        self._show(at, until)
        return self._find(gang, self._pools)

    def earliest(
        self, key: JobKey, gang: Gang, seconds: int, latest: int = _FOREVER, *, since: int = 0
    ) -> Reservation | None:
        """The first time after now, from `since` to `latest`, at which a gang finds room for so long, and the place.

        None if there is no such time.
        """
        if not any(holds_it_empty(gang, pool) for pool in candidates(gang, self._pools)):
            return None
        times = sorted({stay.end for stay in self._staying} | {r.end for r in self.reservations})
        times = times[bisect_left(times, since) : bisect_right(times, latest)]
        for at in times[:_NEAR]:
            berth = self.place(gang, at, at + seconds) if self._may_fit(gang, at) else None
            if berth is not None:
                return self._reservation(key, gang, berth, at, seconds)
        if len(times) <= _NEAR or self._find(gang, self._in_the_end()) is None:
            return None
        # From here on what is in the way only goes: gallop, then bisect.
        refused, found, step = _NEAR - 1, None, 1
        while found is None or found - refused > 1:
            at = min(refused + step, len(times) - 1) if found is None else (refused + found) // 2
            if at <= refused:
                return None
            if self._may_fit(gang, times[at]) and self.place(gang, times[at], _FOREVER) is not None:
                found = at
            else:
                refused, step = at, 2 * step
        berth = self.place(gang, times[found], _FOREVER)
        assert berth is not None, "room was there when it was asked for before"
        return self._reservation(key, gang, berth, times[found], seconds)

    def _may_fit(self, gang: Gang, at: int) -> bool:
        """Whether some pool of a gang has as many devices free at a time as it needs, wherever they are."""
        wanted = gang.replicas * gang.devices
        return any(self._free(pool, at) >= wanted for pool in candidates(gang, self._pools))

    def _free(self, pool: Pool, at: int) -> int:
        """Devices that are free in a pool at a time, beside reservations; those of closed nodes count as well."""
        times, free = self._freed.get(pool.name) or self._count_free(pool)
        reserved = sum(
            reservation.gang.replicas * reservation.gang.devices
            for reservation in self.reservations
            if reservation.start <= at < reservation.end and reservation.berth.pool.name == pool.name
        )
        started = sum(devices for stay, devices in self._since if stay.end > at and stay.pool == pool.name)
        return free[bisect_right(times, at) - 1] - reserved - started

    def _count_free(self, pool: Pool) -> tuple[list[int], list[int]]:
        """Devices that are free in a pool from each end on, beside those who have started since."""
        name = pool.resource
        since = {id(stay) for stay, _ in self._since}
        before = [stay for stay in self._staying if stay.pool == pool.name and id(stay) not in since]
        free = 0
        for node, used in zip(pool.ledger.nodes, self._taken[pool.name], strict=True):
            # A node may have fewer than are taken of it for a moment; what it lacks is not lacking elsewhere.
            free += max(0, node.allocatable.get(name, 0) - used.get(name, 0))
        free += sum(devices for stay, devices in self._since if stay.pool == pool.name)
        times, sums = [self.now], [free]
        for stay in before:
            free += self._devices(stay)
            times.append(stay.end)
            sums.append(free)
        self._freed[pool.name] = times, sums
        return times, sums

    def _devices(self, stay: Stay) -> int:
        """How many devices a gang holds."""
        name = self._pools[stay.pool].resource
        return sum(amounts.get(name, 0) for _, amounts, _ in stay.takes)

    def start(self, stay: Stay) -> None:
        """A gang starts now: it is there until its expected end."""
        self._since.append((stay, self._devices(stay)))
        insort(self._staying, stay, key=lambda s: (s.end, s.key))
        held = self._held[stay.pool]
        for position, amounts, mask in stay.takes:
            taken = Counter(self._taken[stay.pool][position])
            taken.update(amounts)
            self._taken[stay.pool][position] = taken
            if held:
                held[position] |= mask
            self._on.setdefault((stay.pool, position), []).append((stay.end, amounts, mask))
        self._bring((stay.pool, position) for position, *_ in stay.takes)

    def withdraw(self, stay: Stay) -> None:
        """Take a start back."""
        self._staying.remove(stay)
        counted = all(other is not stay for other, _ in self._since)
        if counted:
            self._freed.clear()
        self._since = [(other, devices) for other, devices in self._since if other is not stay]
        held = self._held[stay.pool]
        for position, amounts, mask in stay.takes:
            taken = Counter(self._taken[stay.pool][position])
            taken.subtract(amounts)
            self._taken[stay.pool][position] = taken
            if held:
                held[position] &= ~mask
            self._on[stay.pool, position].remove((stay.end, amounts, mask))
        self._bring((stay.pool, position) for position, *_ in stay.takes)

    def rearranged(self) -> list[Reservation] | None:
        """The reservations made anew, one after the other; None if one of them would begin later than it does."""
        before, self.reservations = self.reservations, []
        try:
            for former in before:
                found = self.earliest(former.key, former.gang, former.end - former.start, former.start)
                if found is None:
                    return None
                self.reservations.append(found)
            return self.reservations
        finally:
            self.reservations = before

    def ends(self, pool: str, positions: range) -> Iterator[Stay]:
        """Gangs that hold something on some nodes of a pool, by expected end."""
        for stay in self._staying:
            if stay.pool == pool and any(position in positions for position, *_ in stay.takes):
                yield stay

    def _reservation(self, key: JobKey, gang: Gang, berth: Berth, at: int, seconds: int) -> Reservation:
        taken = takes(berth)
        places = {position for position, *_ in taken}
        before = [
            stay
            for stay in self._staying
            if stay.end <= at
            and stay.pool == berth.pool.name
            and any(position in places for position, *_ in stay.takes)
        ]
        return Reservation(
            key=key,
            gang=gang,
            berth=berth,
            start=at,
            end=at + seconds,
            takes=taken,
            guessed=sum(stay.guessed for stay in before),
        )

    def _in_the_end(self) -> dict[str, Pool]:
        """The pools once all gangs of now have ended."""
        if self._last is None:
            self._last = {}
            for name, pool in self._pools.items():
                nodes = range(len(pool.ledger.nodes))
                ledger = Ledger(
                    pool.ledger.tree,
                    pool.ledger.nodes,
                    [self._used((name, position), _FOREVER) for position in nodes],
                    numbering=pool.ledger.numbering,
                    held=[self._mask((name, position), _FOREVER) for position in nodes],
                )
                self._last[name] = replace(pool, ledger=ledger)
        return self._last

    def _show(self, at: int, until: int) -> None:
        """Have the ledgers show, for each node, the most that is taken at any moment from `at` to `until`."""
        low, high = sorted((self._at, at))
        first, last = (bisect_right(self._staying, time, key=lambda stay: stay.end) for time in (low, high))
        nodes = {(stay.pool, position) for stay in self._staying[first:last] for position, *_ in stay.takes}
        shown = {r: r.start > at for r in self.reservations if r.end > at and r.start < until}
        for reservation in shown.keys() | self._shown.keys():
            if shown.get(reservation) is not self._shown.get(reservation):
                nodes.update((reservation.berth.pool.name, position) for position, *_ in reservation.takes)
        self._at, self._shown = at, shown
        self._bring(nodes)

    def _bring(self, nodes: Iterable[tuple[str, int]]) -> None:
        """Bring nodes up to date with what is to be shown."""
        reserved: dict[tuple[str, int], list[tuple[Reservation, Mapping[str, int], int]]] = {}
        for reservation in self._shown:
            for position, amounts, mask in reservation.takes:
                reserved.setdefault((reservation.berth.pool.name, position), []).append((reservation, amounts, mask))
        for node in sorted(nodes):
            there = reserved.get(node)
            used = self._most(node, there) if there else self._used(node, self._at)
            held = self._mask(node, self._at)
            for _, _, mask in there or ():
                held |= mask
            ledger = self._pools[node[0]].ledger
            if ledger.used[node[1]] != used or (ledger.numbering is not None and ledger.held[node[1]] != held):
                ledger.set_used(node[1], used, held)

    def _most(
        self, node: tuple[str, int], reserved: list[tuple[Reservation, Mapping[str, int], int]]
    ) -> Mapping[str, int]:
        """The most that is taken of each resource: what is there falls, so the starts of reservations decide."""
        most: dict[str, int] = {}
        for time in {max(self._at, reservation.start) for reservation, *_ in reserved} | {self._at}:
            used = dict(self._used(node, time))
            for reservation, amounts, _ in reserved:
                if reservation.start <= time < reservation.end:
                    for name, amount in amounts.items():
                        used[name] = used.get(name, 0) + amount
            for name, amount in used.items():
                most[name] = max(amount, most.get(name, 0))
        return most

    def _used(self, node: tuple[str, int], at: int) -> Mapping[str, int]:
        """What the gangs of now still take of a node at a time, reservations aside."""
        taken = self._taken[node[0]][node[1]]
        left: dict[str, int] | None = None
        for end, amounts, _ in self._on.get(node, ()):
            if end <= at:
                left = dict(taken) if left is None else left
                for name, amount in amounts.items():
                    left[name] = max(0, left.get(name, 0) - amount)
        return taken if left is None else left

    def _mask(self, node: tuple[str, int], at: int) -> int:
        """The devices of a node that the gangs of now still hold at a time; zero where they are only counted."""
        held = self._held[node[0]]
        if not held or held[node[1]] == UNKNOWN:
            return held[node[1]] if held else 0
        found = held[node[1]]
        for end, _, mask in self._on.get(node, ()):
            if end <= at:
                found &= ~mask
        return found


def takes(berth: Berth) -> Takes:
    """What a gang takes at a place that was found for it."""
    found, rank = [], 0
    for position, replicas in berth.fit.counts:
        amounts = {name: n * replicas for name, n in berth.demand.requests}
        found.append((position, amounts, union(berth.devices[rank : rank + replicas])))
        rank += replicas
    return tuple(found)
