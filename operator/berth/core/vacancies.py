"""How many replicas a pool could hold at a time to come, at most: what is quick to say before a place is looked for.

A place that is kept is looked for at the ends of those who run, and most ends do not free enough. To find that out by
bringing all counts of a pool to each of these times costs far more than to know beforehand when how many slots are free
in which domain as those who run now end, and to take off what is reserved on the few nodes that are. Only devices are
counted, and no node is taken for closed: where this says no, there is no place; where it says yes, there may be one.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate

from berth.core.admission import Pool
from berth.core.calendar import Calendar
from berth.core.topology import Tree

Takings = dict[int, list[tuple[int, int, int]]]
"""What is taken beside what its own gangs hold: by node, (devices, from, until)."""
_ALWAYS = -1


class Vacancies:
    """Free devices of one pool's nodes as gangs end. Whoever starts or is kept a place later is told with the question.

    What was counted is kept: `bring` counts the nodes anew of which something has changed.
    """

    def __init__(self, pool: Pool) -> None:
        self.tree = pool.ledger.tree
        self._resource = pool.resource
        self._seats = [(pool.name, position) for position in range(len(pool.ledger.nodes))]
        self._known: list[tuple[object, object, object]] = [(None, None, None) for _ in pool.ledger.nodes]
        self._ends: list[list[int]] = [[] for _ in pool.ledger.nodes]
        self._free: list[list[int]] = [[] for _ in pool.ledger.nodes]
        self._slots: dict[tuple[int, int], _Slots] = {}

    def bring(self, pool: Pool, calendar: Calendar, used: Sequence[Mapping[str, int]]) -> None:
        """Bring it up to date with a calendar, and with what is taken now, by node."""
        resource, changed = self._resource, []
        for position, (node, taken, known) in enumerate(zip(pool.ledger.nodes, used, self._known, strict=True)):
            seat = self._seats[position]
            if known[0] is node and known[1] is taken and known[2] is calendar.on(seat):
                continue
            course, whole = calendar.course(seat, taken), node.allocatable.get(resource, 0)
            self._known[position] = node, taken, calendar.on(seat)
            self._ends[position] = [_ALWAYS, *course.ends]
            self._free[position] = [max(0, whole - amounts.get(resource, 0)) for amounts in course.used]
            changed.append(position)
        for slots in self._slots.values():
            slots.changed.update(changed)

    def first(self, replicas: int, devices: int, level: int) -> int | None:
        """The first time from which on some domain of a level could hold so many replicas; None if none ever could."""
        found = None
        for ends, slots in self._of(devices, level):
            at = bisect_left(slots, replicas)
            if at < len(ends) and (found is None or ends[at] < found):
                found = ends[at]
        return found

    def grows(self, devices: int, level: int) -> Sequence[int]:
        """The times from which on some domain of a level has more slots for replicas of so many devices."""
        steps = self._of(devices, level)
        return steps[0][0][1:] if len(steps) == 1 else sorted({end for ends, _ in steps for end in ends[1:]})

    def may_hold(self, replicas: int, devices: int, level: int, at: int, until: int, beside: Takings) -> bool:
        """Whether some domain of a level could hold so many replicas at any moment from `at` to `until`."""
        if level == 0:
            return self._pool_may_hold(replicas, devices, at, until, beside)
        counts = [slots[bisect_right(ends, at) - 1] for ends, slots in self._of(devices, level)]
        able = {domain for domain, slots in enumerate(counts) if slots >= replicas}
        leaf, parent = self.tree.leaf_level, self.tree.parent
        for position, takings in beside.items():
            if not able:
                return False
            domain = position
            for below in range(leaf, level, -1):
                domain = parent[below][domain]
            if domain in able:
                counts[domain] -= self._lost(position, devices, at, until, takings)
                if counts[domain] < replicas:
                    able.remove(domain)
        return bool(able)

    def _pool_may_hold(self, replicas: int, devices: int, at: int, until: int, beside: Takings) -> bool:
        ((ends, slots),) = self._of(devices, 0)
        left = slots[bisect_right(ends, at) - 1]
        for position, takings in beside.items():
            if left < replicas:
                return False
            left -= self._lost(position, devices, at, until, takings)
        return left >= replicas

    def _lost(self, position: int, devices: int, at: int, until: int, takings: list[tuple[int, int, int]]) -> int:
        """Slots of a node that are taken from what is free there at a time, by what takes most of it from then on."""
        ends, free = self._ends[position], self._free[position]
        if len(takings) == 1:
            amount, since, over = takings[0]
            if since >= until or over <= at:
                return 0
            now = free[bisect_right(ends, at) - 1]
            least = (free[bisect_right(ends, since) - 1] if since > at else now) - amount
            return now // devices - (min(now, least) // devices if least > 0 else 0)
        least = now = free[bisect_right(ends, at) - 1]
        for _, since, end in takings:
            if since >= until or end <= at:
                continue
            moment = max(at, since)
            there = now if moment == at else free[bisect_right(ends, moment) - 1]
            for amount, start, over in takings:
                if start <= moment < over:
                    there -= amount
            least = min(least, there)
        return now // devices - (least // devices if least > 0 else 0)

    def _of(self, devices: int, level: int) -> list[tuple[list[int], list[int]]]:
        """For each domain of a level: from which time on it has how many slots for replicas of so many devices."""
        found = self._slots.get((devices, level))
        if found is None:
            found = self._slots[devices, level] = _Slots(self.tree, devices, level)
        if found.changed:
            found.bring(self._ends, self._free)
        return found.domains


class _Slots:
    """Slots for replicas of so many devices in each domain of a level. `changed`: nodes that are to be counted anew."""

    def __init__(self, tree: Tree, devices: int, level: int) -> None:
        self.changed = set(range(len(tree.domains[tree.leaf_level])))
        self.domains: list[tuple[list[int], list[int]]] = [([_ALWAYS], [0]) for _ in tree.domains[level]]
        self._devices = devices
        self._above = list(range(len(tree.domains[tree.leaf_level])))
        for below in range(tree.leaf_level, level, -1):
            self._above = [tree.parent[below][domain] for domain in self._above]
        self._steps: list[list[tuple[int, int, int]]] = [[] for _ in tree.domains[level]]  # time, node, more slots
        self._of_node: list[list[tuple[int, int, int]]] = [[] for _ in self._above]

    def bring(self, ends: Sequence[Sequence[int]], free: Sequence[Sequence[int]]) -> None:
        """Count the nodes that have changed: `free[n][i]` devices of node n from `ends[n][i]` on."""
        concerned: dict[int, list[tuple[int, int, int]]] = {}
        changed = set()
        for position in self.changed:
            steps, before = [], 0
            for end, devices in zip(ends[position], free[position], strict=True):
                slots = devices // self._devices
                if slots != before:
                    steps.append((end, position, slots - before))
                    before = slots
            if steps != self._of_node[position]:
                self._of_node[position] = steps
                concerned.setdefault(self._above[position], []).extend(steps)
                changed.add(position)
        for domain, new in concerned.items():
            steps = [step for step in self._steps[domain] if step[1] not in changed]
            steps += new
            steps.sort()
            self._steps[domain], self.domains[domain] = steps, _summed(steps)
        self.changed.clear()


def _summed(steps: Sequence[tuple[int, int, int]]) -> tuple[list[int], list[int]]:
    """Times, the first of all times included, and the slots from each of them on."""
    times, _, more = zip((_ALWAYS, 0, 0), *steps, strict=True)
    slots = dict(zip(times, accumulate(more), strict=True))  # of equal times the last sum counts
    return list(slots), list(slots.values())
