"""How many replicas a pool could hold at a time to come, at most: what is quick to say before a place is looked for.

A place that is kept is looked for at the ends of those who run, and most ends do not free enough. To find that out by
bringing all counts of a pool to each of these times costs far more than to know beforehand when how many slots are free
in which domain as those who run now end, and to take off what is reserved on the few nodes that are. Only devices are
counted, and no node is taken for closed: where this says no, there is no place; where it says yes, there may be one.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence

from berth.core.admission import Pool, Stay

Takings = dict[int, list[tuple[int, int, int]]]
"""What is taken beside what its own gangs hold: by node, (devices, from, until)."""
_ALWAYS = -1


class Vacancies:
    """Free devices of one pool's nodes as gangs end. Whoever starts or is kept a place later is told with the question.

    `used`: what is taken now, by node, `stays`: by whom and until when, by end.
    """

    def __init__(self, pool: Pool, used: Sequence[Mapping[str, int]], stays: Iterable[Stay]) -> None:
        name, self._tree = pool.resource, pool.ledger.tree
        whole = [node.allocatable.get(name, 0) for node in pool.ledger.nodes]
        left = [taken.get(name, 0) for taken in used]
        self._ends = [[_ALWAYS] for _ in whole]
        self._free = [[max(0, all_ - taken)] for all_, taken in zip(whole, left, strict=True)]
        self._grown: list[tuple[int, int, int, int]] = []  # end, position, devices free before, and after
        for stay in stays:
            for position, amounts, _ in stay.takes:
                amount = amounts.get(name, 0)
                if amount:
                    left[position] = max(0, left[position] - amount)
                    before, after = self._free[position][-1], max(0, whole[position] - left[position])
                    self._ends[position].append(stay.end)
                    self._free[position].append(after)
                    self._grown.append((stay.end, position, before, after))
        self._growing: dict[tuple[int, int], list[int]] = {}
        self._slots: dict[tuple[int, int], list[tuple[list[int], list[int]]]] = {}

    def first(self, replicas: int, devices: int, level: int) -> int | None:
        """The first time from which on some domain of a level could hold so many replicas; None if none ever could."""
        found = None
        for ends, slots in self._of(devices, level):
            at = bisect_left(slots, replicas)
            if at < len(ends) and (found is None or ends[at] < found):
                found = ends[at]
        return found

    def grows(self, devices: int, level: int) -> list[int]:
        """The times from which on some domain of a level has more slots for replicas of so many devices."""
        found = self._growing.get((devices, level))
        if found is None:
            steps = self._of(devices, level)
            times = steps[0][0][1:] if len(steps) == 1 else sorted({end for ends, _ in steps for end in ends[1:]})
            found = self._growing[devices, level] = times
        return found

    def may_hold(self, replicas: int, devices: int, level: int, at: int, until: int, beside: Takings) -> bool:
        """Whether some domain of a level could hold so many replicas at any moment from `at` to `until`."""
        counts = [slots[bisect_right(ends, at) - 1] for ends, slots in self._of(devices, level)]
        able = {domain for domain, slots in enumerate(counts) if slots >= replicas}
        leaf, parent = self._tree.leaf_level, self._tree.parent
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

    def _lost(self, position: int, devices: int, at: int, until: int, takings: list[tuple[int, int, int]]) -> int:
        """Slots of a node that are taken from what is free there at a time, by what takes most of it from then on."""
        ends, free = self._ends[position], self._free[position]
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
            found = self._slots[devices, level] = self._counted(devices, level)
        return found

    def _counted(self, devices: int, level: int) -> list[tuple[list[int], list[int]]]:
        tree = self._tree
        domains = list(range(len(self._free)))
        for below in range(tree.leaf_level, level, -1):
            domains = [tree.parent[below][domain] for domain in domains]
        now = [0] * len(tree.domains[level])
        for position, free in enumerate(self._free):
            now[domains[position]] += free[0] // devices
        steps = [([_ALWAYS], [slots]) for slots in now]
        for end, position, before, after in self._grown:
            more = after // devices - before // devices
            if more:
                ends, slots = steps[domains[position]]
                if ends[-1] == end:
                    slots[-1] += more
                else:
                    ends.append(end)
                    slots.append(slots[-1] + more)
        return steps
