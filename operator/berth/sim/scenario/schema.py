"""A scenario: cluster, workload, and the rules that a run goes by. Closed: what is not built has no field."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from berth.api.wire import Time
from berth.sim.scenario.cluster import Cluster
from berth.sim.scenario.fields import Integer, Length, Number, Part, Positive, Share, Span, Text
from berth.sim.scenario.workload import Workload

VERSION = 1
"""Counts up when a scenario of before can no longer be read, or would be read as something else."""


Trouble = Literal["NotReady", "OutOfService", "Gone"]


class Knowledge(Part):
    """What the scheduler knows of durations.

    A limit is never below what the job takes undisturbed at the largest slowdown of the scenario, with its start and
    its checkpoints: a limit ends a job that reaches it.
    """

    durations: Literal["none", "declared", "estimated"] = "none"
    """`none`: no job says how long it takes. `declared`: each says it exactly, or as the trace's column `declared` has
    it. `estimated`: each says what it takes times 1 or more, a lognormal factor with the standard deviation `sigma`
    (of its logarithm) around 1, cut at 1."""
    sigma: Positive | None = None
    """For `estimated`."""
    margin: Annotated[float, Field(strict=True, ge=1)] = 1.0
    """Every limit is so many times what it would be: room for work that is lost when nodes fail."""

    @model_validator(mode="after")
    def _sigma(self) -> Self:
        if (self.sigma is not None) != (self.durations == "estimated"):
            raise ValueError("durations: estimated needs sigma, and no other takes it")
        return self


class Costs(Part):
    """What a gang pays in time beside its work."""

    start: Span = 0
    """From admission until it works."""
    interval: Length | None = None
    """Work between checkpoints. Absent: it writes none, and loses all that it did when it is stopped."""
    save: Span = 0
    """Time in which work stands still for a checkpoint."""
    restore: Span = 0
    """Time until it works again from one."""
    stop: Span = 0
    """From when its pods are told to stop until they are gone."""


class DrawnFailures(Part):
    """Nodes fail independently of each other, at exponential intervals."""

    mean_time_between: Length
    """Mean time from a repair of a node to its next failure."""
    repair: Length
    """How long a node is down."""
    kind: Trouble = "NotReady"
    """What the cluster knows of a node that is down. `NotReady`: no more than that, so that the end of its pods is
    waited for; `OutOfService`: that somebody vouches for it with the taint; `Gone`: it is deleted, and comes back."""


class Outage(Part):
    """A node that is down."""

    node: Text
    """Its name."""
    start: Span
    """When it goes down."""
    end: Span | None = None
    """When it is back. Absent: it stays down."""
    kind: Trouble = "NotReady"
    """As of drawn failures."""

    @model_validator(mode="after")
    def _order(self) -> Self:
        if self.end is not None and self.end <= self.start:
            raise ValueError("end must be after start")
        return self


class Failures(Part):
    """Failures of nodes: drawn, listed, or both."""

    drawn: DrawnFailures | None = None
    """Drawn from the seed, up to `until`; without that, up to twice the last arrival and the longest job."""
    listed: tuple[Outage, ...] = ()
    """Outages one by one."""


class Backfill(Part):
    """As in the operator's settings."""

    depth: Annotated[int, Field(strict=True, ge=0, le=100)] = 8
    """For so many waiting gangs of each pool a place is kept; 0: whoever fits starts. Only for the queue
    `conservative`."""
    assumed: Length = 86_400
    """For so long a gang is expected to run that does not say it."""
    patience: Annotated[int, Field(strict=True, ge=0, le=100)] = 20
    """Percent of its own run for which a gang may wait for a contiguous place, as `patiencePercent`. Only for the
    policy `berth`, and where jobs declare how long they take."""


def one_or_many(value: Any) -> Any:
    """A single value where a list is expected stands for a list of it alone."""
    return value if isinstance(value, (list, tuple)) or value is None else [value]


def _loads(value: Any) -> Any:
    value = one_or_many(value)
    if value == []:
        raise ValueError("must name at least one load, such as 0.75; leave it out to have arrivals as they are")
    return value


def _seeds(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 1:
            raise ValueError("must be a list of seeds, or how many there are, at least 1")
        return list(range(1, value + 1))
    if value == []:
        raise ValueError("must be a list of at least one seed, or how many there are")
    return value


def _moment(value: Any) -> Any:
    """YAML makes a time of a time without quotes."""
    return value.isoformat() if isinstance(value, datetime) else value


def _policies(value: Any) -> Any:
    value = one_or_many(value)
    if value == []:
        raise ValueError("must name at least one policy, such as berth")
    return value


class Scenario(Part):
    """What a run of the simulator is asked for."""

    scenario: Literal[1]
    """The version of this format: `1`."""
    name: Text | None = None
    """What it is called in results. Absent: as the file."""
    about: str = ""
    """What it is for, in a sentence or two."""
    at: Annotated[Time | None, BeforeValidator(_moment)] = None
    """The moment that the run's beginning stands for, such as that of a snapshot. It changes nothing; answers tell
    times of day by it."""
    cluster: Cluster
    """The nodes."""
    workload: Workload
    """The jobs."""
    policies: Annotated[tuple[Text, ...], BeforeValidator(_policies)] = ("berth",)
    """Who decides, one run for each: `berth` is what the operator does; for the others see
    docs/design/simulator-baselines.md."""
    queue: Literal["conservative", "any-fit", "strict", "first-fit-backfill"] = "conservative"
    """Who of those that wait may start. `conservative`: whoever delays nobody before it, as the operator does;
    `any-fit`: whoever fits; `strict`: nobody before the first has; `first-fit-backfill`: whoever fits and ends before
    the first can start."""
    load: Annotated[tuple[Annotated[float, Field(strict=True, gt=0, le=10)], ...] | None, BeforeValidator(_loads)] = (
        None
    )
    """Offered load, one number or several: arrivals are spread or pressed together so that the work of all jobs, in
    device-seconds, is this share of what the cluster has from the first arrival to the last. Absent: arrivals are as
    they are. A drawn workload needs it."""
    seeds: Annotated[tuple[Integer, ...], BeforeValidator(_seeds)] = (1,)
    """Seeds of all that is drawn: a list, or how many (`5` is 1 to 5)."""
    knowledge: Knowledge = Field(default_factory=Knowledge)
    """What the scheduler knows of durations."""
    costs: Costs = Field(default_factory=Costs)
    """What a gang pays beside its work."""
    slowdown: Annotated[tuple[dict[str, Share], ...], BeforeValidator(one_or_many)] = ({},)
    """By how much longer a gang takes that spans several domains of a level: `{spine: 0.1, leaf: 0.02}`; of several
    that hold, the largest counts. A list of such tables makes a run for each."""
    failures: Failures = Field(default_factory=Failures)
    """Failures of nodes."""
    backfill: Backfill = Field(default_factory=Backfill)
    """Reservations for those that wait."""
    every: Length = 30
    """At most one cycle in this time."""
    warm_up: Number = 0
    """So many of the first jobs are in no figure of jobs: the cluster is still filling."""
    until: Length | None = None
    """The run ends then. Absent: when all jobs have ended."""
