"""Laws of layouts, over functions like those of `berth.core.layout`: which devices of a node a replica gets.

The rules are stated here a second time, profile by profile, in the words of the makes' documents and over plain sets;
what the heart chooses is compared with everything that could have been chosen.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import combinations

from berth.accel.catalogue import Catalogue
from berth.accel.resolve import layout_of, resolve
from berth.api.pool import AcceleratorPoolSpec
from berth.core import layout as heart
from berth.core.layout import Layout, ids_of
from tests.properties.dice import Dice, rolled
from tests.properties.law import Room

Devices = frozenset[int]


@dataclass(frozen=True)
class Layouts:
    """The functions on trial."""

    pick: Callable[[Layout, int, int], int | None] = heart.pick
    fits: Callable[[Layout, int, int], int] = heart.fits


@dataclass(frozen=True)
class Node:
    """A node of some profile with these devices free, and a replica that wants `size` of them."""

    profile: str
    free: int
    size: int

    @property
    def layout(self) -> Layout:
        return LAYOUTS[self.profile]


PROTOTYPE = AcceleratorPoolSpec.model_validate(
    {
        "nodeSelector": {"matchLabels": {"a": "b"}},
        "accelerator": {
            "resourceName": "acme.example/npu",
            "layout": {
                "groups": [[0, 2, 4, 6], [1, 3, 5, 7]],
                "allowedSizes": [1, 2, 3, 4, 6, 8],
                "withinGroup": [2, 4],
            },
        },
    }
)


def _layouts() -> dict[str, Layout]:
    catalogue = Catalogue.load()
    found = {name: layout_of(entry.profile) for name, entry in catalogue.entries.items()}
    found["written out"] = resolve(PROTOTYPE, catalogue).layout
    return {name: layout for name, layout in found.items() if layout is not None}


LAYOUTS = _layouts()
EVEN = (2, 4, 6, 8, 10, 12, 14, 16)
SIZES: dict[str, tuple[int, ...]] = {
    "ascend-910a-8": (1, 2, 4, 8),
    "ascend-910b-8": tuple(range(1, 9)),
    "ascend-910b-16": (*range(1, 9), 10, 12, 14, 16),
    "ascend-910c-16": (1, *EVEN),
    "ascend-910c-superpod": (1, *EVEN),
    "ascend-950-rack": tuple(range(1, 9)),
    "kunlunxin": (1, 2, 4, 8),
    "written out": (1, 2, 3, 4, 6, 8),
}


def _within(chosen: Devices, groups: Iterable[Devices]) -> bool:
    return any(chosen <= group for group in groups)


def _rings_by_free_count(free: Devices, chosen: Devices) -> bool:
    """Up to 4 within one ring, best in one with this many free: for one 1, 3, 2, 4; for two 2, 4, 3; for four 4."""
    best = {1: (1, 3, 2, 4), 2: (2, 4, 3), 4: (4,)}.get(len(chosen))
    rings = [free & frozenset(range(4)), free & frozenset(range(4, 8))]
    if best is None:
        return len(chosen) == 8
    wanted = next((count for count in best if any(len(ring) == count for ring in rings)), None)
    return any(len(ring) == wanted and chosen <= ring for ring in rings)


def _one_mesh_or_equal_halves(_: Devices, chosen: Devices) -> bool:
    """Up to 8 in one mesh; 10, 12, 14 as two halves on positions i and i + 8; 16 is all."""
    low = {device for device in chosen if device < 8}
    high = {device - 8 for device in chosen if device >= 8}
    return low == high if len(chosen) > 8 else not low or not high


def _modules(free: Devices, chosen: Devices) -> bool:
    """Whole modules; a single die from a half-used module, if there is one."""
    if len(chosen) > 1:
        return all(device ^ 1 in chosen for device in chosen)
    (die,) = chosen
    half_used = any(device ^ 1 not in free for device in free)
    return (die ^ 1 not in free) == half_used


def _groups_of_four(_: Devices, chosen: Devices) -> bool:
    return len(chosen) == 8 or _within(chosen, (frozenset(range(4)), frozenset(range(4, 8))))


def _written_out(free: Devices, chosen: Devices) -> bool:
    """2 and 4 never cross; the others do only where no group has room for them."""
    groups = (frozenset({0, 2, 4, 6}), frozenset({1, 3, 5, 7}))
    room = any(len(free & group) >= len(chosen) for group in groups)
    return _within(chosen, groups) if len(chosen) in (2, 4) or room else True


LEGAL: dict[str, Callable[[Devices, Devices], bool]] = {
    "ascend-910a-8": _rings_by_free_count,
    "ascend-910b-8": lambda _, __: True,
    "ascend-910b-16": _one_mesh_or_equal_halves,
    "ascend-910c-16": _modules,
    "ascend-910c-superpod": _modules,
    "ascend-950-rack": lambda _, __: True,
    "kunlunxin": _groups_of_four,
    "written out": _written_out,
}


def legal_choices(node: Node) -> Iterable[Devices]:
    """Everything that the replica could be given."""
    free = frozenset(ids_of(node.free))
    for some in combinations(sorted(free), node.size):
        if LEGAL[node.profile](free, frozenset(some)):
            yield frozenset(some)


def roll_node(dice: Dice) -> Node:
    """Any node with any devices free: none, a few, most or all."""
    profile = dice.pick(sorted(LAYOUTS))
    devices = LAYOUTS[profile].devices
    free = dice.below(256) | dice.below(256) << 8
    how = dice.below(8)
    if how >= 6:
        free |= dice.below(256) | dice.below(256) << 8
    full = (1 << devices) - 1
    return Node(profile, full if how == 5 else free & full, dice.pick(SIZES[profile]))


LAYING = Room("laying out", Layouts(), rolled(roll_node, 16), tries=400)


@LAYING.law
def what_is_chosen_is_free_whole_and_legal(thing: Layouts, node: Node) -> None:
    chosen = thing.pick(node.layout, node.free, node.size)
    if chosen is not None:
        free, ids = frozenset(ids_of(node.free)), frozenset(ids_of(chosen))
        assert len(ids) == node.size
        assert ids <= free
        assert LEGAL[node.profile](free, ids), f"{sorted(ids)} of {sorted(free)}"


@LAYING.law
def something_is_chosen_wherever_anything_is_legal(thing: Layouts, node: Node) -> None:
    chosen = thing.pick(node.layout, node.free, node.size)
    assert (chosen is not None) == any(True for _ in legal_choices(node))


@LAYING.law
def as_many_fit_as_can_be_given_one_after_the_other(thing: Layouts, node: Node) -> None:
    free, given = node.free, 0
    while (chosen := heart.pick(node.layout, free, node.size)) is not None:
        free, given = free & ~chosen, given + 1
    assert thing.fits(node.layout, node.free, node.size) == given
