"""Which devices of a node a replica gets: the rows of the makes' table, in its words."""

import pytest

from berth.core.layout import UNKNOWN, Choice, Layout, fits, ids_of, mask_of, misfit, pick, share
from tests.properties.laying import LAYOUTS

RINGS = LAYOUTS["ascend-910a-8"]
MESH = LAYOUTS["ascend-910b-8"]
TWO_MESHES = LAYOUTS["ascend-910b-16"]
MODULES = LAYOUTS["ascend-910c-16"]


def free(*ids: int) -> int:
    return mask_of(ids)


@pytest.mark.parametrize(
    ("layout", "left", "size", "expected"),
    [
        pytest.param(RINGS, (0, 4, 5, 6), 1, (0,), id="910A: for one, a ring with 1 free before one with 3"),
        pytest.param(RINGS, (0, 1, 5, 6, 7), 1, (5,), id="910A: for one, a ring with 3 free before one with 2"),
        pytest.param(RINGS, (0, 1, 2, 3, 6, 7), 1, (6,), id="910A: for one, a ring with 2 free before one with 4"),
        pytest.param(RINGS, (0, 1, 2, 3, 6, 7), 2, (6, 7), id="910A: for two, a ring with 2 free before one with 4"),
        pytest.param(RINGS, (0, 1, 2, 4, 5, 6, 7), 2, (4, 5), id="910A: for two, a ring with 4 free before one with 3"),
        pytest.param(RINGS, (2, 3, 4, 5, 6, 7), 4, (4, 5, 6, 7), id="910A: for four, a whole ring"),
        pytest.param(RINGS, (0, 1, 2, 4, 5, 6), 4, None, id="910A: four over two rings are refused"),
        pytest.param(RINGS, range(8), 8, range(8), id="910A: eight are the whole node"),
        pytest.param(MESH, (1, 3, 4, 7), 3, (1, 3, 4), id="910B: any of a full mesh"),
        pytest.param(TWO_MESHES, (0, 1, 2, 8, 9), 2, (8, 9), id="910B-16: up to eight from the fuller mesh"),
        pytest.param(TWO_MESHES, (*range(7), *range(8, 15)), 8, None, id="910B-16: eight over two meshes are refused"),
        pytest.param(
            TWO_MESHES,
            (*range(1, 8), *range(8, 15)),
            12,
            (*range(1, 7), *range(9, 15)),
            id="910B-16: twelve are two halves on matching positions",
        ),
        pytest.param(TWO_MESHES, (*range(6), *range(10, 16)), 10, None, id="910B-16: positions that do not match"),
        pytest.param(MODULES, (0, 1, 3, 6, 7), 1, (3,), id="910C: a single die from a half-used module"),
        pytest.param(MODULES, (0, 1, 6, 7), 1, (0,), id="910C: a single die from a whole module if it must be"),
        pytest.param(MODULES, (1, 2, 4, 5, 7, 8, 12, 13), 4, (4, 5, 12, 13), id="910C: even sizes are whole modules"),
        pytest.param(MODULES, (1, 2, 5, 6), 2, None, id="910C: halves of two modules are no module"),
        pytest.param(LAYOUTS["ascend-910c-superpod"], range(16), 16, range(16), id="910C super-pod: all sixteen"),
        pytest.param(LAYOUTS["ascend-950-rack"], range(8), 8, range(8), id="950: the whole node"),
        pytest.param(LAYOUTS["kunlunxin"], (0, 1, 2, 4, 5), 2, (4, 5), id="Kunlunxin: one group, the fuller one"),
        pytest.param(LAYOUTS["kunlunxin"], (0, 1, 4, 5), 4, None, id="Kunlunxin: four over two groups are refused"),
        pytest.param(LAYOUTS["written out"], range(8), 6, (0, 1, 2, 3, 4, 6), id="written out: six may cross"),
    ],
)
def test_a_replica_gets_what_its_make_wants(
    layout: Layout, left: tuple[int, ...], size: int, expected: tuple[int, ...] | None
) -> None:
    """One row of the table at a time."""
    chosen = pick(layout, free(*left), size)
    assert (tuple(expected) if expected is not None else None) == (ids_of(chosen) if chosen is not None else None)


def test_replicas_of_one_node_share_nothing() -> None:
    """Taken one after the other, as many as are counted."""
    left = free(0, 1, 2, 5, 6, 7, 8, 9, 10, 11)
    assert fits(MODULES, left, 2) == 4
    assert [ids_of(mask) for mask in share(MODULES, left, 2, 4)] == [(0, 1), (6, 7), (8, 9), (10, 11)]
    with pytest.raises(AssertionError, match="5 replicas of 2 devices planned"):
        share(MODULES, left, 2, 5)


def test_a_division_would_count_too_many() -> None:
    """Six free devices of two rings are one slot of four, or none."""
    assert fits(RINGS, free(0, 1, 2, 3, 4, 5), 4) == 1
    assert fits(RINGS, free(0, 1, 2, 4, 5, 6), 4) == 0


def test_where_nobody_knows_what_is_taken_nothing_is_free() -> None:
    """All bits are taken."""
    assert fits(MESH, MESH.all & ~UNKNOWN, 1) == 0


@pytest.mark.parametrize(
    ("layout", "size", "expected"),
    [
        (RINGS, 4, "no 4 of its 6 free devices lie within one group"),
        (TWO_MESHES, 10, "no 10 of its 6 free devices are two halves on matching positions"),
        (MODULES, 4, "no 4 of its 6 free devices make whole groups"),
    ],
)
def test_a_misfit_is_told_by_the_rule_that_it_breaks(layout: Layout, size: int, expected: str) -> None:
    """For the reasons of a job that waits although there are devices enough."""
    assert expected == misfit(layout, free(0, 1, 2, 5, 6, 8), size)


def test_layouts_that_say_the_same_are_one_key() -> None:
    """What is remembered by layout is remembered once for all pools of a make."""
    again = Layout(RINGS.devices, Choice(RINGS.choice), RINGS.groups, RINGS.within_group, (), RINGS.prefer_free)
    assert {again: 1} == {RINGS: 1}
