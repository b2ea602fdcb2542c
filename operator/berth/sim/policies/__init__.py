"""Policies: how a run decides. Each is a placement rule under the queue's rule of the case, inside the cluster's cycle.

A policy is asked once a run and gives what makes the queue's turn of every cycle (`core.backfill.Turns`). Everything
else, from the end of an attempt to its repair, is `core.cycle` for all of them.
"""

from collections.abc import Callable

from berth.core.backfill import Line, Turns
from berth.sim.case import Case

Policy = Callable[[Case], Turns]


def berth(case: Case) -> Turns:
    """Berth's own rules, as they are in clusters."""
    if case.queue != "conservative":
        raise ValueError(f"policy berth: there is no queue {case.queue!r}; take conservative")
    return Line


POLICIES: dict[str, Policy] = {"berth": berth}
