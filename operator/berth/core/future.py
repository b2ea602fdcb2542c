"""The future of some pools: which gangs end when, and what is kept for whom from when on.

It is one set of ledgers that is moved through time. What runs now only ends, so all nodes but those of reservations are
brought from one time to another by the ends between the two, and room once found beside everything stays there.
"""

from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import merge
from itertools import islice

from berth.core.admission import Berth, Find, Pool, Stay, Takes, candidates, find, holds_it_empty, widest_level
from berth.core.layout import UNKNOWN, union
from berth.core.model import Gang, JobKey
from berth.core.vacancies import Takings, Vacancies

FOREVER = 1 << 62
"""A time, or a number of seconds, that nothing reaches."""
_NEAR = 16
"""Times at which a gang is tried between reservations. Beyond, it is tried only beside all that have not ended by then:
a place may be found later than it could be, never in anybody's way."""


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
        self._on: dict[tuple[str, int], list[tuple[Stay, Mapping[str, int], int]]] = {}
        for stay in staying:
            for position, amounts, mask in stay.takes:
                self._on.setdefault((stay.pool, position), []).append((stay, amounts, mask))
        self._steps: dict[tuple[str, int], tuple[list[int], list[Mapping[str, int]]]] = {}  # of a node: ends, used
        self._vacancies: dict[str, Vacancies] = {}
        self._since: dict[str, list[Stay]] = {}  # who started in a pool since its vacancies were counted
        self._at = now
        self._shown: dict[Reservation, bool] = {}  # reservations that the ledgers show, and whether they are to come
        self._ends = [stay.end for stay in staying]
        self._hopes: dict[Gang, list[Pool]] = {}

    def place(self, gang: Gang, at: int, until: int) -> Berth | None:
        """Find room for a gang that will be there, beside all reservations, at any moment from `at` to `until`."""
        beside = [(pool, self._takings(pool)) for pool in self._hopeful(gang)]
        return self._found(gang, at, until) if self._may_fit(gang, beside, at, until) else None

    def earliest(
        self, key: JobKey, gang: Gang, seconds: int, latest: int = FOREVER, *, since: int = 0
    ) -> Reservation | None:
        """The first time after now, from `since` to `latest`, at which a gang finds room for so long, and the place.

        None if there is no such time.
        """
        hopeful = self._hopeful(gang)
        firsts = [first for pool in hopeful if (first := self._first(gang, pool)) is not None]
        if not firsts:
            return None
        since = max(since, min(firsts))
        if since > latest:
            return None
        beside = [(pool, self._takings(pool)) for pool in hopeful]
        times = self._times(gang, hopeful, since, latest)
        for at in islice(times, _NEAR):
            if self._may_fit(gang, beside, at, at + seconds):
                berth = self._found(gang, at, at + seconds)
                if berth is not None:
                    return self._reservation(key, gang, berth, at, seconds)
        # From here on what is in the way only goes.
        times = list(times)
        first = bisect_left(times, True, key=lambda at: self._may_fit(gang, beside, at, FOREVER))
        refused, step, last = first - 1, 1, len(times) - 1
        found: tuple[int, Berth] | None = None
        while refused < (last if found is None else found[0] - 1):
            tried = min(refused + step, last) if found is None else (refused + found[0]) // 2
            berth = self._found(gang, times[tried], FOREVER)
            if berth is not None:
                found = tried, berth
            else:
                refused, step = tried, 2 * step
        return found and self._reservation(key, gang, found[1], times[found[0]], seconds)

    def _times(self, gang: Gang, hopeful: list[Pool], since: int, latest: int) -> Iterator[int]:
        """From `since` to `latest`, the times at which there may be more room for a gang than just before."""
        growing = [self._grows(gang, pool) for pool in hopeful]
        growing.append(sorted(r.end for r in self.reservations))
        last = None
        if since > self.now:
            yield (last := since)
        for at in merge(*(_between(times, since, latest) for times in growing)):
            if at != last:
                yield (last := at)

    def _grows(self, gang: Gang, pool: Pool) -> Sequence[int]:
        """When a pool may have more room for a gang, if nothing is kept for anybody.

        Where all that counts is how many devices a node has left, most ends make no difference.
        """
        if gang.requests or gang.shapes or pool.ledger.numbering is not None:
            return self._ends
        return self._vacant(pool).grows(gang.devices, widest_level(gang, pool))

    def _found(self, gang: Gang, at: int, until: int) -> Berth | None:
        """Look for a place in the ledgers, as they are to be from `at` to `until`."""
        self._show(at, until)
        return self._find(gang, self._pools)

    def _hopeful(self, gang: Gang) -> list[Pool]:
        """The pools that would hold a gang if nothing at all were taken."""
        found = self._hopes.get(gang)
        if found is None:
            found = [pool for pool in candidates(gang, self._pools) if holds_it_empty(gang, pool)]
            self._hopes[gang] = found
        return found

    def _first(self, gang: Gang, pool: Pool) -> int | None:
        """From when on a pool may hold a gang if nothing is kept for anybody; None if it never may."""
        return self._vacant(pool).first(gang.replicas, gang.devices, widest_level(gang, pool))

    def _may_fit(self, gang: Gang, taken: Iterable[tuple[Pool, Takings]], at: int, until: int) -> bool:
        """Whether one of some pools has slots enough for a gang that is there from `at` to `until`."""
        return any(
            self._vacant(pool).may_hold(gang.replicas, gang.devices, widest_level(gang, pool), at, until, takings)
            for pool, takings in taken
        )

    def _vacant(self, pool: Pool) -> Vacancies:
        found = self._vacancies.get(pool.name)
        if found is None:
            stays = (stay for stay in self._staying if stay.pool == pool.name)
            found = self._vacancies[pool.name] = Vacancies(pool, self._taken[pool.name], stays)
            self._since[pool.name] = []
        return found

    def _takings(self, pool: Pool) -> Takings:
        """What is taken of a pool's nodes beside what its vacancies count."""
        found: Takings = {}
        for r in self.reservations:
            if r.berth.pool.name == pool.name:
                for position, amounts, _ in r.takes:
                    found.setdefault(position, []).append((amounts.get(pool.resource, 0), r.start, r.end))
        for stay in self._since.get(pool.name, ()):
            for position, amounts, _ in stay.takes:
                found.setdefault(position, []).append((amounts.get(pool.resource, 0), self.now, stay.end))
        return found

    def start(self, stay: Stay) -> None:
        """A gang starts now: it is there until its expected end."""
        if stay.pool in self._since:
            self._since[stay.pool].append(stay)
        insort(self._staying, stay, key=lambda s: (s.end, s.key))
        insort(self._ends, stay.end)
        held = self._held[stay.pool]
        for position, amounts, mask in stay.takes:
            taken = Counter(self._taken[stay.pool][position])
            taken.update(amounts)
            self._taken[stay.pool][position] = taken
            if held:
                held[position] |= mask
            self._on.setdefault((stay.pool, position), []).append((stay, amounts, mask))
            self._steps.pop((stay.pool, position), None)
        self._bring((stay.pool, position) for position, *_ in stay.takes)

    def withdraw(self, stay: Stay) -> None:
        """Take a start back."""
        self._staying.remove(stay)
        self._ends.remove(stay.end)
        since = self._since.get(stay.pool, [])
        if stay in since:
            since.remove(stay)
        else:
            self._vacancies.pop(stay.pool, None)
            self._since.pop(stay.pool, None)
        held = self._held[stay.pool]
        for position, amounts, mask in stay.takes:
            taken = Counter(self._taken[stay.pool][position])
            taken.subtract(amounts)
            self._taken[stay.pool][position] = taken
            if held:
                held[position] &= ~mask
            self._on[stay.pool, position].remove((stay, amounts, mask))
            self._steps.pop((stay.pool, position), None)
        self._bring((stay.pool, position) for position, *_ in stay.takes)

    def rearranged(self, beside: Stay | None = None) -> list[Reservation] | None:
        """The reservations made anew, one after the other; None if one of them would begin later than it does.

        `beside`: only who would be in the way of this gang, or of who has moved for it, is found another place.
        """
        before, self.reservations = self.reservations, []
        moved = [] if beside is None else [(beside.pool, beside.takes, self.now, beside.end)]
        try:
            for former in before:
                if beside is not None and not any(_meet(former, *other) for other in moved):
                    self.reservations.append(former)
                    continue
                found = self.earliest(former.key, former.gang, former.end - former.start, former.start)
                if found is None:
                    return None
                self.reservations.append(found)
                moved.append((found.berth.pool.name, found.takes, found.start, found.end))
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
        before = {
            id(stay): stay.guessed
            for position, *_ in taken
            for stay, *_ in self._on.get((berth.pool.name, position), ())
            if stay.end <= at
        }
        return Reservation(
            key=key,
            gang=gang,
            berth=berth,
            start=at,
            end=at + seconds,
            takes=taken,
            guessed=sum(before.values()),
        )

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
            if (ledger.used[node[1]] is not used and ledger.used[node[1]] != used) or (
                ledger.numbering is not None and ledger.held[node[1]] != held
            ):
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
        ends, used = self._steps.get(node) or self._stepped(node)
        return used[bisect_right(ends, at)]

    def _stepped(self, node: tuple[str, int]) -> tuple[list[int], list[Mapping[str, int]]]:
        """The ends of those who are on a node, and what is taken before each of them and after the last."""
        there = sorted(self._on.get(node, ()), key=lambda taking: taking[0].end)
        used = [self._taken[node[0]][node[1]]]
        for _, amounts, _ in there:
            left = dict(used[-1])
            for name, amount in amounts.items():
                left[name] = max(0, left.get(name, 0) - amount)
            used.append(left)
        found = self._steps[node] = [stay.end for stay, *_ in there], used
        return found

    def _mask(self, node: tuple[str, int], at: int) -> int:
        """The devices of a node that the gangs of now still hold at a time; zero where they are only counted."""
        held = self._held[node[0]]
        if not held or held[node[1]] == UNKNOWN:
            return held[node[1]] if held else 0
        found = held[node[1]]
        for stay, _, mask in self._on.get(node, ()):
            if stay.end <= at:
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


def _between(times: Sequence[int], since: int, latest: int) -> Iterator[int]:
    """Those of some sorted times that are after `since` and not after `latest`."""
    return (times[at] for at in range(bisect_right(times, since), bisect_right(times, latest)))


def _meet(reservation: Reservation, pool: str, taken: Takes, start: int, end: int) -> bool:
    """Whether somebody who takes this from `start` to `end` may be in the way of who has a reservation."""
    if reservation.berth.pool.name != pool or reservation.end <= start or end <= reservation.start:
        return False
    return not {position for position, *_ in taken}.isdisjoint(position for position, *_ in reservation.takes)
