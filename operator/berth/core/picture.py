"""Ledgers that show the future: what is taken of each node at the fullest of some stretch of time to come.

It is one set of ledgers that is moved through time. What runs now only ends, so all nodes but those of reservations are
brought from one time to another by the ends between the two, and whoever finds room on the ledgers finds it for the
whole stretch.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from berth.core.admission import Berth, Pool, Takes
from berth.core.calendar import Calendar, Seat
from berth.core.layout import UNKNOWN
from berth.core.model import Gang, JobKey


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


class Taken:
    """What is taken now, by pool and position: `used` amounts, and `held` masks where devices are chosen by id."""

    def __init__(self, pools: Mapping[str, Pool]) -> None:
        self.used = {name: list(pool.ledger.used) for name, pool in pools.items()}
        self.held = {name: list(pool.ledger.held) for name, pool in pools.items()}

    def of(self, seat: Seat) -> Mapping[str, int]:
        """Amounts that are taken of a node."""
        return self.used[seat[0]][seat[1]]


class Picture:
    """The ledgers of some pools, moved through time: at first they show now. `pools` are to be looked at only."""

    def __init__(self, pools: Mapping[str, Pool], calendar: Calendar, taken: Taken, now: int) -> None:
        self.pools = {name: replace(pool, ledger=pool.ledger.fork()) for name, pool in pools.items()}
        self._calendar = calendar
        self._taken = taken
        self._at = now
        self._shown: dict[Reservation, bool] = {}  # reservations that the ledgers show, and whether they are to come
        self._reserved: dict[Seat, list[tuple[Reservation, Mapping[str, int], int]]] = {}  # what they take
        self._changed: set[Seat] = set()  # where something is taken or given back now

    def show(self, at: int, until: int, reservations: Sequence[Reservation]) -> None:
        """Have the ledgers show, for each node, the most that is taken at any moment from `at` to `until`."""
        low, high = sorted((self._at, at))
        ended = self._calendar.stays[bisect_right(self._calendar.ends, low) : bisect_right(self._calendar.ends, high)]
        seats = {(stay.pool, position) for stay in ended for position, *_ in stay.takes}
        shown = {r: r.start > at for r in reservations if r.end > at and r.start < until}
        for reservation in [r for r in self._shown if r not in shown]:
            seats.update(self._hidden(reservation))
        for reservation, to_come in shown.items():
            if self._shown.get(reservation) is not to_come:
                seats.update(self._hidden(reservation) if reservation in self._shown else ())
                seats.update(self._seen(reservation))
        seats |= self._changed
        self._at, self._shown, self._changed = at, shown, set()
        self._bring(seats)

    def change(self, seats: Iterable[Seat]) -> None:
        """What is taken now of some nodes is not what it was."""
        self._changed.update(seats)

    def _seen(self, reservation: Reservation) -> Iterator[Seat]:
        for position, amounts, mask in reservation.takes:
            seat = reservation.berth.pool.name, position
            self._reserved.setdefault(seat, []).append((reservation, amounts, mask))
            yield seat

    def _hidden(self, reservation: Reservation) -> Iterator[Seat]:
        for position, *_ in reservation.takes:
            seat = reservation.berth.pool.name, position
            self._reserved[seat] = [taking for taking in self._reserved[seat] if taking[0] is not reservation]
            yield seat

    def _bring(self, seats: Iterable[Seat]) -> None:
        """Bring nodes up to date with what is to be shown."""
        for seat in sorted(seats):
            name, position = seat
            there = self._reserved.get(seat)
            used = self._most(seat, there) if there else self._used(seat, self._at)
            ledger = self.pools[name].ledger
            if ledger.numbering is None:
                if ledger.used[position] is not used and ledger.used[position] != used:
                    ledger.set_used(position, used)
                continue
            held = self._held(seat, self._at)
            for _, _, mask in there or ():
                held |= mask
            if ledger.held[position] != held or ledger.used[position] != used:
                ledger.set_used(position, used, held)

    def _most(self, seat: Seat, reserved: list[tuple[Reservation, Mapping[str, int], int]]) -> Mapping[str, int]:
        """The most that is taken of each resource: what is there falls, so the starts of reservations decide."""
        most: dict[str, int] = {}
        for time in {self._at, *(reservation.start for reservation, *_ in reserved if reservation.start > self._at)}:
            used = dict(self._used(seat, time))
            for reservation, amounts, _ in reserved:
                if reservation.start <= time < reservation.end:
                    for name, amount in amounts.items():
                        used[name] = used.get(name, 0) + amount
            for name, amount in used.items():
                most[name] = max(amount, most.get(name, 0))
        return most

    def _used(self, seat: Seat, at: int) -> Mapping[str, int]:
        """What the gangs of now still take of a node at a time, reservations aside."""
        course = self._calendar.course(seat, self._taken.of(seat))
        return course.used[bisect_right(course.ends, at)]

    def _held(self, seat: Seat, at: int) -> int:
        """The devices of a node that the gangs of now still hold at a time."""
        found = self._taken.held[seat[0]][seat[1]]
        if found == UNKNOWN:
            return found
        for stay, _, mask in self._calendar.on(seat):
            if stay.end <= at:
                found &= ~mask
        return found
