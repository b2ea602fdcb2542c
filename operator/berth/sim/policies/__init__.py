"""Policies: how a run decides. Each is a placement rule under the queue's rule of the case, inside the cluster's cycle.

A policy is asked once a run and gives what makes the queue's turn of every cycle (`core.backfill.Turns`). Everything
else, from the end of an attempt to its repair, is `core.cycle` for all of them. Rules of placement are compared under
one rule of the queue, so the case names that beside the policy; the two policies that *are* a rule of the queue,
`fifo` and `first-fit-backfill`, bring their own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from berth.core.admission import find
from berth.core.backfill import Turns
from berth.core.placement import Rule, place
from berth.sim.case import Case
from berth.sim.policies.blind import ByName, MostAllocated, Scattered
from berth.sim.policies.hived import buddy_cells
from berth.sim.policies.kueue import kueue_best_fit
from berth.sim.policies.queues import QUEUES
from berth.sim.policies.slurm import tree_best_fit


@dataclass(frozen=True, slots=True)
class Policy:
    """A rule of placement, made from the case's seed, and the queue that belongs to it; empty: the case's.

    `own`: with what Berth does in clusters besides, and no baseline does: a gang may wait for a contiguous place
    (`core.patience`), and those who start in one cycle are placed together (`core.batch`).
    """

    rule: Callable[[int], Rule]
    queue: str = ""
    own: bool = False

    def __call__(self, case: Case) -> Turns:
        """What makes the turns of a run. Raises ValueError for a queue that there is not."""
        name = self.queue or case.queue
        if name not in QUEUES:
            raise ValueError(f"queue: there is no {name!r}; there are {', '.join(sorted(QUEUES))}")
        return QUEUES[name](partial(find, rule=self.rule(case.seed)), own=self.own)


POLICIES: dict[str, Policy] = {
    "berth": Policy(lambda _: place, own=True),
    "random": Policy(lambda seed: Scattered(seed).place),
    "name-order": Policy(lambda _: ByName().place),
    "most-allocated": Policy(lambda seed: MostAllocated(seed).place),
    "tree-best-fit": Policy(lambda _: tree_best_fit),
    "kueue-tas": Policy(lambda _: kueue_best_fit),
    "hived": Policy(lambda _: buddy_cells),
    "fifo": Policy(lambda _: tree_best_fit, queue="strict"),
    "first-fit-backfill": Policy(lambda _: ByName().place, queue="first-fit-backfill"),
}
