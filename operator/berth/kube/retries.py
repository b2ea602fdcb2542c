"""Trying again what is worth trying again, until a deadline.

Only for calls that may be made twice: reads, server-side apply, deletes, and creates whose name is fixed and
whose caller takes `AlreadyExists` as the answer of an earlier try. A server that says when to come back is
obeyed, and the jitter is added on top: many writers were refused at the same moment and must not return at
the same moment.
"""

import asyncio
import random as _random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from berth.kube.errors import Transient, Unavailable, Unreachable

T = TypeVar("T")

FIRST = 0.1
"""Seconds before the second try."""
AWAY_MOST = 3.0
"""Longest wait, in seconds, while the server is away: one that cannot answer is not spared by waiting longer."""


def longest(error: BaseException | None, most: float) -> float:
    """The longest wait after an error: `most`, but less while nobody is there to be spared."""
    return min(most, AWAY_MOST) if isinstance(error, Unreachable | Unavailable) else most


def backoff(tries: int, *, first: float, most: float, random: Callable[[], float]) -> float:
    """Seconds to wait after the `tries`-th failure in a row (from 1): doubling, bounded, half jitter."""
    return min(most, first * 2.0 ** min(tries - 1, 30)) * (0.5 + 0.5 * random())


def wait_after(error: BaseException | None, seconds: float) -> float:
    """Seconds to wait after `error`, given the back-off's own wish: the server's Retry-After comes first."""
    asked = error.retry_after if isinstance(error, Transient) else None
    return seconds + (asked or 0.0)


async def persist(
    call: Callable[[], Awaitable[T]],
    *,
    deadline: float,
    first: float = FIRST,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    random: Callable[[], float] = _random.random,
) -> T:
    """What `retrying` does, and nothing besides the call where that succeeds at once, as nearly all do.

    The policy's own work is a tenth of what a pod's creation costs.
    """
    try:
        return await call()
    except Transient as error:
        wait = wait_after(error, backoff(1, first=first, most=first, random=random))
        if clock() + wait >= deadline:
            raise
    await sleep(wait)
    return await retrying(deadline=deadline, first=2 * first, clock=clock, sleep=sleep, random=random)(call)


def retrying(
    *,
    deadline: float,
    first: float = FIRST,
    most: float = 10.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    random: Callable[[], float] = _random.random,
) -> AsyncRetrying:
    """A policy for one call.

    Usage: `await retrying(deadline=clock() + 30)(client.apply, TRAINING_JOBS, name, body, namespace=ns)`.
    Tries again on `Transient` only. `deadline` is a time of `clock`: a wait that would reach it is not begun,
    and the last error is raised as it is. A try that is under way at the deadline ends by the client's own
    timeout.
    """

    def wait(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        own = backoff(state.attempt_number, first=first, most=longest(error, most), random=random)
        return wait_after(error, own)

    return AsyncRetrying(
        retry=retry_if_exception_type(Transient),
        wait=wait,
        stop=lambda state: clock() + state.upcoming_sleep >= deadline,
        sleep=sleep,
        reraise=True,
    )
