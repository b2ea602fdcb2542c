"""What the seconds of an attempt are: starting, restoring, work, checkpoints; and what is lost when it is stopped.

The order is fixed: the gang starts, restores the last checkpoint if there is one, then works `interval` seconds and
writes a checkpoint, again and again; none after the last piece of work. A checkpoint is durable once it is written
whole. What was done since then is lost with a stop: the model of Young (1974) and Daly (2006), played out second by
second instead of on average.

All of it is integers. A gang that sits wide takes `slow` millionths longer for all its work.
"""

from dataclasses import dataclass

from berth.sim.case import Costs
from berth.sim.record import Spent

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Progress:
    """An attempt as it goes if nothing stops it: `work` seconds that are left, `slow` millionths longer.

    `restored`: there is a checkpoint to begin from. `under_way`: it runs already, so that neither is waited for.
    """

    work: int
    costs: Costs
    slow: int = 0
    restored: bool = False
    under_way: bool = False

    @property
    def start(self) -> int:
        """Seconds until its pods are up."""
        return 0 if self.under_way else self.costs.start

    @property
    def restore(self) -> int:
        """Seconds that it takes to begin from a checkpoint."""
        return self.costs.restore if self.restored and not self.under_way else 0

    @property
    def checkpoints(self) -> int:
        """How many checkpoints it writes if it is let."""
        interval = self.costs.interval
        return (self.work - 1) // interval if interval and self.work > 0 else 0

    @property
    def length(self) -> int:
        """Seconds from its begin to its end."""
        return self.start + self.restore + self._running(self.work) + self.checkpoints * self.costs.save

    def spent(self, elapsed: int, *, stopped: bool) -> Spent:
        """What the first `elapsed` seconds were; adds up to them. `stopped`: what was not made durable is lost."""
        elapsed = min(elapsed, self.length)
        starting = min(elapsed, self.start)
        restoring = min(elapsed - starting, self.restore)
        rest = elapsed - starting - restoring
        written = self._written(rest)
        durable = written * (self.costs.interval or 0)
        running, saving = self._split(rest, written)
        if elapsed == self.length:
            durable, stopped = self.work, False
        done = durable if stopped else min(self.work, running * MILLION // (MILLION + self.slow))
        kept = self._running(durable) if stopped else running
        return Spent(
            starting=starting,
            restoring=restoring,
            useful=done,
            slowed=kept - done,
            checkpointing=saving,
            lost=running - kept,
        )

    def durable(self, elapsed: int) -> int:
        """Seconds of work that are safe if it is stopped after so many seconds."""
        if elapsed >= self.length:
            return self.work
        return self._written(elapsed - self.start - self.restore) * (self.costs.interval or 0)

    def _running(self, work: int) -> int:
        """Seconds that so much work takes, checkpoints aside."""
        return -(-work * (MILLION + self.slow) // MILLION)

    def _written(self, rest: int) -> int:
        """Checkpoints that are written whole within so many seconds after the gang began to work."""
        interval, save = self.costs.interval, self.costs.save
        if not interval or rest <= 0:
            return 0
        low, high = 0, self.checkpoints
        while low < high:
            middle = -(-(low + high) // 2)
            if self._running(middle * interval) + middle * save <= rest:
                low = middle
            else:
                high = middle - 1
        return low

    def _split(self, rest: int, written: int) -> tuple[int, int]:
        """Seconds of running and of writing checkpoints, of so many after the gang began to work."""
        running = rest - written * self.costs.save
        if self.costs.interval and written < self.checkpoints:
            running = min(running, self._running((written + 1) * self.costs.interval))
        return running, rest - running
