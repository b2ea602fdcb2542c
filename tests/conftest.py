"""For all tests: no event loop is there until a test asks for one.

pytest-asyncio's runner otherwise meets a loop that nobody opened or closes, and its garbage collection turns into an
error in whichever test comes next.
"""

import asyncio


def pytest_configure() -> None:
    """Take the policy's implicit loop away before the first test."""
    asyncio.set_event_loop(None)
