"""Pools whose devices are chosen by id: which of a node's are free, and what stands in the way where none is.

Where anything about a node's devices would be a guess (the node reports fewer than it has, or a pod holds some and does
not say which), none of them is given to anybody new: a device that is given twice costs two training runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from berth.core.layout import UNKNOWN, Layout, fits, misfit, share
from berth.core.model import Demand, Node


@dataclass(frozen=True, slots=True)
class Numbering:
    """The name that the nodes count their devices under, and the layout of every node."""

    resource: str
    layout: Layout

    def usable(self, node: Node) -> int | None:
        """The devices of a node that are not broken, as a mask; None if that would be a guess.

        A node that reports all of them has them all, less those that the make's tools call broken. One that reports
        fewer must have just as many that are not broken.
        """
        reported = node.allocatable.get(self.resource, 0)
        whole = self.layout.all & ~(node.health.broken if node.health else 0)
        return whole if reported == self.layout.devices or reported == whole.bit_count() else None

    def free(self, node: Node, held: int, demand: Demand) -> int:
        """The devices of a node that may be chosen beside those held, as a mask."""
        usable = self.usable(node) or 0
        if demand.networked and node.health is not None:
            usable &= ~node.health.offline
        return usable & ~held

    def fits(self, node: Node, held: int, demand: Demand) -> int:
        """How many replicas the free devices of a node hold, one after the other."""
        return fits(self.layout, self.free(node, held, demand), demand.amount(self.resource))

    def share(self, node: Node, held: int, demand: Demand, replicas: int) -> tuple[int, ...]:
        """The devices that each of so many replicas gets, as masks. Raises AssertionError if they do not fit."""
        return share(self.layout, self.free(node, held, demand), demand.amount(self.resource), replicas)

    def disorder(self, node: Node, used: Mapping[str, int], held: int, demand: Demand) -> str | None:
        """Why a node with devices enough by count has none to choose; None if it has, or too few by count."""
        size, reported = demand.amount(self.resource), node.allocatable.get(self.resource, 0)
        if reported - used.get(self.resource, 0) < size:
            return None
        if self.usable(node) is None:
            return f"{reported} of {self.layout.devices} {self.resource} reported, it is not known which"
        if held == UNKNOWN:
            return f"{self.resource} taken by a pod that does not say which"
        free = self.free(node, held, demand)
        if free.bit_count() < size:
            return f"{free.bit_count()} of {size} {self.resource} free and healthy"
        return None if fits(self.layout, free, size) else misfit(self.layout, free, size)
