"""Small cases for the simulator, so that a test states only what it is about."""

from typing import Any

from berth.core.model import Gang, JobKey, Node
from berth.sim.case import Case, Costs, Fleet, Task
from berth.sim.engine import run
from berth.sim.record import Life, Run

GPU = "nvidia.com/gpu"
LEVELS = ("spine", "leaf")


def a_fleet(spines: int = 1, leaves: int = 2, hosts: int = 2, devices: int = 8, name: str = "h800") -> Fleet:
    """A pool of equal leaves; nodes are `n0`, `n1`, … in network order."""
    nodes: list[Node] = []
    for spine in range(spines):
        for leaf in range(leaves):
            for _ in range(hosts):
                path = (f"s{spine}", f"s{spine}-l{leaf}")
                nodes.append(Node(f"n{len(nodes)}", path, {GPU: devices, "pods": 110}))
    return Fleet(name, GPU, LEVELS, tuple(nodes))


def a_task(name: str, replicas: int = 1, devices: int = 8, *, work: int = 1000, submit: int = 0, **more: Any) -> Task:
    """A task of whole nodes, unless said otherwise."""
    return Task(JobKey("ml", name), submit, Gang(replicas, devices), work, **more)


def a_case(*tasks: Task, fleet: Fleet | None = None, **more: Any) -> Case:
    """A case of one pool, decided by Berth, a cycle at most each second."""
    more.setdefault("every", 1)
    return Case("case", "berth", (fleet or a_fleet(),), tasks, **more)


def lived(case: Case) -> dict[str, Life]:
    """What became of every task, by name."""
    return by_name(run(case))


def by_name(record: Run) -> dict[str, Life]:
    """What became of every task of a run, by name."""
    return {life.task.key.name: life for life in record.lives}


CHECKPOINTS = Costs(start=30, interval=100, save=10, restore=20, stop=0)
