"""The record of a run: what happened to every job and every node, as plain facts. All figures are computed from it."""

from dataclasses import dataclass, fields

from berth.sim.case import Outage, Task


@dataclass(frozen=True, slots=True)
class Spent:
    """What the seconds of an attempt were, in Google's goodput words; they add up to its length.

    `useful`: work that counts; `slowed`: longer for sitting wide (`Slowdown`); `lost`: work done and to be done again.
    `stopping`: nothing runs any more, from a node's failure or the stop until the devices are given back.
    """

    useful: int = 0
    slowed: int = 0
    starting: int = 0
    checkpointing: int = 0
    restoring: int = 0
    lost: int = 0
    stopping: int = 0

    @property
    def seconds(self) -> int:
        """All of it."""
        return sum(getattr(self, name) for name in SPENT)


SPENT = tuple(field.name for field in fields(Spent))
"""What an attempt's seconds may have been."""


@dataclass(frozen=True, slots=True)
class Stint:
    """One attempt: where it sat (positions in its fleet's `nodes`, in rank order), from when to when, and how it ended.

    `cause`: `Succeeded`, or why it was stopped (`core.model.Cause`), or empty where the run ended before it.
    """

    attempt: int
    pool: str
    nodes: tuple[int, ...]
    start: int
    end: int
    cause: str
    spent: Spent


@dataclass(frozen=True, slots=True)
class Life:
    """A task and its attempts. `finished`: when it ended for good, None if it had not when the run ended.

    `outcome`: `Succeeded`, `Failed` or empty. `waiting`: the reason of its last refusal, if it never started.
    """

    task: Task
    stints: tuple[Stint, ...]
    finished: int | None
    outcome: str = ""
    waiting: str = ""

    @property
    def wait(self) -> int | None:
        """Seconds from submission to the first start; None if there was none."""
        return self.stints[0].start - self.task.submit if self.stints else None


@dataclass(frozen=True, slots=True)
class Run:
    """A whole run. `end`: when it ended; `partial`: it was interrupted there. `cycles`: how many were computed.

    `outages`: those that came to pass, `end` None where the node was down still.
    """

    case: str
    policy: str
    seed: int
    load: float | None
    end: int
    lives: tuple[Life, ...]
    outages: tuple[Outage, ...]
    cycles: int
    partial: bool = False
