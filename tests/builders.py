"""Small builders of the heart's nouns, so that a test states only what it is about.

A pool is drawn: one line for each leaf, indented under its spine, with one word for each node. A word is the number of
free devices, with a mark behind it for what keeps a node out: `8` is free, `0` taken, `8c` cordoned, `8x` not ready,
`8t` tainted. Nodes are named `n0`, `n1`, … in the order in which they are drawn.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from berth.core.admission import Pool
from berth.core.model import (
    Attempt,
    Cause,
    Ending,
    Gang,
    Groups,
    Hindrance,
    Job,
    JobKey,
    Node,
    Outcome,
    Phase,
    Placement,
    Pod,
    Policy,
    Taint,
    Toleration,
)
from berth.core.slots import Ledger
from berth.core.topology import Tree

GPU = "nvidia.com/gpu"
LEVELS = ("spine", "leaf")


def node(
    name: str,
    *path: str,
    devices: int = 8,
    resource: str = GPU,
    pods: int = 110,
    labels: Mapping[str, str] | None = None,
    taints: tuple[Taint, ...] = (),
    ready: bool = True,
    cordoned: bool = False,
    **more: int,
) -> Node:
    """A node below `path`; `more` are further resources, such as `cpu=64_000`."""
    return Node(
        name=name,
        path=path,
        allocatable={resource: devices, "pods": pods, **more},
        labels=labels or {},
        taints=taints,
        ready=ready,
        cordoned=cordoned,
    )


def a_pool(
    name: str,
    levels: tuple[str, ...],
    nodes: list[Node],
    *,
    used: Mapping[str, Mapping[str, int]] | None = None,
    resource: str = GPU,
    sizes: tuple[int, ...] | None = None,
    sizes_alone: tuple[int, ...] | None = None,
    problem: str | None = None,
    defaults: str = "",
) -> Pool:
    """A pool over given nodes; `used` by node name."""
    tree, ordered = Tree.build(name, levels, nodes)
    taken = [dict((used or {}).get(n.name, {})) for n in ordered]
    ledger = Ledger(tree, ordered, [*taken])
    return Pool(name, resource, ledger, sizes=sizes, sizes_alone=sizes_alone, problem=problem, defaults=defaults)


_MARKS: dict[str, dict[str, Any]] = {
    "": {},
    "c": {"cordoned": True},
    "x": {"ready": False},
    "t": {"taints": (Taint("team", "infra", "NoSchedule"),)},
}


def drawn(
    picture: str,
    *,
    name: str = "h800",
    levels: tuple[str, ...] = LEVELS,
    devices: int = 8,
    first: int = 0,
    **pool: Any,
) -> Pool:
    """The pool in the picture. A line is indented by two blanks for each level; the last level's line has the nodes."""
    nodes: list[Node] = []
    used: dict[str, dict[str, int]] = {}
    path: list[str] = []
    lines = [line for line in picture.splitlines() if line.strip()]
    margin = min((len(line) - len(line.lstrip()) for line in lines), default=0)
    for line in lines:
        depth = (len(line) - len(line.lstrip()) - margin) // 2
        words = line.split()
        if levels:
            path = [*path[:depth], words.pop(0)]
        for word in words:
            mark = word.lstrip("0123456789")
            free = int(word.removesuffix(mark))
            nodes.append(node(f"n{first + len(nodes)}", *path, devices=devices, **_MARKS[mark]))
            used[nodes[-1].name] = {GPU: devices - free}
    return a_pool(name, levels, nodes, used=used, **pool)


def by_name(*pools: Pool) -> dict[str, Pool]:
    """Pools as a cycle takes them."""
    return {pool.name: pool for pool in pools}


def a_gang(
    replicas: int,
    devices: int = 8,
    *,
    pools: tuple[str, ...] = (),
    inside: str | None = None,
    rather_inside: str | None = None,
    selector: Mapping[str, str] | None = None,
    tolerations: tuple[Toleration, ...] = (),
    groups: tuple[int, str] | None = None,
    **requests: int,
) -> Gang:
    """A gang that must stay `inside` one domain of a level, or would `rather`; `requests` besides its devices.

    `groups`: so many consecutive ranks inside one domain of that level.
    """
    return Gang(
        replicas=replicas,
        devices=devices,
        pools=pools,
        level=inside or rather_inside,
        policy=Policy.REQUIRED if inside else Policy.PREFERRED,
        requests=tuple(requests.items()),
        selector=tuple((selector or {}).items()),
        tolerations=tolerations,
        groups=groups and Groups(*groups),
    )


def tolerates(key: str, value: str = "", *, operator: str = "Equal", effect: str = "") -> Toleration:
    """A toleration; of every value with `operator="Exists"`."""
    return Toleration(key, operator, value, effect)


def a_pod(rank: int, phase: Phase = Phase.RUNNING, *, attempt: int = 1, job: str = "train", **facts: Any) -> Pod:
    """A pod of a job, named as the operator names it, on node `n<rank>`; a running one is ready unless told."""
    name = f"{job}-{attempt}-{rank}"
    facts = {"node": f"n{rank}", "ready": phase is Phase.RUNNING, **facts}
    return Pod(name=name, uid=f"{name}-uid", attempt=attempt, rank=rank, phase=phase, **facts)


@dataclass(frozen=True)
class JobBuilder:
    """A job in the making: each method returns another builder; `built` is the job."""

    built: Job = field(
        default_factory=lambda: Job(JobKey("team", "train"), uid="train-uid", generation=1, submitted=0, gang=a_gang(2))
    )

    def but(self, **changes: Any) -> Self:
        """The same with other fields of `Job`."""
        return replace(self, built=replace(self.built, **changes))

    def recorded(self, **changes: Any) -> Self:
        """The same with other fields of its `Record`."""
        return self.but(record=replace(self.built.record, **changes))

    def named(self, name: str) -> Self:
        """Another job, in the same namespace."""
        return self.but(key=JobKey("team", name), uid=f"{name}-uid")

    def placed(self, *nodes: str, attempt: int = 1, generation: int = 1, at: int = 0, created: bool = False) -> Self:
        """Admitted at `at`, on these nodes in rank order (`n0`, `n1`, … if none is named)."""
        named = nodes or tuple(f"n{rank}" for rank in range(self.built.gang.replicas))
        placement = Placement(
            pool="h800",
            domain="spine-0/leaf-0",
            level="leaf",
            spans=(("leaf", 1), ("spine", 1), ("node", len(set(named)))),
            nodes=named,
            generation=generation,
            admitted_at=at,
            pods_created=created,
        )
        return self.recorded(attempt=attempt, placement=placement)

    def ending(self, cause: Cause, message: str, at: int = 0) -> Self:
        """Being stopped for that reason."""
        return self.recorded(ending=Ending(cause, at, message))

    def ended(self, *, succeeded: bool, at: int, message: str = "it is over") -> Self:
        """Finished for good."""
        return self.recorded(outcome=Outcome(succeeded, at, message))

    def after(self, *attempts: Attempt, failures: int = 0, retry_after: int | None = None) -> Self:
        """Without devices, after these attempts."""
        return self.recorded(
            attempt=attempts[-1].attempt, attempts=attempts, failures=failures, retry_after=retry_after
        )

    def with_pods(self, *pods: Pod) -> Self:
        """With these pods in the cluster."""
        return self.but(pods=pods)

    def held_back(self, reason: str, message: str) -> Self:
        """Hindered by something outside the cycle."""
        return self.but(hindrance=Hindrance(reason, message))


def a_job(name: str = "train", gang: Gang | None = None) -> JobBuilder:
    """A job that nobody has looked at yet: two replicas of eight devices unless told."""
    builder = JobBuilder().named(name)
    return builder.but(gang=gang) if gang else builder
