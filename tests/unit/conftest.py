"""What several modules of unit tests stand on."""

from collections.abc import AsyncIterator

import pytest

from tests.unit.acting import Ground


@pytest.fixture
async def ground() -> AsyncIterator[Ground]:
    """An actuator before a small cluster in memory; modules that test something else have a ground of their own."""
    made = Ground()
    yield made
    await made.actuator.finish(0)
