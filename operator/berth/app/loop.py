"""The loop: changes ring a bell, a quiet moment closes the batch, one cycle decides, the actuators begin.

A cycle runs in the event loop itself, between two awaits, so the mirror cannot change under it.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from berth.act.actuator import Actuator
from berth.app.settings import Settings
from berth.cluster.mirror import Mirror
from berth.core.cycle import Snapshot, cycle
from berth.core.future import Backfill
from berth.core.plan import Plan

logger = logging.getLogger(__name__)

IDLE_SECONDS = 30.0
"""A cycle runs at least this often, so that /healthz can tell a quiet operator from a stuck one."""
_TICK = 0.001
"""Less than this many seconds are not slept: timers are hardly finer, and sums of times are not exact."""


@dataclass(slots=True)
class LastCycle:
    """What the last cycle saw, decided and took: for metrics, health and dumps. `at`: its time, in unix seconds."""

    snapshot: Snapshot | None = None
    plan: Plan | None = None
    at: int = 0
    ended: float = 0.0
    cycles: int = 0


class Bell:
    """Rung by every change. A batch closes after `quiet` seconds without a ring, and after `most` at the latest."""

    def __init__(self, *, quiet: float, most: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._quiet = quiet
        self._most = most
        self._monotonic = monotonic
        self._rung = asyncio.Event()
        self._last = 0.0

    def ring(self) -> None:
        """Something changed."""
        self._last = self._monotonic()
        self._rung.set()

    async def batch(self, at_most: float) -> None:
        """Wait for a change and for the batch to close, or until `at_most` seconds have passed without any."""
        try:
            await asyncio.wait_for(self._rung.wait(), at_most)
        except TimeoutError:
            return
        end = self._monotonic() + self._most
        while True:
            left = min(end, self._last + self._quiet) - self._monotonic()
            if left < _TICK:
                break
            await asyncio.sleep(left)
        self._rung.clear()


class Loop:
    """Runs cycles.

    `before_cycle` may say in how many seconds it wants to be called again; `on_cycle(snapshot seconds, decision
    seconds)` is told how long each took.
    """

    def __init__(
        self,
        *,
        mirror: Mirror,
        actuator: Actuator,
        bell: Bell,
        settings: Settings,
        epoch: int = 0,
        before_cycle: Callable[[], float | None] = lambda: None,
        on_cycle: Callable[[float, float], None] = lambda _snapshot, _decide: None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._mirror = mirror
        self._actuator = actuator
        self._bell = bell
        self._settings = settings
        self._backfill = Backfill(settings.backfill_depth, settings.assumed_seconds)
        self._epoch = epoch
        self._waits = settings.waits()
        self._before_cycle = before_cycle
        self._on_cycle = on_cycle
        self._clock = clock
        self._monotonic = monotonic
        self.last = LastCycle(ended=monotonic())

    async def run(self) -> None:
        """Run cycles until cancelled. The first looks at every job."""
        while True:
            wait = self._one()
            await self._bell.batch(wait)

    def _one(self) -> float:
        """Run one cycle; seconds until the next is due though nothing changes."""
        reminder = self._actuator.remind()
        again = self._before_cycle()
        started = self._monotonic()
        now = int(self._clock())
        snapshot = replace(
            self._mirror.snapshot(self._settings.mode, self._epoch), waits=self._waits, backfill=self._backfill
        )
        taken = self._monotonic()
        plan = cycle(snapshot, now)
        decided = self._monotonic()
        self._actuator.carry_out(plan)
        self._on_cycle(taken - started, decided - taken)
        self.last = LastCycle(snapshot, plan, now, self._monotonic(), self.last.cycles + 1)
        if decided - started > 1:
            logger.warning("slow cycle", extra={"seconds": round(decided - started, 3), "jobs": len(snapshot.jobs)})
        due = [IDLE_SECONDS, *(x for x in (again, reminder, self._actuator.remind()) if x is not None)]
        if plan.wake_at is not None:
            due.append(max(0.0, plan.wake_at - self._clock()))
        return min(due)
