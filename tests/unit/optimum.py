"""The best placement of a batch of gangs that there is, found by an exact solver; and batches to try rules on.

The cost of a placement is the leaves that it uses plus ten times the spines, summed over the gangs. The model is small:
how many replicas of each gang sit below each leaf, and which leaves and spines it thereby uses. All replicas take a
whole node, so nodes below a leaf are alike. CP-SAT proves its answer optimal, or it is no answer.
"""

from dataclasses import dataclass
from random import Random

from ortools.sat.python import cp_model

from berth.core.model import Demand, Node
from berth.core.placement import Fit
from berth.core.slots import Ledger
from berth.core.topology import Tree

PER_LEAF, PER_SPINE = 1, 10
WHOLE_NODE = Demand(requests=(("nvidia.com/gpu", 8), ("pods", 1)))


@dataclass(frozen=True)
class Batch:
    """Gangs of whole nodes, in order of arrival, and a tree with room for all of them.

    `free[s][l]`: nodes free below leaf l of spine s.
    """

    free: tuple[tuple[int, ...], ...]
    gangs: tuple[int, ...]

    def ledger(self) -> Ledger:
        """A pool in which just these nodes are."""
        nodes = [
            Node(f"n{spine}-{leaf}-{node}", (f"s{spine}", f"l{leaf}"), {"nvidia.com/gpu": 8, "pods": 110})
            for spine, leaves in enumerate(self.free)
            for leaf, count in enumerate(leaves)
            for node in range(count)
        ]
        tree, ordered = Tree.build("h800", ("spine", "leaf"), nodes)
        return Ledger(tree, ordered)


def drawn_batch(seed: int) -> Batch:
    """A part-filled tree of 2 to 4 spines and at most 32 leaves of up to 8 nodes, and up to 10 gangs that it holds.

    The trees are as uneven as Lingjun's, and leaves are full, empty or in between; the gangs want up to 60 to 100 % of
    what is free, sizes are powers of two as most are in traces, a few are odd.
    """
    dice = Random(seed)
    spines = dice.randint(2, 4)
    free = []
    for _ in range(spines):
        whole = [dice.randint(2, 8) for _ in range(dice.randint(3, 32 // spines))]
        free.append(tuple(dice.choice((0, size, dice.randint(0, size), dice.randint(0, size))) for size in whole))
    wanted, gangs = int(sum(map(sum, free)) * dice.uniform(0.6, 1.0)), list[int]()
    for _ in range(dice.randint(4, 10)):
        size = dice.choice((1, 2, 4, 8, 8, 16, 16, 32, dice.randint(1, 24)))
        if sum(gangs) + size <= wanted:
            gangs.append(size)
    return Batch(tuple(free), tuple(gangs))


def least_cost(batch: Batch, seconds: float = 20.0) -> int | None:
    """The cost of the best placement of a whole batch; None if it was not proven in that time."""
    model = cp_model.CpModel()
    cost = []
    sits: dict[tuple[int, int], list[cp_model.IntVar]] = {}
    for number, replicas in enumerate(batch.gangs):
        everywhere = []
        for spine, leaves in enumerate(batch.free):
            over = model.new_bool_var(f"gang {number} under spine {spine}")
            cost.append(PER_SPINE * over)
            below = []
            for leaf, free in enumerate(leaves):
                if not free:
                    continue
                most = min(free, replicas)
                there = model.new_int_var(0, most, f"replicas of gang {number} below leaf {leaf} of spine {spine}")
                used = model.new_bool_var(f"gang {number} below leaf {leaf} of spine {spine}")
                model.add(there <= most * used)
                model.add_implication(used, over)
                cost.append(PER_LEAF * used)
                below.append(there)
                sits.setdefault((spine, leaf), []).append(there)
            model.add(sum(below) <= min(replicas, sum(leaves)) * over)
            everywhere += below
        model.add(sum(everywhere) == replicas)
    for (spine, leaf), gangs in sits.items():
        model.add(sum(gangs) <= batch.free[spine][leaf])
    model.minimize(sum(cost))
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = seconds
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = 1
    status = solver.solve(model)
    assert status != cp_model.INFEASIBLE, "a batch fits its tree"
    return round(solver.objective_value) if status == cp_model.OPTIMAL else None


def cost_of(tree: Tree, fits: list[Fit]) -> int:
    """What placements cost together."""
    leaf, total = tree.leaf_level - 1, 0
    for fit in fits:
        leaves = {tree.parent[leaf + 1][position] for position, _ in fit.counts}
        total += PER_LEAF * len(leaves) + PER_SPINE * len({tree.parent[leaf][found] for found in leaves})
    return total
