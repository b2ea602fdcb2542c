"""Means over equal parts of a run, for plots: what changes in steps, told in at most a few hundred numbers.

A step at time t adds `delta` from t on, so its integral up to an edge e is delta * (e - t). Two sums for each part, of
delta and of delta * t, give all integrals exactly, however many steps there are.
"""

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise

PARTS = 240


@dataclass(frozen=True, slots=True)
class Parts:
    """A run of `end` seconds in equal parts. `edges`: whole seconds, the first 0, the last `end`."""

    edges: tuple[int, ...]

    @classmethod
    def of(cls, end: int, most: int = PARTS) -> "Parts":
        """At most so many parts, each of a second or more; a run of no time has none."""
        number = min(end, most)
        return cls(tuple(end * i // number for i in range(number + 1)) if number else (0,))

    @property
    def spans(self) -> list[int]:
        """Seconds of each part."""
        return [b - a for a, b in pairwise(self.edges)]


class Steps:
    """An amount that changes in steps. `add` in any order."""

    __slots__ = ("_deltas", "_moments", "_parts")

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._deltas = [0] * len(parts.edges)
        self._moments = [0] * len(parts.edges)

    def add(self, start: int, end: int, amount: int) -> None:
        """So much from `start` to `end`; what lies outside the run is left out."""
        edges = self._parts.edges
        for at, delta in ((max(0, start), amount), (max(0, end), -amount)):
            if at < edges[-1]:
                part = bisect_right(edges, at) - 1
                self._deltas[part] += delta
                self._moments[part] += delta * at

    def integrals(self) -> list[int]:
        """Amount times seconds of each part."""
        edges, found = self._parts.edges, []
        delta = moment = before = 0
        for part, edge in enumerate(edges[1:]):
            delta += self._deltas[part]
            moment += self._moments[part]
            until = delta * edge - moment
            found.append(until - before)
            before = until
        return found

    def means(self) -> tuple[float, ...]:
        """Mean amount in each part."""
        return tuple(total / span for total, span in zip(self.integrals(), self._parts.spans, strict=True))
