"""A mirror with a pool and some nodes, one job to look at, and what a cycle would see of it."""

from typing import Any

from berth.cluster.mirror import Mirror
from berth.core.model import Job, JobKey, Mode
from tests.unit.wire_objects import GPU, a_node, own_pod, placed, pool_facts

KEY = JobKey("team", "train")
HELD = placed("n1", "n2")


def a_mirror(nodes: int = 4) -> Mirror:
    """A mirror of one pool with some nodes."""
    mirror = Mirror()
    mirror.put_pool(pool_facts())
    for number in range(1, nodes + 1):
        mirror.put_node(("", f"n{number}"), a_node(f"n{number}"))
    return mirror


def taken(mirror: Mirror, pool: str = "h800", resource: str = GPU) -> dict[str, int]:
    """Devices taken, by node, as a cycle would see it; nodes without any left out."""
    ledger = mirror.snapshot(Mode.ACTIVE).pools[pool].ledger
    pairs = zip(ledger.nodes, ledger.used, strict=True)
    return {node.name: used[resource] for node, used in pairs if used.get(resource)}


def see_pod(mirror: Mirror, name: str = "train-1-0", *, key: tuple[str, str] | None = None, **facts: Any) -> None:
    """A pod arrives from the watch."""
    mirror.put_own_pod(key or ("team", name), own_pod(name, **facts))


def touched(mirror: Mirror) -> set[JobKey]:
    """Jobs that changed since the last snapshot."""
    return set(mirror.snapshot(Mode.ACTIVE).touched or ())


def view(mirror: Mirror) -> Job:
    """The job as a cycle sees it."""
    return next(job for job in mirror.snapshot(Mode.ACTIVE).jobs if job.key == KEY)
