"""Who holds what until when: the ends to come, all in order, and those of each node.

What follows for a node is counted when somebody asks, and kept until other gangs are on it or something else is taken
there. So whoever has the same gangs again in the next cycle (the simulator) keeps a calendar and pays for what has
changed; who makes one anew (the operator) pays once for each node. Forks share what was counted: an entry says itself
of whom it was counted, so that it is never taken for another's.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from berth.core.admission import Stay
from berth.core.model import JobKey

Seat = tuple[str, int]
"""A node: its pool and its position there."""
Taking = tuple[Stay, Mapping[str, int], int]
"""What a gang takes of a node: amounts, and the mask of its devices where they are chosen by id."""


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """What is taken of a node: `used[i]` until `ends[i]`, and the last of it from the last end on."""

    ends: list[int]
    used: list[Mapping[str, int]]


class Calendar:
    """Gangs that hold devices, by expected end.

    `notes`: what others count of it, by pool, with forks.
    """

    __slots__ = ("_courses", "_on", "ends", "notes", "stays")

    def __init__(self, stays: Iterable[Stay] = ()) -> None:
        self.stays = sorted(stays, key=order)
        self.ends = [stay.end for stay in self.stays]
        self.notes: dict[str, Any] = {}
        self._on: dict[Seat, tuple[Taking, ...]] = {}
        self._courses: dict[Seat, tuple[tuple[Taking, ...], Mapping[str, int], Course]] = {}
        for stay in self.stays:
            for position, amounts, mask in stay.takes:
                seat = stay.pool, position
                self._on[seat] = (*self._on.get(seat, ()), (stay, amounts, mask))

    def fork(self) -> "Calendar":
        """A calendar of its own with the same gangs."""
        twin = object.__new__(Calendar)
        twin.stays, twin.ends, twin._on = self.stays.copy(), self.ends.copy(), self._on.copy()
        twin.notes, twin._courses = self.notes, self._courses
        return twin

    def add(self, stay: Stay) -> None:
        """A gang holds devices from now on."""
        at = bisect_left(self.stays, order(stay), key=order)
        self.stays.insert(at, stay)
        self.ends.insert(at, stay.end)
        for position, amounts, mask in stay.takes:
            there = list(self._on.get((stay.pool, position), ()))
            insort(there, (stay, amounts, mask), key=_order_there)
            self._on[stay.pool, position] = tuple(there)

    def remove(self, stay: Stay) -> None:
        """A gang of it, that very one, does not any more."""
        at = bisect_left(self.stays, order(stay), key=order)
        while self.stays[at] is not stay:
            at += 1
        del self.stays[at], self.ends[at]
        for position, *_ in stay.takes:
            seat = stay.pool, position
            self._on[seat] = tuple(taking for taking in self._on[seat] if taking[0] is not stay)

    def on(self, seat: Seat) -> tuple[Taking, ...]:
        """Who is on a node, by end. The same as long as nobody comes or goes there."""
        return self._on.get(seat, ())

    def course(self, seat: Seat, used: Mapping[str, int]) -> Course:
        """What will be taken of a node as those on it end, of which this is taken now; the same until that changes."""
        there = self._on.get(seat, ())
        known = self._courses.get(seat)
        if known is not None and known[0] is there and known[1] is used:
            return known[2]
        steps = [used]
        for _, amounts, _ in there:
            left = dict(steps[-1])
            for name, amount in amounts.items():
                left[name] = max(0, left.get(name, 0) - amount)
            steps.append(left)
        course = Course([stay.end for stay, *_ in there], steps)
        self._courses[seat] = there, used, course
        return course


def order(stay: Stay) -> tuple[int, JobKey]:
    """Gangs by expected end, and then by name."""
    return stay.end, stay.key


def _order_there(taking: Taking) -> tuple[int, JobKey]:
    return order(taking[0])
