"""TrainingJob's status: the facts that must outlive the operator, and what is told to people.

Facts first: `attempt`, `placement`, `ending`, `failures`, `retryAfter`, `startedAt`, `attempts` and `refusals` are what
a fresh operator goes on from. A placement is written before the first pod of its attempt, an ending before the first
pod is deleted, so what stands here is always at least what has been done. All else is told anew at every write.

Nodes are folded, lists are bounded: a job of 5,000 replicas stays under 64 KiB.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any

from berth.api.meta import Condition, check_reasons
from berth.api.rules import Bounds
from berth.api.wire import Count, Generation, HeldSeconds, Message, Report, Summary, Time

KEPT_ATTEMPTS = 5
MOST_NEAREST = 5
MOST_REFUSALS = 8


class State(StrEnum):
    """A job's state in one word, for the printed column."""

    PENDING = "Pending"
    STARTING = "Starting"
    RUNNING = "Running"
    REQUEUED = "Requeued"
    SUSPENDED = "Suspended"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


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


class JobCondition(StrEnum):
    """Types of a job's conditions."""

    PLACED = "Placed"
    PODS_READY = "PodsReady"
    FINISHED = "Finished"
    DEVICES = "DevicesAsChosen"


class PendingReason(StrEnum):
    """Why a job that wants devices has none."""

    BACK_OFF = "BackOff"
    CHARGE_PENDING = "ChargePending"
    CONTIGUOUS_SOON = "ContiguousSoon"
    INSUFFICIENT_DEVICES = "InsufficientDevices"
    NO_POOL = "NoPool"
    OBSERVING = "Observing"
    POOL_NOT_READY = "PoolNotReady"
    QUEUED_BEHIND = "QueuedBehind"
    SIZE_NOT_ALLOWED = "SizeNotAllowed"
    STOPPING = "Stopping"
    TEMPLATE_REFUSED = "TemplateRefused"
    TOO_LARGE = "TooLarge"
    TOPOLOGY_BLOCKED = "TopologyBlocked"
    UNKNOWN_LEVEL = "UnknownLevel"
    UNKNOWN_POOL = "UnknownPool"
    UNKNOWN_PRIORITY_CLASS = "UnknownPriorityClass"
    VALIDATING = "Validating"


JOB_REASONS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        JobCondition.PLACED: frozenset({*PendingReason, "Contiguous", "Scattered", "Suspended", "Finished"}),
        JobCondition.PODS_READY: frozenset(
            {"AllReady", "Creating", "WaitingForPods", "NoPods", "Stopping", "Finished"}
        ),
        JobCondition.FINISHED: frozenset(
            {
                "NotStarted",
                "Running",
                "Stopping",
                "Suspended",
                "Succeeded",
                "BackoffLimitExceeded",
                "MaxDurationExceeded",
            }
        ),
        JobCondition.DEVICES: frozenset({"AsChosen", "OtherDevices"}),
    }
)
"""The reasons that each condition of a job may have."""


class FirstFailure(Report):
    """The replica that failed first: survivors fail after it, and only because of it."""

    replica: Count
    """Rank of the replica."""
    node: str
    """Node that it ran on; empty if it never ran."""
    exit_code: Count | None = None
    """Exit code of its first container that failed, where one is known."""
    message: Message = ""
    """Tail of what it said: its termination message, or else the end of its log."""


class Attempt(Report):
    """One placement of the job that is over."""

    attempt: Count
    """Number of the attempt, from 1."""
    started: Time
    """When it was admitted."""
    ended: Time
    """When its end was decided."""
    cause: Cause
    """Why it ended."""
    first_failure: FirstFailure | None = None
    """The replica that failed first, if one did."""
    nodes: str | None = None
    """Nodes that it sat on, in order of name, folded. Kept of the last attempt if it failed by its own fault: should
    one of them turn out to have been lost, the failure is not charged."""


class Ending(Report):
    """Why the current attempt is being stopped. Written before the first of its pods is deleted."""

    cause: Cause
    """Why it ends."""
    time: Time
    """When that was decided."""
    message: Message
    """The same in a sentence."""
    first_failure: FirstFailure | None = None
    """The replica that failed first, if one did."""


class Placement(Report):
    """Where the gang sits. Written before the first pod of the attempt; its devices are held while it is here."""

    domain: str
    """The narrowest domain that holds the gang, by its path below the pool, such as `spine-1/leaf-2`."""
    level: str
    """Level of that domain: one of the pool's, `node`, or the pool's own name."""
    spans: dict[str, Count]
    """Number of domains that the gang touches, by level, nodes included."""
    nodes: str
    """Nodes in rank order, folded: `h800-[0017-0048]` are 32 nodes, `h800-[0001-0002*2]` are two replicas on each of
    two."""
    devices: str | None = None
    """Devices of every replica in rank order, folded: `0-3*8` are the first four of a node for each of eight replicas.
    Absent where the node's plugin chooses them."""
    devices_differ: Count | None = None
    """Replicas that got other devices than these from the node's plugin. Absent: none has."""
    pod_defaults: str | None = None
    """Name of the pool's `podDefaults` that the attempt was planned with: another name is another content. Absent: it
    had none."""
    succeeded: str | None = None
    """Ranks of replicas that have succeeded, such as `0-3,7`; where that is long, as a mask such as `x8f`, of which bit
    i is rank i. They are done, even when their pods are gone. Absent: none has."""
    generation: Generation
    """The job's generation that the attempt was made from."""
    admitted_at: Time
    """When the attempt was admitted."""
    epoch: Count = 0
    """Term of the leader that decided."""
    pods_created: bool = False
    """Whether every pod of the attempt has been there. From then on a missing pod is a lost one; before, it is one
    still to be made."""


class Refusal(Report):
    """Nodes that the job avoids for a while, because its replicas did not come up there."""

    nodes: str
    """The nodes, in order of name, folded."""
    until: Time
    """When they may be used again."""
    generation: Generation
    """The job's generation whose replicas did not come up. After an edit the nodes are tried again."""


class Pending(Report):
    """Why the job waits, and what would help."""

    reason: PendingReason
    """Why, in one word of a closed set."""
    message: Message
    """Why, with counts."""
    nearest: Annotated[tuple[Message, ...], Bounds(MOST_NEAREST)] = ()
    """The nearest changes of the job that would let it start now. Each was tried."""
    estimated_start: Time | None = None
    """When it may start, if those before it end as expected; the message says on what that rests. Absent for jobs for
    which no place is kept yet."""
    position: Count | None = None
    """Its place, from 1, in the queue of the jobs that wait for some pool of its own."""


class JobStatus(Report):
    """What Berth reports of a job."""

    observed_generation: Generation | None = None
    """The job's generation that this status is about."""
    state: State | None = None
    """The job's state in one word."""
    summary: Summary | None = None
    """Where it stands and why, in at most 48 characters, for `kubectl get -o wide`."""
    conditions: Annotated[tuple[Condition, ...], Bounds(8, "map", ("type",))] = ()
    """`Placed`: the gang has its devices. `PodsReady`: all replicas are up. `Finished`: it has ended for good.
    `DevicesAsChosen`: every replica got the devices that Berth chose; only where Berth chooses them."""
    priority: Count | None = None
    """Value of the job's PriorityClass."""
    pool: str | None = None
    """AcceleratorPool of the placement."""
    attempt: Count | None = None
    """Number of the current attempt, or of the last one, from 1. Absent until the job was placed once."""
    placement: Placement | None = None
    """Where the gang sits, or sat when the job succeeded. Absent while it waits, and once it has failed for good."""
    ending: Ending | None = None
    """Why the current attempt is being stopped. Absent otherwise."""
    failures: Count | None = None
    """Failures of its own so far, which count against `spec.backoffLimit`."""
    held_seconds: HeldSeconds | None = None
    """Seconds for which attempts that are over held their devices, all of them together; with the current attempt's,
    they count against `spec.maxDuration`."""
    retry_after: Time | None = None
    """No new attempt starts before this moment."""
    started_at: Time | None = None
    """When all replicas of the current attempt were up for the first time."""
    finished_at: Time | None = None
    """When the job succeeded, or failed for good."""
    pending: Pending | None = None
    """Why the job waits. Absent while it does not."""
    attempts: Annotated[tuple[Attempt, ...], Bounds(KEPT_ATTEMPTS)] = ()
    """The last five attempts that did not succeed, oldest first."""
    refusals: Annotated[tuple[Refusal, ...], Bounds(MOST_REFUSALS)] = ()
    """Nodes that the job avoids because its replicas did not come up there. Other jobs may use them."""

    def wire(self) -> dict[str, Any]:
        """Return the status as it is sent; a reason outside of its condition's closed set raises ValueError."""
        check_reasons(self.conditions, JOB_REASONS)
        return super().wire()
