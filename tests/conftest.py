"""For all tests: no event loop is there until a test asks for one, and no example of hypothesis is timed.

pytest-asyncio's runner otherwise meets a loop that nobody opened or closes, and its garbage collection turns into an
error in whichever test comes next. An example that is slow on a busy machine is not a wrong one.
Programs that tests start hear Ctrl-C, though the tests themselves may have been told not to.
"""

import asyncio
import signal

from hypothesis import settings


def pytest_configure() -> None:
    """Take the policy's implicit loop away before the first test, and hypothesis' limit of 200 ms."""
    asyncio.set_event_loop(None)
    settings.register_profile("untimed", deadline=None)
    settings.load_profile("untimed")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a job that a script put into the background
        signal.signal(signal.SIGINT, signal.default_int_handler)
