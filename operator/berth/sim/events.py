"""What will happen in a run, in order of time: submissions, ends, nodes that fail and come back.

At one moment ends come before failures, so that a gang that is done when its node fails is done; and all that frees
something comes before what asks for it.
"""

from dataclasses import dataclass
from enum import IntEnum
from heapq import heappop, heappush

from berth.core.model import JobKey
from berth.sim.case import Outage


class Kind(IntEnum):
    """What happens, in the order of what happens at one moment."""

    ENDED = 0  # a gang's work is done
    UP = 1  # its pods have come up
    GONE = 2  # pods that were told to stop have
    NODE_UP = 3
    NODE_DOWN = 4
    SUBMITTED = 5


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens to an attempt of a job, or to a node."""

    kind: Kind
    key: JobKey | None = None
    attempt: int = 0
    outage: Outage | None = None


class Events:
    """The queue of events. Of those of one moment and kind, the one that was added first comes first."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, Kind, int, Event]] = []
        self._added = 0

    def add(self, at: int, event: Event) -> None:
        """Let something happen at a time."""
        heappush(self._heap, (at, event.kind, self._added, event))
        self._added += 1

    def next(self) -> int | None:
        """When the next of them happens; None if nothing will."""
        return self._heap[0][0] if self._heap else None

    def pop(self) -> Event:
        """Take the next one."""
        return heappop(self._heap)[3]
