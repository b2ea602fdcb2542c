"""The heart keeps every law, on random trees and streams."""

from typing import Any

import pytest

from tests.properties import (
    backfilling,
    counting,
    cycling,
    explaining,
    grouping,
    laying,
    numbering,
    placing,
    repairing,
    simulating,
    streaming,
    vacating,
)
from tests.properties.law import ROOMS, Room, tries

MODULES = (
    backfilling,
    counting,
    cycling,
    explaining,
    grouping,
    laying,
    numbering,
    placing,
    repairing,
    simulating,
    streaming,
    vacating,
)


@pytest.mark.parametrize("room", ROOMS.values(), ids=ROOMS.keys())
def test_the_heart_keeps_its_laws(room: Room[Any, Any]) -> None:
    """Every law of the room holds for the heart's own implementation, on every example tried."""
    room.uphold(room.real, room.laws, tries=tries(room.tries), shrink=True)
