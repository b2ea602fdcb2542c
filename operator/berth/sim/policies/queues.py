"""Who may start before whom: the rules of the queue, over any rule of placement.

Each makes the turn of one cycle as `core.cycle` takes it. All are Berth's own `Line`; they differ in how many of those
that wait have a place kept for them, and in one case is closed behind the first of them:

- `conservative`: for as many of each pool as the settings say, so that nobody in front is delayed (Berth's own).
- `first-fit-backfill`: for the first of each pool alone; any other that fits and does not delay it starts, in order of
  the queue. Source: Jackson, Snell and Clement, "Core Algorithms of the Maui Scheduler", JSSPP 2001: backfill policy
  FIRSTFIT with a reservation depth of 1, Maui's defaults; Lifka's EASY with the first that fits.
- `any-fit`: for nobody; any job that fits starts, in order of the queue. It is what a list scheduler does that knows no
  ends, and may keep a large gang waiting for as long as smaller ones come.
- `strict`: first come, first served: nobody passes. Source: Slurm, `slurm.conf`, `SchedulerType=sched/builtin`.
"""

from dataclasses import replace
from typing import Any, Protocol

from berth.core.admission import Berth, Find, candidates, holds_it_empty
from berth.core.backfill import Line, Turn, Turns
from berth.core.model import Job


class Strict(Line):
    """First come, first served: a job that waits closes the pools that it waits for, to all behind it.

    Those are the pools that would hold it if nothing were taken. A job that fits nowhere even then closes none: a
    strict queue that let it would stand still for ever, and where such queues are in use it is refused at submission.
    """

    def __init__(self, *line: Any, **more: Any) -> None:
        super().__init__(*line, **more)
        self._closed: set[str] = set()

    def start(self, job: Job) -> Berth | None:
        """Find a place for a job before which nobody waits, and take it; None if it has to wait."""
        names = {pool.name for pool in candidates(job.gang, self.pools)}
        berth = None if names & self._closed else super().start(job)
        if berth is None:
            self._closed |= {name for name in names if holds_it_empty(job.gang, self.pools[name])}
        return berth


class Queue(Protocol):
    """Makes the turns of a run whose places `find` finds.

    `own`: places are waited for, too, and changed for each other's sake, as in clusters.
    """

    def __call__(self, find: Find, *, own: bool = False) -> Turns:
        """The turns."""


def conservative(find: Find, *, own: bool = False) -> Turns:
    """Nobody passes at the cost of those in front, as far as the settings' depth goes."""
    return _turns(Line, find, depth=None, own=own)


def first_fit_backfill(find: Find, *, own: bool = False) -> Turns:
    """Nobody passes at the cost of the first that waits."""
    return _turns(Line, find, depth=1, own=own)


def any_fit(find: Find, *, own: bool = False) -> Turns:
    """Whoever fits starts."""
    return _turns(Line, find, depth=0, own=own)


def strict(find: Find, *, own: bool = False) -> Turns:
    """Nobody passes."""
    return _turns(Strict, find, depth=0, own=own)


QUEUES: dict[str, Queue] = {
    "conservative": conservative,
    "first-fit-backfill": first_fit_backfill,
    "any-fit": any_fit,
    "strict": strict,
}


def _turns(line: type[Line], find: Find, *, depth: int | None, own: bool) -> Turns:
    def turn(*facts: Any, **more: Any) -> Turn:
        pools, jobs, decided, settings, now = facts
        if depth is not None:
            settings = replace(settings, depth=depth)
        if not own:
            settings = replace(settings, patience=0)
        return line(pools, jobs, decided, settings, now, find=find, batched=own, **more)

    return turn
