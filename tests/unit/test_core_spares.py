"""Spares: which nodes are kept free, who does not get them, and who does."""

from dataclasses import replace

import pytest
from hypothesis import given, settings

from berth.core.admission import Pool, find, refusal
from berth.core.model import Node
from berth.core.slots import Ledger
from berth.core.spares import Keeper, Spares, choose, released
from tests.builders import GPU, a_gang, by_name, drawn
from tests.properties.dice import Dice, rolled
from tests.properties.fleets import LEVELS, Fleet, roll_fleet

PICTURE = """
    spine-0
      leaf-0  8 8 8 8
      leaf-1  8 8 0 0
    spine-1
      leaf-2  4 8 8c 8x
      leaf-3  0 0 0 8t
    """


def kept(pool: Pool) -> list[str]:
    """Nodes that are marked, in network order."""
    return [node.name for node in pool.ledger.nodes if node.spare]


def with_spares(nodes: int, picture: str = PICTURE, level: str = "spine") -> Pool:
    pool = drawn(picture)
    Keeper(Spares(level, nodes, GPU)).keep(pool.ledger)
    return pool


@pytest.mark.parametrize(
    ("nodes", "level", "expected"),
    [
        pytest.param(1, "spine", ["n5", "n9"], id="from the leaf with the fewest free nodes, the last of them"),
        pytest.param(2, "spine", ["n4", "n5", "n9"], id="as many as there are, where there are too few"),
        pytest.param(3, "spine", ["n3", "n4", "n5", "n9"], id="a whole free leaf is only touched when it must be"),
        pytest.param(1, "leaf", ["n3", "n5", "n9"], id="under every leaf"),
    ],
)
def test_the_nodes_are_kept_whose_loss_hurts_least(nodes: int, level: str, expected: list[str]) -> None:
    """Half taken, cordoned, tainted and broken nodes are no spares."""
    assert expected == kept(with_spares(nodes, level=level))


def test_a_new_gang_does_not_get_them_and_hears_why() -> None:
    """The pool has seven free nodes, of which five may be had."""
    pools = by_name(with_spares(1))
    berth = find(a_gang(5, inside="spine"), pools)
    assert berth is not None
    assert set(berth.placement(1, 0).nodes) == {"n0", "n1", "n2", "n3", "n4"}
    assert find(a_gang(6), pools) is None
    assert "2: kept free as a spare" in refusal(a_gang(6), pools).message


def test_a_repair_may_have_them() -> None:
    """It looks in a ledger without marks, and takes in the one that it plans on."""
    pool = with_spares(1)
    demand = a_gang(6).demand(GPU)
    free = released(pool.ledger)
    assert (pool.ledger.index(demand).free[0][0], free.index(demand).free[0][0]) == (5, 7)
    position = pool.ledger.tree.position["n5"]
    pool.ledger.take(position, demand, 1)
    assert pool.ledger.used[position][GPU] == 8


def test_when_a_spare_is_used_another_takes_its_place() -> None:
    """As long as there is a free one."""
    pool = with_spares(1)
    keeper = Keeper(Spares("spine", 1, GPU))
    keeper.keep(pool.ledger)
    pool.ledger.take(pool.ledger.tree.position["n5"], a_gang(1).demand(GPU), 1)
    keeper.keep(pool.ledger)
    assert kept(pool) == ["n4", "n9"]


def _changed(dice: Dice, ledger: Ledger) -> None:
    """One node is taken, freed, cordoned or opened."""
    position = dice.below(len(ledger.nodes))
    node: Node = ledger.nodes[position]
    if dice.flip():
        ledger.set_used(position, {GPU: 8} if dice.flip() else {})
    else:
        ledger.set_node(position, replace(node, cordoned=dice.flip()))


def _roll(dice: Dice) -> tuple[Fleet, Dice]:
    return roll_fleet(dice, least=1, most=12, whole_nodes=True), dice


@given(rolled(_roll, 96))
@settings(max_examples=150, derandomize=True, database=None, deadline=None)
def test_kept_up_to_date_they_are_those_that_would_be_chosen_now(example: tuple[Fleet, Dice]) -> None:
    """Whatever has happened, and however often the log was cut: the mark is a function of what is free."""
    fleet, dice = example
    if not fleet.levels:
        return
    ledger, level = fleet.ledger(), dice.pick(fleet.levels)
    spares = Spares(level, dice.between(1, 3), fleet.resource)
    keeper = Keeper(spares)
    for _ in range(6):
        for _ in range(dice.below(4)):
            _changed(dice, ledger)
        if dice.flip():
            ledger.fork()
        keeper.keep(ledger)
        number = LEVELS.index(level) + 1
        expected = {p for domain in range(len(ledger.tree.domains[number])) for p in choose(ledger, spares, domain)}
        assert {position for position, node in enumerate(ledger.nodes) if node.spare} == expected
        for position in expected:
            assert not ledger.used[position].get(GPU)
