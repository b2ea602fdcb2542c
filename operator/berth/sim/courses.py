"""What becomes of every task: its attempts, how far its work is safe, and the record that is made of it in the end."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from berth.core.model import Placement
from berth.sim.case import Slowdown, Task
from berth.sim.progress import MILLION, Progress
from berth.sim.record import Life, Stint

SUCCEEDED = "Succeeded"


@dataclass(slots=True)
class Attempt:
    """An attempt that holds devices. `halted`: since when nothing runs any more; None while it does."""

    number: int
    placement: Placement
    start: int
    progress: Progress
    halted: int | None = None

    @property
    def ends(self) -> int:
        """When it has done its work if nothing stops it."""
        return self.start + self.progress.length


@dataclass(slots=True)
class Course:
    """A task under way. `safe`: seconds of its work that no stop can take from it any more."""

    task: Task
    safe: int = 0
    attempt: Attempt | None = None
    stints: list[Stint] = field(default_factory=list)
    finished: int | None = None
    outcome: str = ""

    def begin(self, number: int, placement: Placement, now: int, slowdown: Slowdown) -> Attempt:
        """An attempt is placed: begin where the last checkpoint stands."""
        under_way = bool(self.task.held) and not self.stints and number == 1 and now == 0
        progress = Progress(
            work=self.task.work - self.safe,
            costs=self.task.costs,
            slow=_slow(placement, slowdown),
            restored=self.safe > 0,
            under_way=under_way,
        )
        self.attempt = Attempt(number, placement, now, progress)
        return self.attempt

    def succeed(self, now: int, seats: Mapping[str, int]) -> None:
        """The work of the current attempt is done. It ends here, whenever its devices are given to somebody else."""
        self._close(now, now, SUCCEEDED, seats, stopped=False)
        self.finished, self.outcome = now, SUCCEEDED

    def halt(self, now: int) -> None:
        """From now on nothing of the current attempt runs."""
        if self.attempt is not None and self.attempt.halted is None:
            self.attempt.halted = now

    def stop(self, now: int, cause: str, seats: Mapping[str, int]) -> None:
        """The current attempt has given its devices back."""
        assert self.attempt is not None, f"{self.task.key} has no attempt to stop"
        halted = now if self.attempt.halted is None else self.attempt.halted
        self.safe += self.attempt.progress.durable(halted - self.attempt.start)
        self._close(halted, now, cause, seats, stopped=True)

    def fail(self, now: int) -> None:
        """It is over for good, and not well."""
        self.finished, self.outcome = now, "Failed"

    def life(self, end: int, seats: Mapping[str, Mapping[str, int]], waiting: str) -> Life:
        """The record of the task at the end of the run."""
        if self.attempt is not None:
            halted = end if self.attempt.halted is None else self.attempt.halted
            stopped = self.attempt.halted is not None
            self._close(halted, end, "", seats[self.attempt.placement.pool], stopped=stopped)
        return Life(self.task, tuple(self.stints), self.finished, self.outcome, "" if self.stints else waiting)

    def _close(self, halted: int, end: int, cause: str, seats: Mapping[str, int], *, stopped: bool) -> None:
        attempt = self.attempt
        assert attempt is not None, f"{self.task.key} has no attempt to close"
        spent = attempt.progress.spent(halted - attempt.start, stopped=stopped)
        self.stints.append(
            Stint(
                attempt=attempt.number,
                pool=attempt.placement.pool,
                nodes=tuple(seats[node] for node in attempt.placement.nodes),
                start=attempt.start,
                end=end,
                cause=cause,
                spent=replace(spent, stopping=end - halted) if end > halted else spent,
            )
        )
        self.attempt = None


def _slow(placement: Placement, slowdown: Slowdown) -> int:
    """By how many millionths a gang takes longer for where it sits."""
    wide = (slowdown.by_level.get(level, 0.0) for level, domains in placement.spans if domains > 1)
    return round(max(wide, default=0.0) * MILLION)
