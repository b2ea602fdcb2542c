"""Every baseline's rule places whole gangs where there is room, on random trees: a broken baseline flatters us."""

import pytest

from berth.sim.policies import POLICIES
from tests.properties.law import tries
from tests.properties.placing import PLACING

LAWS = (
    "a gang is placed whole and only on free slots of its domain",
    "room is found wherever there is any",
    "ranks are in network order",
    "looking for room takes none",
)


@pytest.mark.parametrize("name", POLICIES)
def test_a_policys_rule_keeps_the_laws_of_every_placement(name: str) -> None:
    """Whole, inside its domain, on free slots, and wherever there is room; what it prefers is its own affair."""
    PLACING.uphold(POLICIES[name].rule(1), LAWS, tries=tries(200), shrink=True)
