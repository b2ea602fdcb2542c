"""What a cycle decides: one decision for each job that it looked at, each with what will be told about it.

The order inside one decision is fixed, because a crash may come between any two writes: the job's status is written
first, then pods are deleted or created. What the status says is therefore always at least what has been done.
"""

from dataclasses import dataclass
from enum import StrEnum

from berth.core.model import Gang, JobKey, Record


class State(StrEnum):
    """A job's state in one word, for the printed column."""

    PENDING = "Pending"
    STARTING = "Starting"
    RUNNING = "Running"
    REQUEUED = "Requeued"
    SUSPENDED = "Suspended"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


class Verb(StrEnum):
    """What is to be done about a job."""

    ADMIT = "admit"  # write the placement, then create every pod of the attempt
    CREATE = "create"  # create the pods of an admitted attempt that are not there yet
    STOP = "stop"  # write why the attempt ends, then delete its pods
    CLOSE = "close"  # the attempt's pods are gone: give its devices back
    FINISH = "finish"  # succeeded or failed for good
    REMOVE = "remove"  # delete the job itself: its time to live after the end is over
    REPORT = "report"  # only tell


class Reason(StrEnum):
    """Closed set of reasons for conditions and for `pending`."""

    # Placed
    CONTIGUOUS = "Contiguous"
    SCATTERED = "Scattered"
    FINISHED = "Finished"
    # pending
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
    SUSPENDED = "Suspended"
    TEMPLATE_REFUSED = "TemplateRefused"
    TOO_LARGE = "TooLarge"
    TOPOLOGY_BLOCKED = "TopologyBlocked"
    UNKNOWN_LEVEL = "UnknownLevel"
    UNKNOWN_POOL = "UnknownPool"
    UNKNOWN_PRIORITY_CLASS = "UnknownPriorityClass"
    VALIDATING = "Validating"
    # PodsReady
    ALL_READY = "AllReady"
    CREATING = "Creating"
    NO_PODS = "NoPods"
    WAITING_FOR_PODS = "WaitingForPods"
    # DevicesAsChosen
    AS_CHOSEN = "AsChosen"
    OTHER_DEVICES = "OtherDevices"
    # Finished
    BACKOFF_LIMIT_EXCEEDED = "BackoffLimitExceeded"
    MAX_DURATION_EXCEEDED = "MaxDurationExceeded"
    NOT_STARTED = "NotStarted"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition as it should be; when it changed is known where statuses are written."""

    type: str
    status: bool
    reason: Reason
    message: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a job that was tried and would let it start now: what the job would be, and the change in words.

    `max_duration` in seconds, where that is what changes.
    """

    text: str
    gang: Gang
    max_duration: int | None = None

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Forecast:
    """When a job that waits may start, rounded up, if all before it end as expected.

    `guessed` of the gangs that it waits for did not say how long they take, and count with `assumed` seconds.
    """

    start: int
    guessed: int
    assumed: int


@dataclass(frozen=True, slots=True)
class Pending:
    """Why a job waits, and the nearest changes that would let it start.

    `position` in the queue of those that wait for some pool of its own, from 1; None: it is not in the queue. `message`
    is without the forecast: `explain.told` has both.
    """

    reason: Reason
    message: str
    nearest: tuple[Change, ...] = ()
    position: int | None = None
    forecast: Forecast | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """All that is told about a job besides its record."""

    state: State
    conditions: tuple[Condition, ...]
    pending: Pending | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """A Kubernetes Event to post once the decision has been carried out."""

    reason: str
    note: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """One job's next step: `record` and `report` are its status afterwards.

    `create` names ranks, `delete` pods by (name, uid). `closed`: number of the attempt that is over with this.
    """

    key: JobKey
    uid: str
    verb: Verb
    record: Record
    report: Report
    create: tuple[int, ...] = ()
    delete: tuple[tuple[str, str], ...] = ()
    event: Event | None = None
    closed: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The decisions of a cycle, and the next moment at which time alone changes something."""

    decisions: tuple[Decision, ...]
    wake_at: int | None = None
