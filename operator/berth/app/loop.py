"""The loop: changes ring a bell, a quiet moment closes the batch, one cycle decides, the actuators begin.

A cycle runs in the event loop itself, between two awaits, so the mirror cannot change under it. Nothing else runs
meanwhile, no pod is created; so after a cycle that took long the next one waits, even if changes have come, until what
was decided has had its share of the time.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from berth.act.actuator import Actuator
from berth.app.settings import Settings
from berth.cluster.mirror import Mirror
from berth.core.cycle import Snapshot, cycle
from berth.core.plan import Plan
from berth.core.stays import Backfill

logger = logging.getLogger(__name__)

IDLE_SECONDS = 30.0
"""A cycle runs at least this often, so that /healthz can tell a quiet operator from a stuck one."""
_REST = 3
"""Cycles rest so many times as long as the last one took (at most as long as a batch may stay open)."""
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


class Closed(StrEnum):
    """What closed a batch."""

    QUIET = "quiet"  # nothing came for a while
    LIMIT = "limit"  # changes kept coming
    DUE = "due"  # nothing had changed, but something was due


@dataclass(frozen=True, slots=True)
class Batch:
    """Changes that one cycle is run for: how many, and when the first of them came (None: there is none)."""

    changes: int
    opened: float | None
    closed: Closed


@dataclass(frozen=True, slots=True)
class Cycle:
    """A cycle that was run: seconds of its phases, and from its batch's first change to its end."""

    batch: Batch
    snapshot: float
    decide: float
    actuate: float
    lag: float | None


class Bell:
    """Rung by every change. A batch closes after `quiet` seconds without a ring, and after `most` at the latest.

    Where it is asked to rest, a batch with a change closes no earlier than that, but not later than `most`.
    """

    def __init__(self, *, quiet: float, most: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._quiet = quiet
        self._most = most
        self._monotonic = monotonic
        self._rung = asyncio.Event()
        self._first = self._last = 0.0
        self._changes = 0

    def pace(self, *, quiet: float, most: float) -> None:
        """Close batches so from now on."""
        self._quiet, self._most = quiet, most

    def ring(self) -> None:
        """Something changed."""
        self._last = self._monotonic()
        if not self._changes:
            self._first = self._last
        self._changes += 1
        self._rung.set()

    async def batch(self, at_most: float, *, rest: float = 0.0) -> Batch:
        """Wait for a change and for the batch to close, or until `at_most` seconds have passed without any."""
        rested = self._monotonic() + min(rest, self._most)
        try:
            await asyncio.wait_for(self._rung.wait(), at_most)
        except TimeoutError:
            return Batch(0, None, Closed.DUE)  # a ring at this very moment opens the next one
        end = self._monotonic() + self._most
        while True:
            now = self._monotonic()
            left = min(end, max(self._last + self._quiet, rested)) - now
            if left < _TICK:
                break
            await asyncio.sleep(left)
        return self.close(Closed.QUIET if self._last + self._quiet - now < _TICK else Closed.LIMIT)

    def close(self, closed: Closed) -> Batch:
        """Close the batch as it stands; what rings from here on belongs to the next."""
        batch = Batch(self._changes, self._first if self._changes else None, closed)
        self._changes = 0
        self._rung.clear()
        return batch


class Loop:
    """Runs cycles.

    `before_cycle` may say in how many seconds it wants to be called again; `on_cycle` is told of each that was run.
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
        on_cycle: Callable[[Cycle], None] = lambda _: None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._mirror = mirror
        self._actuator = actuator
        self._bell = bell
        self._epoch = epoch
        self._before_cycle = before_cycle
        self._on_cycle = on_cycle
        self._clock = clock
        self._monotonic = monotonic
        self.last = LastCycle(ended=monotonic())
        self._decide_by(settings)

    def take(self, settings: Settings) -> None:
        """Run cycles by other settings from the next one on, which looks at every job."""
        self._decide_by(settings)
        for key in self._mirror.jobs:
            self._mirror.touch(key)
        self._bell.ring()

    def _decide_by(self, settings: Settings) -> None:
        self._mode = settings.mode
        self._backfill = Backfill(settings.backfill_depth, settings.assumed_seconds, settings.patience_percent)
        self._waits = settings.waits()

    async def run(self) -> None:
        """Run cycles until cancelled. The first looks at every job."""
        batch = self._bell.close(Closed.DUE)
        while True:
            began = self._monotonic()
            wait = self._one(batch)
            batch = await self._bell.batch(wait, rest=_REST * (self._monotonic() - began))

    def _one(self, batch: Batch) -> float:
        """Run one cycle; seconds until the next is due though nothing changes."""
        reminder = self._actuator.remind()
        again = self._before_cycle()
        started = self._monotonic()
        now = int(self._clock())
        snapshot = replace(self._mirror.snapshot(self._mode, self._epoch), waits=self._waits, backfill=self._backfill)
        taken = self._monotonic()
        plan = cycle(snapshot, now)
        decided = self._monotonic()
        self._actuator.carry_out(plan)
        ended = self._monotonic()
        lag = None if batch.opened is None else ended - batch.opened
        self._on_cycle(Cycle(batch, taken - started, decided - taken, ended - decided, lag))
        self.last = LastCycle(snapshot, plan, now, ended, self.last.cycles + 1)
        if decided - started > 1:
            logger.warning("slow cycle", extra={"seconds": round(decided - started, 3), "jobs": len(snapshot.jobs)})
        due = [IDLE_SECONDS, *(x for x in (again, reminder, self._actuator.remind()) if x is not None)]
        if plan.wake_at is not None:
            due.append(max(0.0, plan.wake_at - self._clock()))
        return min(due)
