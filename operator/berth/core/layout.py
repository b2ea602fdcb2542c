"""How the devices of one node sit together, and which of them a replica gets.

A device is known by its position in the node; a set of devices is a bit mask (bit i is device i), because masks hash,
compare and subtract in no time, and a node has at most 64 devices. A `Layout` is data: a make's file of the catalogue,
or a pool, writes it out. What is chosen follows from layout, free devices and size alone, so a plan and the counts
that it was made from can never disagree: `fits` is what taking one replica after the other really yields.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

UNKNOWN = -1
"""Mask of devices taken where nobody knows which they are: all bits are set, so none is free."""

_KEPT = 1 << 16


class Choice(StrEnum):
    """How the devices of a replica are chosen among the free ones of a node."""

    PLUGIN = "plugin"
    """The node's device plugin chooses: Berth counts."""
    FEWEST_LEFT = "fewest-left"
    """Any, the lowest first."""
    FITTING_GROUP = "fitting-group"
    """Within one group, the one whose free count stands first in `preferFree` for that size."""
    GROUP_OR_HALVES = "group-or-halves"
    """Within one group; a larger size as two halves on matching positions of two groups."""
    WHOLE_GROUPS = "whole-groups"
    """Whole groups; a single device from a group that is already in use, if there is one."""
    RACK_BLOCK = "rack-block"
    """Whole nodes, a block of the rack's mesh first; of a single node any devices, the lowest first."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The devices of one node, numbered from 0, and the rules by which replicas share them.

    `groups`: devices that share the fast link; empty: all do. `within_group`: sizes that must not cross a group.
    `paired`: sizes that are two halves on matching positions of two groups. `prefer_free`: by size, the free counts of
    a group, the best first; a group with another count is not taken. Sizes without an entry take the group with the
    fewest free devices that are enough.
    """

    devices: int
    choice: Choice
    groups: tuple[tuple[int, ...], ...] = ()
    within_group: tuple[int, ...] = ()
    paired: tuple[int, ...] = ()
    prefer_free: tuple[tuple[int, tuple[int, ...]], ...] = ()

    @property
    def all(self) -> int:
        """Mask of all devices of a node."""
        return (1 << self.devices) - 1


def mask_of(ids: Iterable[int]) -> int:
    """Mask of these devices."""
    mask = 0
    for device in ids:
        mask |= 1 << device
    return mask


def ids_of(mask: int) -> tuple[int, ...]:
    """The devices of a mask, ascending."""
    return tuple(_bits(mask))


@lru_cache(maxsize=_KEPT)
def pick(layout: Layout, free: int, size: int) -> int | None:
    """The devices that one replica of `size` devices gets of the free ones, as a mask; None if no choice is legal."""
    if size < 1 or free.bit_count() < size:
        return None
    groups = _groups(layout)
    if layout.choice is Choice.WHOLE_GROUPS:
        return _whole_groups(groups, free, size)
    if size in layout.paired:
        return _halves(layout.groups, free, size // 2)
    inside = _inside_one(groups, free, size, dict(layout.prefer_free).get(size))
    if inside is not None or size in layout.within_group:
        return inside
    return _across(groups, free, size)


@lru_cache(maxsize=_KEPT)
def fits(layout: Layout, free: int, size: int) -> int:
    """How many replicas of `size` devices the free ones hold, when one after the other is given its own."""
    return sum(1 for _ in _taken_in_turn(layout, free, size))


def share(layout: Layout, free: int, size: int, replicas: int) -> tuple[int, ...]:
    """The devices that each of several replicas gets, in turn.

    Raises AssertionError if they do not fit: that is a bug in a plan, not a case.
    """
    found = tuple(mask for mask, _ in zip(_taken_in_turn(layout, free, size), range(replicas), strict=False))
    assert len(found) == replicas, f"{replicas} replicas of {size} devices planned, of {ids_of(free)} fit {len(found)}"
    return found


def misfit(layout: Layout, free: int, size: int) -> str:
    """Why no replica fits although enough devices are free: `no 4 of its 6 free devices lie within one group`."""
    have = free.bit_count()
    if layout.choice is Choice.WHOLE_GROUPS and size > 1:
        return f"no {size} of its {have} free devices make whole groups"
    if size in layout.paired:
        return f"no {size} of its {have} free devices are two halves on matching positions"
    return f"no {size} of its {have} free devices lie within one group"


def _taken_in_turn(layout: Layout, free: int, size: int) -> Iterator[int]:
    while (mask := pick(layout, free, size)) is not None:
        yield mask
        free &= ~mask


@lru_cache(maxsize=1024)
def _groups(layout: Layout) -> tuple[int, ...]:
    return tuple(mask_of(group) for group in layout.groups) or (layout.all,)


def _inside_one(groups: tuple[int, ...], free: int, size: int, prefer: tuple[int, ...] | None) -> int | None:
    """From the one group that fits best."""
    best: tuple[int, int] | None = None
    for group in groups:
        there = free & group
        count = there.bit_count()
        if count < size or (prefer is not None and count not in prefer):
            continue
        rank = count if prefer is None else prefer.index(count)
        if best is None or rank < best[0]:
            best = (rank, there)
    return None if best is None else _lowest(best[1], size)


def _across(groups: tuple[int, ...], free: int, size: int) -> int | None:
    """Over as few groups as possible: the fullest whole, the rest from the group with the fewest that are enough."""
    left = sorted((free & group for group in groups), key=lambda there: -there.bit_count())
    found = 0
    while size and left:
        enough = [there for there in left if there.bit_count() >= size]
        there = enough[-1] if enough else left[0]
        left.remove(there)
        part = _lowest(there, min(size, there.bit_count()))
        found |= part
        size -= part.bit_count()
    return None if size else found


def _halves(groups: tuple[tuple[int, ...], ...], free: int, half: int) -> int | None:
    """The same positions of two groups, of the pair of groups with the fewest such positions that are enough."""
    best: list[tuple[int, int]] | None = None
    for number, one in enumerate(groups):
        for other in groups[number + 1 :]:
            both = [(a, b) for a, b in zip(one, other, strict=False) if free >> a & free >> b & 1]
            if len(both) >= half and (best is None or len(both) < len(best)):
                best = both
    return None if best is None else mask_of(device for pair in best[:half] for device in pair)


def _whole_groups(groups: tuple[int, ...], free: int, size: int) -> int | None:
    """Whole groups, the first ones; less than a group from the group with the fewest free that are enough."""
    each = groups[0].bit_count()
    if size < each:
        return _inside_one(groups, free, size, None)
    whole = [group for group in groups if group & ~free == 0][: size // each]
    return union(whole) if size % each == 0 and len(whole) == size // each else None


def union(masks: Iterable[int]) -> int:
    """The devices that are in any of the masks."""
    found = 0
    for mask in masks:
        found |= mask
    return found


def _lowest(mask: int, size: int) -> int:
    found = 0
    for _ in range(size):
        found |= mask & -mask
        mask &= mask - 1
    return found


def _bits(mask: int) -> Iterator[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask &= mask - 1
