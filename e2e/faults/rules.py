"""What can be done to calls on their way: kill, refuse, lose, hold back, tell twice, forget.

A rule is made by the test's thread and asked by the proxy's. What both change is a number or a flag behind a
`threading` primitive; what only the proxy's loop waits for is an `asyncio.Event` that the test sets through the loop.
"""

import asyncio
import signal
import threading
import time
from collections.abc import Callable
from enum import Enum
from types import TracebackType
from typing import Protocol, Self

from e2e.faults.calls import Call, Match
from e2e.ground.waiting import until

_GONE_S = 10.0


class Moment(Enum):
    """Where on the way of a call something happens."""

    BEFORE = "before the API server gets the request"
    AFTER = "after the API server has answered, before the operator has the answer"


class Victim(Protocol):
    """A process that can be killed and started again: an ``OperatorProcess``."""

    @property
    def pid(self) -> int | None:
        """Process number of the latest start."""

    @property
    def alive(self) -> bool:
        """Whether it runs."""

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""


class Rule:
    """Something done to the calls that ``on`` chooses, until it is lifted. Use as a context manager, or ``lift()``."""

    def __init__(self, on: Match, lift: Callable[["Rule"], None]) -> None:
        self.on = on
        self._lift = lift

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.lift()

    def lift(self) -> None:
        """Stop doing it. A rule that is lifted already stays so."""
        self._lift(self)


class Crash(Rule):
    """SIGKILL at the ``nth`` call that is chosen, counted from 1. Fires once.

    While it is armed the proxy forwards one write at a time, so that exactly the writes before the moment have been
    done; from the kill on nothing of the killed process is forwarded.
    """

    def __init__(self, victim: Victim, on: Match, *, nth: int, moment: Moment, lift: Callable[[Rule], None]) -> None:
        super().__init__(on, lift)
        self.moment = moment
        self.seen = 0
        self.call: Call | None = None
        self._victim = victim
        self._nth = nth
        self._fired = threading.Event()

    @property
    def fired(self) -> bool:
        """Whether the victim was killed."""
        return self._fired.is_set()

    def due(self, call: Call) -> bool:
        """Count a call; whether it is the one."""
        if self.fired or not self.on(call):
            return False
        self.seen += 1
        return self.seen == self._nth

    def strike(self, call: Call) -> tuple[Victim, int]:
        """Kill; the victim and the process number that is now a dead one's."""
        pid = self._victim.pid
        assert pid is not None, "a process that sends calls has a number"
        self._victim.signal(signal.SIGKILL)
        self.call = call
        self._fired.set()
        return self._victim, pid

    def wait(self, *, timeout_s: float) -> Call:
        """The call at which the victim was killed, once it is gone. TimeoutError tells how far the calls came."""
        if not self._fired.wait(timeout_s):
            raise TimeoutError(f"waited {timeout_s:g} s for call {self._nth} of those chosen; there were {self.seen}")
        until(lambda: not self._victim.alive, "the killed process to be gone", timeout_s=_GONE_S)
        assert self.call is not None
        return self.call


class Refusal(Rule):
    """The API server seems to refuse: an answer of ``status``, or with 0 a cut connection; at most ``times`` times.

    With ``moment`` AFTER the API server does get the call and does what it asks; only its answer is replaced.
    """

    def __init__(
        self,
        on: Match,
        *,
        status: int,
        retry_after: int | None,
        times: int | None,
        moment: Moment,
        lift: Callable[[Rule], None],
    ) -> None:
        super().__init__(on, lift)
        self.status = status
        self.retry_after = retry_after
        self.moment = moment
        self.refused_at: list[float] = []
        """When each call was refused, in seconds of the monotonic clock."""
        self._times = times

    @property
    def refused(self) -> int:
        """How many calls were refused."""
        return len(self.refused_at)

    def applies(self, call: Call, moment: Moment) -> bool:
        """Whether to refuse this call now; counts it."""
        if moment is not self.moment or not self.on(call) or (self._times is not None and self.refused >= self._times):
            return False
        self.refused_at.append(time.monotonic())
        return True


class Hold(Rule):
    """Calls wait, BEFORE they reach the API server or AFTER it has answered; of watches, events wait.

    Lifting lets everything go on in order. A call that is held back goes on even if its sender has ended meanwhile,
    as a packet on the way would; only what a ``Crash`` has killed sends nothing more.
    """

    def __init__(self, on: Match, *, moment: Moment, lift: Callable[[Rule], None]) -> None:
        super().__init__(on, lift)
        self.moment = moment
        self.waiting = 0
        """Calls and watches with an event that wait now."""
        self._open = asyncio.Event()

    async def passage(self, call: Call, moment: Moment | None) -> None:
        """Wait until this call may go on; ``moment`` is None for an event of a watch. In the proxy's loop."""
        if moment not in (None, self.moment) or not self.on(call):
            return
        self.waiting += 1
        try:
            await self._open.wait()
        finally:
            self.waiting -= 1

    def open(self) -> None:
        """Let go what waits. In the proxy's loop."""
        self._open.set()

    def wait(self, *, least: int = 1, timeout_s: float) -> None:
        """Wait until so many calls, or watches with an event, are being held back."""
        until(
            lambda: self.waiting >= least,
            lambda: f"{least} calls to be held back; there are {self.waiting}",
            timeout_s=timeout_s,
        )


class Duplication(Rule):
    """Every event of a watch is told twice, one after the other."""


class Expiry(Rule):
    """Watches that go on from what was known before get an ERROR event of code 410, until their kind is listed anew."""

    def __init__(self, on: Match, lift: Callable[[Rule], None]) -> None:
        super().__init__(on, lift)
        self._listed: set[tuple[str, str, str]] = set()

    def note(self, call: Call) -> None:
        """Take note of an answered call: a list makes watches legal again."""
        if call.verb == "list":
            self._listed.add((call.resource, call.namespace, call.selector))

    def refuses(self, watch: Call) -> bool:
        """Whether a watch begins where it may not."""
        return self.on(watch) and (watch.resource, watch.namespace, watch.selector) not in self._listed
