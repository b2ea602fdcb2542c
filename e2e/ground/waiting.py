"""Waiting for something to become true, with a limit and a message that says what did not."""

import time
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")

_POLL_S = 0.05


def until(
    condition: Callable[[], _T],
    what: str | Callable[[], str],
    *,
    timeout_s: float,
    poll_s: float = _POLL_S,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> _T:
    """The first true result of ``condition``; what it raises is not caught.

    TimeoutError after ``timeout_s`` seconds, saying what was waited for; ``what`` may be called to tell it then.
    """
    end = clock() + timeout_s
    while not (result := condition()):
        if clock() >= end:
            told = what if isinstance(what, str) else what()
            raise TimeoutError(f"waited {timeout_s:g} s for {told}")
        sleep(poll_s)
    return result
