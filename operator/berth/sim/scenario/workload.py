"""The workload of a scenario, as its file has it: a trace, a draw from a trace or from a distribution, listed jobs."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from berth.sim.scenario.fields import Count, Integer, Length, Moment, Part, Positive, Span, Text


class Columns(Part):
    """Which column of a trace says what. Times are seconds from the start of the trace, with or without fractions."""

    submit: Text = "submit_s"
    """When a job was submitted."""
    duration: Text = "duration_s"
    """How long it ran; this is the work of the job."""
    devices: Text = "gpus"
    """Devices of the whole job."""
    id: Text | None = None
    """What the job is called. Absent: by its line."""
    tenant: Text | None = None
    """Whose it is. Absent: nobody's."""
    replicas: Text | None = None
    """In how many replicas. Absent: in as few as nodes allow, all with equally many devices."""
    declared: Text | None = None
    """The run-time limit that it was submitted with, for `knowledge.durations: declared`; an empty cell: none."""
    priority: Text | None = None
    """Its priority, higher first. Absent: 0 for all."""


class Filter(Part):
    """Which rows of a trace count."""

    min_devices: Count | None = None
    """Jobs of at least so many devices."""
    max_devices: Count | None = None
    """Jobs of at most so many devices."""
    min_duration: Span | None = None
    """Jobs that ran for at least so long."""
    tenants: tuple[Text, ...] | None = None
    """Jobs of these tenants."""
    from_: Annotated[Span | None, Field(alias="from")] = None
    """Jobs that were submitted this long after the trace's start, or later; what is left starts the run."""
    to: Span | None = None
    """Jobs that were submitted before this moment of the trace."""


class Trace(Part):
    """A CSV file with one row for each job."""

    file: Text
    """The file, looked for beside the scenario; with `.xz` it is unpacked."""
    columns: Columns = Field(default_factory=Columns)
    """Names of its columns."""
    filter: Filter = Field(default_factory=Filter)
    """Which rows count."""


class Durations(Part):
    """A distribution of durations. One of the three."""

    fixed: Length | None = None
    """All the same."""
    exponential: Length | None = None
    """Exponential with this mean."""
    lognormal: Length | None = None
    """Lognormal with this median, and `sigma`."""
    sigma: Positive | None = None
    """Of the lognormal distribution: standard deviation of the logarithm."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [n for n in ("fixed", "exponential", "lognormal") if getattr(self, n) is not None]
        if len(given) != 1:
            raise ValueError("exactly one of fixed, exponential and lognormal is needed")
        if (self.sigma is not None) != (given == ["lognormal"]):
            raise ValueError("lognormal needs sigma, and no other takes it")
        return self


class Size(Part):
    """A size of jobs in a drawn workload."""

    devices: Count
    """Devices of the whole job."""
    weight: Positive = 1.0
    """How often it is drawn, against the others."""


class Draw(Part):
    """Jobs that are drawn.

    Their shapes (devices, duration, tenant) are rows of `trace`, all equally likely, or come from `sizes` and
    `durations`. They arrive as a Poisson process whose rate gives the `load`.
    """

    jobs: Count
    """How many."""
    sizes: tuple[Size, ...] | None = None
    """Sizes, in place of a trace."""
    durations: Durations | None = None
    """Durations, in place of a trace."""

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.sizes is None) != (self.durations is None):
            raise ValueError("sizes and durations stand together, in place of a trace; one of them is missing")
        if self.sizes is not None and not self.sizes:
            raise ValueError("sizes: at least one is needed")
        return self


class Groups(Part):
    """Consecutive ranks, each so many inside one domain."""

    size: Count
    """Ranks of a group."""
    level: Text
    """The level."""


class Toleration(Part):
    """A toleration, as in Kubernetes."""

    key: str = ""
    """Key of the taint; empty: any."""
    operator: str = ""
    """`Equal` (also if empty) or `Exists`."""
    value: str = ""
    """Value of the taint."""
    effect: str = ""
    """Effect of the taint; empty: any."""


class Clause(Part):
    """A comparison of a node's label, or of its name with the key `metadata.name`."""

    key: Text
    """Key of the label."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
    """As in Kubernetes."""
    values: tuple[str, ...] = ()
    """What it is compared with."""


class Placed(Part):
    """Where a job sits that has devices when the run begins."""

    nodes: Text
    """Names of nodes in rank order, folded as in `status.placement.nodes`: `h800-n[1-4]`."""
    since: Moment
    """When it got them, such as `-2h`."""


def _name(value: object) -> object:
    if isinstance(value, str) and (value.count("/") != 1 or value.startswith("/") or value.endswith("/")):
        raise ValueError("must be NAMESPACE/NAME")
    return value


class ListedJob(Part):
    """A job by itself."""

    name: Annotated[Text, BeforeValidator(_name)]
    """NAMESPACE/NAME."""
    submit: Moment = 0
    """When it is submitted; with a minus sign: so long before the run begins."""
    replicas: Count
    """Replicas of the gang."""
    devices: Count
    """Devices of each replica."""
    pools: tuple[Text, ...] = ()
    """Pools that it may run in, in order of preference. Empty: any."""
    level: Text | None = None
    """The network level that holds the gang in one domain."""
    policy: Literal["Required", "Preferred"] = "Preferred"
    """Whether it must, or should."""
    groups: Groups | None = None
    """Groups of ranks."""
    priority: Integer = 0
    """Higher first."""
    tenant: str | None = None
    """Whose it is. Absent: its namespace's."""
    max_duration: Length | None = None
    """For so long it may hold devices, over all attempts. Absent: no limit."""
    held: Span = 0
    """For so long earlier attempts held devices; it counts against `maxDuration`."""
    work: Length | None = None
    """How long it holds devices from its start on; of one that is placed: from the run's beginning on. Absent: what is
    left of `maxDuration`; without that, what is left of `backfill.assumed`, and a quarter of it again and again for one
    that has outlived it."""
    placed: Placed | None = None
    """Where it sits already."""
    requests: dict[str, str | int] = Field(default_factory=dict)
    """What a replica asks for besides its devices."""
    selector: dict[str, str] = Field(default_factory=dict)
    """Labels that its nodes must have."""
    tolerations: tuple[Toleration, ...] = ()
    """Taints that it tolerates."""
    affinity: tuple[tuple[Clause, ...], ...] = ()
    """Required node affinity: alternatives, each a list of comparisons that must all hold."""
    held_back: Literal["Suspended", "TemplateRefused", "UnknownPriorityClass"] | None = None
    """Why it cannot start whatever comes free. It waits for the whole run."""


class Workload(Part):
    """The jobs: exactly one of a trace as it is, a draw (from a trace or a distribution), and listed jobs."""

    trace: Trace | None = None
    """A trace. Without `draw` it is replayed as it is."""
    draw: Draw | None = None
    """Jobs are drawn."""
    jobs: tuple[ListedJob, ...] | None = None
    """Jobs one by one."""
    level: Text | None = None
    """The network level that jobs of a trace or a draw ask for. Absent: the narrowest that holds them."""
    policy: Literal["Required", "Preferred"] = "Preferred"
    """Whether such a job must stay inside one domain of that level, or should."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.jobs is not None and (self.trace is not None or self.draw is not None or self.level is not None):
            raise ValueError("jobs stand alone: leave out trace, draw and level")
        if self.jobs is None and self.trace is None and self.draw is None:
            raise ValueError("trace, draw or jobs is needed")
        if self.draw is not None and (self.draw.sizes is None) == (self.trace is None):
            raise ValueError("draw needs shapes: either a trace, or sizes and durations, and not both")
        return self
