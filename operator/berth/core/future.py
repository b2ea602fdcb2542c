"""The future of some pools: which gangs end when, and what is kept for whom from when on.

A place is looked for on ledgers that show some time to come (`core.picture`), where there may be one at all
(`core.vacancies`). What runs now only ends, so room once found beside everything stays there.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from berth.core.admission import Berth, Find, Pool, Stay, Takes, candidates, find, holds_it_empty, widest_level
from berth.core.calendar import Calendar
from berth.core.layout import union
from berth.core.model import Gang, JobKey
from berth.core.picture import Picture, Reservation, Taken
from berth.core.vacancies import Takings, Vacancies

FOREVER = 1 << 62
"""A time, or a number of seconds, that nothing reaches."""
_NEAR = 16
"""Times at which a gang is tried between reservations. Beyond, it is tried only beside all that have not ended by then:
a place may be found later than it could be, never in anybody's way."""


class Future:
    """What will be taken when, as far as is known now. Asking moves it through time; what it says stays the same."""

    def __init__(self, pools: dict[str, Pool], calendar: Calendar, now: int, *, find: Find = find) -> None:
        self.now = now
        self._find = find
        self.reservations: list[Reservation] = []
        self._pools = pools
        self._calendar = calendar
        self._taken = Taken(pools)
        self._here = Picture(pools, calendar, self._taken, now)
        self._ahead = Picture(pools, calendar, self._taken, now)
        self._vacancies: dict[str, Vacancies] = {}
        self._since: dict[str, tuple[Stay, ...]] = {}  # who started in a pool since its vacancies were counted
        self._beside: dict[str, tuple[list[Reservation], tuple[Stay, ...], Takings]] = {}
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
        near = [since] if since > self.now else []
        near += self._times(gang, hopeful, since, latest, _NEAR - len(near))
        for at in near:
            if self._may_fit(gang, beside, at, at + seconds):
                berth = self._found(gang, at, at + seconds)
                if berth is not None:
                    return self._reservation(key, gang, berth, at, seconds)
        # From here on what is in the way only goes.
        times = self._times(gang, hopeful, near[-1] if near else since, latest)
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

    def _times(self, gang: Gang, hopeful: list[Pool], since: int, latest: int, most: int | None = None) -> list[int]:
        """After `since`, to `latest`, the first times at which there may be more room for a gang than just before.

        So many of them at `most`, and then all up to the last of them.
        """
        found = {r.end for r in self.reservations if since < r.end <= latest}
        horizon = latest
        for pool in hopeful:
            times = self._grows(gang, pool)
            first, last = bisect_right(times, since), bisect_right(times, latest)
            if most is not None and last - first > most:
                last = first + most
                horizon = min(horizon, times[last - 1])
            found.update(times[first:last])
        return [at for at in sorted(found)[:most] if at <= horizon]

    def _grows(self, gang: Gang, pool: Pool) -> Sequence[int]:
        """When a pool may have more room for a gang, if nothing is kept for anybody.

        Where all that counts is how many devices a node has left, most ends make no difference.
        """
        if gang.requests or gang.shapes or pool.ledger.numbering is not None:
            return self._calendar.ends
        return self._vacant(pool).grows(gang.devices, widest_level(gang, pool))

    def _found(self, gang: Gang, at: int, until: int) -> Berth | None:
        """Look for a place in the ledgers, as they are to be from `at` to `until`."""
        picture = self._here if at == self.now else self._ahead
        picture.show(at, until, self.reservations)
        return self._find(gang, picture.pools)

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
        for pool, takings in taken:
            level = widest_level(gang, pool)
            if self._vacant(pool).may_hold(gang.replicas, gang.devices, level, at, until, takings):
                return True
        return False

    def _vacant(self, pool: Pool) -> Vacancies:
        found = self._vacancies.get(pool.name)
        if found is None:
            found = self._calendar.notes.get(pool.name)
            if found is None or found.tree is not pool.ledger.tree:
                found = self._calendar.notes[pool.name] = Vacancies(pool)
            found.bring(pool, self._calendar, self._taken.used[pool.name])
            self._vacancies[pool.name], self._since[pool.name] = found, ()
        return found

    def _takings(self, pool: Pool) -> Takings:
        """What is taken of a pool's nodes beside what its vacancies count."""
        self._vacant(pool)
        kept, since = self.reservations, self._since[pool.name]
        known = self._beside.get(pool.name)
        if known is not None and known[0] == kept and known[1] is since:
            return known[2]
        found: Takings = {}
        for r in kept:
            if r.berth.pool.name == pool.name:
                for position, amounts, _ in r.takes:
                    found.setdefault(position, []).append((amounts.get(pool.resource, 0), r.start, r.end))
        for stay in since:
            for position, amounts, _ in stay.takes:
                found.setdefault(position, []).append((amounts.get(pool.resource, 0), self.now, stay.end))
        self._beside[pool.name] = kept.copy(), since, found
        return found

    def start(self, stay: Stay) -> None:
        """A gang starts now: it is there until its expected end."""
        if stay.pool in self._since:
            self._since[stay.pool] = (*self._since[stay.pool], stay)
        self._calendar.add(stay)
        used, held = self._taken.used[stay.pool], self._taken.held[stay.pool]
        for position, amounts, mask in stay.takes:
            taken = Counter(used[position])
            taken.update(amounts)
            used[position] = taken
            if held:
                held[position] |= mask
        self._changed(stay)

    def withdraw(self, stay: Stay) -> None:
        """Take a start back."""
        self._calendar.remove(stay)
        since = self._since.get(stay.pool, ())
        if stay in since:
            self._since[stay.pool] = tuple(other for other in since if other is not stay)
        else:
            self._vacancies.pop(stay.pool, None)
            self._since.pop(stay.pool, None)
        used, held = self._taken.used[stay.pool], self._taken.held[stay.pool]
        for position, amounts, mask in stay.takes:
            taken = Counter(used[position])
            taken.subtract(amounts)
            used[position] = taken
            if held:
                held[position] &= ~mask
        self._changed(stay)

    def _changed(self, stay: Stay) -> None:
        seats = [(stay.pool, position) for position, *_ in stay.takes]
        self._here.change(seats)
        self._ahead.change(seats)

    def rearranged(self, beside: Stay | None = None) -> list[Reservation] | None:
        """The reservations made anew, one after the other, each for its time; None if one has no place then.

        `beside`: only who would be in the way of this gang, or of who has moved for it, is found another place.
        """
        before, self.reservations = self.reservations, []
        moved = [] if beside is None else [(beside.pool, beside.takes, self.now, beside.end)]
        try:
            for former in before:
                if beside is not None and not any(_meet(former, *other) for other in moved):
                    self.reservations.append(former)
                    continue
                seconds, at = former.end - former.start, former.start
                found = self.earliest(former.key, former.gang, seconds, at, since=at)
                if found is None:
                    return None
                self.reservations.append(found)
                moved.append((found.berth.pool.name, found.takes, found.start, found.end))
            return self.reservations
        finally:
            self.reservations = before

    def ends(self, pool: str, positions: range) -> Iterator[Stay]:
        """Gangs that hold something on some nodes of a pool, by expected end."""
        for stay in self._calendar.stays:
            if stay.pool == pool and any(position in positions for position, *_ in stay.takes):
                yield stay

    def _reservation(self, key: JobKey, gang: Gang, berth: Berth, at: int, seconds: int) -> Reservation:
        taken = takes(berth)
        before = {
            id(stay): stay.guessed
            for position, *_ in taken
            for stay, *_ in self._calendar.on((berth.pool.name, position))
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


def takes(berth: Berth) -> Takes:
    """What a gang takes at a place that was found for it."""
    found, rank = [], 0
    for position, replicas in berth.fit.counts:
        amounts = {name: n * replicas for name, n in berth.demand.requests}
        found.append((position, amounts, union(berth.devices[rank : rank + replicas])))
        rank += replicas
    return tuple(found)


def _meet(reservation: Reservation, pool: str, taken: Takes, start: int, end: int) -> bool:
    """Whether somebody who takes this from `start` to `end` may be in the way of who has a reservation."""
    if reservation.berth.pool.name != pool or reservation.end <= start or end <= reservation.start:
        return False
    return not {position for position, *_ in taken}.isdisjoint(position for position, *_ in reservation.takes)
