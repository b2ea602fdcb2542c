"""Trying again: what, how soon, how long."""

import pytest

from berth.kube.errors import ApiError, Conflict, TooManyRequests, Unavailable
from berth.kube.retries import persist, retrying


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Call:
    """Fails with the given errors, one a call, and then returns."""

    def __init__(self, *errors: ApiError) -> None:
        self.errors = list(errors)
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def unavailable() -> Unavailable:
    return Unavailable(request="get pods a/x", status=503, reason="ServiceUnavailable", message="later")


def busy(seconds: float) -> TooManyRequests:
    return TooManyRequests(
        request="get pods a/x", status=429, reason="TooManyRequests", message="busy", retry_after=seconds
    )


async def test_a_passing_failure_passes() -> None:
    """The caller sees the result and nothing of the failures before it; waits double, half of each is jitter."""
    time, call = Time(), Call(unavailable(), unavailable(), unavailable())
    again = retrying(deadline=time.now + 60, first=0.2, clock=time.clock, sleep=time.sleep, random=lambda: 1.0)
    assert await again(call) == "done"
    assert time.slept == pytest.approx([0.2, 0.4, 0.8])


async def test_jitter_spreads_the_second_half_of_a_wait() -> None:
    """The shortest wait is half of the longest, so nobody hammers and nobody comes in step."""
    time, call = Time(), Call(unavailable(), unavailable())
    again = retrying(deadline=time.now + 60, first=0.2, clock=time.clock, sleep=time.sleep, random=lambda: 0.0)
    await again(call)
    assert time.slept == pytest.approx([0.1, 0.2])


async def test_waits_are_bounded() -> None:
    """However often a call fails, the next try is not further than `most`, and soon where the server is away."""
    for failure, most in ((busy(0.0), 10.0), (unavailable(), 3.0)):
        time, call = Time(), Call(*(failure for _ in range(40)))
        again = retrying(deadline=time.now + 900, most=10.0, clock=time.clock, sleep=time.sleep, random=lambda: 1.0)
        await again(call)
        assert max(time.slept) == most


async def test_the_servers_wish_is_obeyed_with_jitter_on_top() -> None:
    """Never sooner than Retry-After, and not all refused callers at the same moment after it."""
    time, call = Time(), Call(busy(5.0))
    again = retrying(deadline=time.now + 60, first=0.2, clock=time.clock, sleep=time.sleep, random=lambda: 0.5)
    await again(call)
    assert time.slept == pytest.approx([5.15])


async def test_no_wait_crosses_the_deadline() -> None:
    """A wait that would end too late is not begun: the last error comes out as it is."""
    time, call = Time(), Call(unavailable(), busy(30.0))
    again = retrying(deadline=time.now + 20, clock=time.clock, sleep=time.sleep, random=lambda: 1.0)
    with pytest.raises(TooManyRequests):
        await again(call)
    assert call.calls == 2
    assert time.now < 1020


async def test_what_would_fail_again_is_not_tried_again() -> None:
    """A conflict wants another look at the object, not the same request once more."""
    time = Time()
    call = Call(Conflict(request="apply pods a/x", status=409, reason="Conflict", message="changed"))
    with pytest.raises(Conflict):
        await retrying(deadline=time.now + 60, clock=time.clock, sleep=time.sleep)(call)
    assert (call.calls, time.slept) == (1, [])


async def test_a_call_that_succeeds_at_once_is_made_once() -> None:
    """And nothing is slept."""
    time, call = Time(), Call()
    await persist(call, deadline=time.now + 60, clock=time.clock, sleep=time.sleep)
    assert time.slept == []


async def test_a_call_that_fails_first_goes_on_as_under_the_policy() -> None:
    """Tries and waits are the same, and so is the deadline."""
    for failures in ([unavailable()], [busy(5.0), unavailable()], [unavailable() for _ in range(6)]):
        time, call = Time(), Call(*failures)
        await persist(call, deadline=time.now + 60, clock=time.clock, sleep=time.sleep, random=lambda: 1.0)
        other, again = Time(), Call(*failures)
        policy = retrying(deadline=other.now + 60, clock=other.clock, sleep=other.sleep, random=lambda: 1.0)
        await policy(again)
        assert time.slept == pytest.approx(other.slept)
    time, call = Time(), Call(*(unavailable() for _ in range(9)))
    with pytest.raises(Unavailable):
        await persist(call, deadline=time.now + 0.05, clock=time.clock, sleep=time.sleep, random=lambda: 1.0)
    assert time.slept == []
