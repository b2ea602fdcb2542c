"""The nouns of a decision: nodes, what a replica demands, gangs, jobs and the facts that a job must remember.

Everything is a frozen slotted dataclass and equal by value, because equal gangs are refused once a cycle and equal
statuses are not written twice. Amounts are integers in base units: devices, millicores under `cpu`, bytes under
`memory`, one under `pods`. Times are unix seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from berth.core.affinity import Terms

_KEPT = 4096
"""Gangs of which is remembered what their replicas demand: it is asked for several times in every cycle."""


class JobKey(NamedTuple):
    """Namespace and name of a TrainingJob."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Mode(StrEnum):
    """Whether the operator acts on its plan or only tells it."""

    ACTIVE = "Active"
    OBSERVE = "Observe"


class Policy(StrEnum):
    """Whether the whole gang must stay inside one domain of its level, or should."""

    REQUIRED = "Required"
    PREFERRED = "Preferred"


OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
"""Key of the taint by which somebody vouches that a node is down and nothing runs there any more."""


@dataclass(frozen=True, slots=True)
class Taint:
    """A node's taint, with the effect spelled as Kubernetes does."""

    key: str
    value: str
    effect: str

    def __str__(self) -> str:
        return f"{self.key}={self.value}:{self.effect}" if self.value else f"{self.key}:{self.effect}"


@dataclass(frozen=True, slots=True)
class Toleration:
    """A replica's toleration. An empty key tolerates every key, an empty effect every effect."""

    key: str
    operator: str
    value: str
    effect: str

    def tolerates(self, taint: Taint) -> bool:
        """Say whether this toleration covers the taint, by the rules of Kubernetes."""
        if self.effect and self.effect != taint.effect:
            return False
        if not self.key:
            return self.operator == "Exists"
        if self.key != taint.key:
            return False
        if self.operator == "Exists":
            return True
        return self.operator in ("", "Equal") and self.value == taint.value


@dataclass(frozen=True, slots=True)
class Health:
    """Which devices of a node are broken, as masks: for everybody, or only for replicas that need the network."""

    broken: int = 0
    offline: int = 0


@dataclass(frozen=True, slots=True)
class Node:
    """A node of a pool as it stands, without what is taken on it.

    `path` names its domain at each level of the pool, widest first, the node itself left out. `unready_since`: when
    its Ready condition turned away from True. None while that says True: a node that is being deleted is not `ready`,
    but what runs there runs on. `spare`: it is kept free for replacing a failed one. `health`: what the make's own
    tools say of its devices, if they say anything.
    """

    name: str
    path: tuple[str, ...]
    allocatable: Mapping[str, int]
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    ready: bool = True
    cordoned: bool = False
    spare: bool = False
    health: Health | None = None
    unready_since: int | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Nodes on which replicas of a job did not come up: the job avoids them until then, others do not.

    It is about one generation of the job: what was edited may come up there.
    """

    nodes: frozenset[str]
    until: int
    generation: int


@dataclass(frozen=True, slots=True)
class Demand:
    """What one replica needs from a node. Hashable: free slots are counted once for all equal demands.

    `networked`: its devices talk to those of other replicas. Only told where devices are chosen by id.
    """

    requests: tuple[tuple[str, int], ...]
    selector: tuple[tuple[str, str], ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    affinity: Terms = ()
    networked: bool = False
    avoid: tuple[Refusal, ...] = ()

    def amount(self, resource: str) -> int:
        """How much one replica needs of a resource."""
        return next((amount for name, amount in self.requests if name == resource), 0)


@dataclass(frozen=True, slots=True)
class Shape:
    """A replica as it is where a pool's defaults are merged into it.

    `refused`: the API server would not take such a pod; the sentence that it gave.
    """

    requests: tuple[tuple[str, int], ...] = ()
    selector: tuple[tuple[str, str], ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    affinity: Terms = ()
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Groups:
    """A gang's consecutive ranks, `size` at a time, each inside one domain of `level`."""

    size: int
    level: str


@dataclass(frozen=True, slots=True)
class Gang:
    """What a job asks for. Hashable: two jobs that ask for the same are refused for the same reason.

    `requests` is what a replica asks for besides its devices (CPU, memory, other extended resources). `pools` in order
    of preference; empty: any pool that suits. `shapes`: by the name of a pool's defaults, what a replica asks for where
    they are merged into it, the empty name standing for pools without any; empty if no pool has defaults. `avoid`:
    nodes that refused this job lately.
    """

    replicas: int
    devices: int
    pools: tuple[str, ...] = ()
    level: str | None = None
    policy: Policy = Policy.PREFERRED
    requests: tuple[tuple[str, int], ...] = ()
    selector: tuple[tuple[str, str], ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    groups: Groups | None = None
    affinity: Terms = ()
    shapes: tuple[tuple[str, Shape], ...] = ()
    avoid: tuple[Refusal, ...] = ()

    def __hash__(self) -> int:
        """Of what tells gangs apart in practice: it is asked for with every job of a queue."""
        shape = (self.requests, self.selector, self.affinity, self.avoid)
        return hash((self.replicas, self.devices, self.level, self.pools, shape))

    def shape(self, defaults: str) -> Shape | None:
        """A replica where a pool has these defaults (empty: none); None if it has not been tried with them yet."""
        if defaults or self.shapes:
            return dict(self.shapes).get(defaults)
        return Shape(self.requests, self.selector, self.tolerations, self.affinity)

    @lru_cache(maxsize=_KEPT)  # noqa: B019 - as many gangs stay alive, and no more
    def demand(self, resource: str, defaults: str = "", networked: bool = False) -> Demand:
        """Spell out what a replica needs where a device is called `resource` and the pool has these defaults."""
        shape: Shape | Gang = dict(self.shapes).get(defaults, self)
        return Demand(
            requests=((resource, self.devices), ("pods", 1), *(r for r in shape.requests if r[0] != resource)),
            selector=shape.selector,
            tolerations=shape.tolerations,
            affinity=shape.affinity,
            networked=networked,
            avoid=self.avoid,
        )


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the gang of one attempt sits: node names in rank order, and how wide that is.

    `spans` counts the distinct domains per level, widest first, the node level last. `generation` is the job's
    generation that this attempt was planned from, `epoch` the term of the leader that decided. `pods_created` turns
    true once every pod of the attempt was seen: from then on a missing pod is a lost one, before it is one still to be
    made. `devices`: by rank, the mask of the devices that the replica gets of its node; empty where the node's plugin
    chooses them. `differing`: replicas of which the plugin said that they got others. `defaults`: name of the pool's
    defaults that it was planned with. `succeeded`: ranks that were seen to succeed, ascending; they are done, whatever
    becomes of their pods.
    """

    pool: str
    domain: str
    level: str
    spans: tuple[tuple[str, int], ...]
    nodes: tuple[str, ...]
    generation: int
    admitted_at: int
    pods_created: bool = False
    epoch: int = 0
    devices: tuple[int, ...] = ()
    differing: int = 0
    defaults: str = ""
    succeeded: tuple[int, ...] = ()


def widest_first(spans: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """Order domain counts per level: fewer domains are wider ones; the node level, never wider than another, is last.

    The order on the wire is lost, so it is found from the counts, and equal counts go by name.
    """
    return tuple(sorted(spans.items(), key=lambda item: (item[1], item[0] == "node", item[0])))


class Cause(StrEnum):
    """Why an attempt ended before its gang had succeeded."""

    OWN_FAILURE = "OwnFailure"
    NODE_FAILURE = "NodeFailure"
    PODS_LOST = "PodsLost"
    PODS_REFUSED = "PodsRefused"
    START_DEADLINE = "StartDeadline"
    SUSPENDED = "Suspended"
    EDITED = "Edited"
    TIME_LIMIT = "TimeLimit"

    @property
    def of_scheduler(self) -> bool:
        """Whether stopping for it is a decision of the scheduler: neither the job's own doing nor its owner's."""
        return self not in (Cause.OWN_FAILURE, Cause.SUSPENDED)


@dataclass(frozen=True, slots=True)
class FirstFailure:
    """The replica that failed first: where, how, and the tail of what it said."""

    replica: int
    node: str
    exit_code: int | None
    message: str


@dataclass(frozen=True, slots=True)
class Ending:
    """An attempt that is being stopped. Written before the first of its pods is deleted."""

    cause: Cause
    at: int
    message: str
    first_failure: FirstFailure | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that is over.

    `nodes`: where it sat, in order of name, while its charge may still be taken back; else empty.
    """

    attempt: int
    started: int
    ended: int
    cause: str
    first_failure: FirstFailure | None = None
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended for good. `out_of_time`: it failed because it had held devices for as long as it may."""

    succeeded: bool
    at: int
    message: str
    out_of_time: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """The facts of a job that must outlive the operator: what its status keeps, no more.

    `held`: seconds for which the attempts that are over held their devices, also those that are no longer listed.
    """

    attempt: int = 0
    placement: Placement | None = None
    ending: Ending | None = None
    failures: int = 0
    held: int = 0
    retry_after: int | None = None
    started_at: int | None = None
    outcome: Outcome | None = None
    attempts: tuple[Attempt, ...] = ()
    refusals: tuple[Refusal, ...] = ()

    @property
    def holds(self) -> Placement | None:
        """The placement whose devices this job holds; None before admission, and once it has finished."""
        return self.placement if self.outcome is None else None


class Phase(StrEnum):
    """A pod's phase, as Kubernetes spells it."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod of a job, of whichever attempt.

    `message`: the last words of one that ended. `waiting`: what one that is not ready waits for, as far as it is told.
    `unschedulable_since`: since when kube-scheduler finds no room for it; None if it does not say so. `mounted`: mask
    of its devices, if the node's plugin has told it. `turned_away`: why its node would not have it, in the node's
    words, if it failed without a container ever having run; else empty.
    """

    name: str
    uid: str
    attempt: int
    rank: int
    phase: Phase
    node: str = ""
    ready: bool = False
    deleting: bool = False
    disrupted: bool = False
    exit_code: int | None = None
    finished_at: int | None = None
    message: str = ""
    waiting: str = ""
    unschedulable_since: int | None = None
    mounted: int | None = None
    turned_away: str = ""

    @property
    def ended(self) -> bool:
        """Whether none of its containers will run again."""
        return self.phase in (Phase.SUCCEEDED, Phase.FAILED)


@dataclass(frozen=True, slots=True)
class Hindrance:
    """Something found outside the cycle that keeps a job from being placed: a reason word and a full sentence."""

    reason: str
    message: str


class Trouble(StrEnum):
    """Why a node cannot be relied upon."""

    GONE = "is gone"
    OUT_OF_SERVICE = "is out of service"
    NOT_READY = "is not ready"


@dataclass(frozen=True, slots=True)
class NodeTrouble:
    """A node in trouble. `since`: when its Ready condition turned; None where nothing tells the moment."""

    node: str
    kind: Trouble
    since: int | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A TrainingJob as a cycle sees it: what it asks for, what is on record, and its pods.

    `hindrance` holds it back until it is gone (a template that the API server refuses, an unknown priority class).
    `max_duration`: seconds for which it may hold devices, over all attempts; None: no limit.
    `refused`: the API server would not let a pod of this attempt be made; the sentence that it gave.
    `giving_back`: the placement of an attempt whose end is being written; its devices still count as taken.
    `start_deadline`: seconds from admission in which all replicas have to come up; None: however long it takes.
    `troubles`: those of its nodes that are in trouble, of the current attempt and of the last one, by name.
    `claims`: what its placement counts as taken, by node.
    `busy`: a plan for this job is being carried out, so it is left alone, its devices counted.
    """

    key: JobKey
    uid: str
    generation: int
    submitted: int
    gang: Gang
    record: Record = Record()
    priority: int = 0
    suspended: bool = False
    deleting: bool = False
    backoff_limit: int = 3
    ttl: int | None = None
    max_duration: int | None = None
    pods: tuple[Pod, ...] = ()
    hindrance: Hindrance | None = None
    refused: str | None = None
    giving_back: Placement | None = None
    start_deadline: int | None = None
    troubles: tuple[NodeTrouble, ...] = ()
    claims: Mapping[str, tuple[tuple[str, int], ...]] = field(default_factory=dict)
    busy: bool = False
