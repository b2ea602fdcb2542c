"""TrainingJob: what a user asks for.

The schema holds what is built and nothing more: a field that is accepted but not honoured would be a lie that shows
only when a training run goes wrong.

While the gang is placed its shape stands still, because the pods that exist were made from it. The same idea as
with Kubernetes' own Job, which may be resized only while it is suspended. The template may change at any time: it
counts from the next attempt on.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict

from berth.api.job_status import JobStatus
from berth.api.meta import ObjectMeta
from berth.api.names import API_VERSION, JOB_KIND
from berth.api.rules import Between, Bounds, Duration, LabelName, PriorityClassName, Rule, literal, quoted, rules
from berth.api.template import PodTemplate
from berth.api.wire import Wire

MOST_REPLICAS = 5000
JOB_NAME_LENGTH = 50
"""Characters of a job's name: with attempt and rank appended, a pod's name is still a host name of 63."""


class Runtime(StrEnum):
    """Which environment the replicas get, besides Berth's own."""

    TORCHRUN = "Torchrun"
    TORCH_NPU = "TorchNPU"
    NONE = "None"


class Policy(StrEnum):
    """How binding a wish is."""

    REQUIRED = "Required"
    PREFERRED = "Preferred"


class Binding(StrEnum):
    """Who binds the pods to their nodes."""

    SCHEDULER = "Scheduler"
    DIRECT = "Direct"


class JobGroups(Wire):
    """Groups of consecutive ranks that sit close together, such as the ranks of one logical super-pod."""

    size: Annotated[int, Between(2, MOST_REPLICAS, "ranks of one group; leave groups out where each stands for itself")]
    """Replicas of one group: ranks 0 to size - 1 are the first, and so on."""
    level: LabelName
    """Level of the pool's network tree: every group sits inside one domain of it. `node`: on one node."""


_SOMETHING = Rule(
    "has(self.level) || has(self.groups)",
    "name a level for the whole gang, or groups; leave topology out for the narrowest domain that has room now",
    path=".level",
    required=True,
)


class JobTopology(Wire):
    """Where in the network the gang has to sit."""

    model_config = ConfigDict(json_schema_extra=rules(_SOMETHING))

    level: LabelName | None = None
    """Level of the pool's network tree, such as `leaf`: the whole gang sits inside one domain of it. `node`: on one
    node. Absent: in the narrowest domain that has room now."""
    policy: Policy = Policy.REQUIRED
    """`Required`: the job waits until one domain of the level has room for the whole gang. `Preferred`: where none
    has, the gang is spread over as few domains as possible."""
    groups: JobGroups | None = None
    """Ranks that belong closer together than the whole gang. Absent: none do."""


_WHOLE_GROUPS = Rule(
    "!has(self.topology) || !has(self.topology.groups) || self.replicas % self.topology.groups.size == 0",
    "must divide spec.replicas, so that every group is whole: change one of the two",
    path=".topology.groups.size",
)


class TrainingJobSpec(Wire):
    """What the job asks for."""

    model_config = ConfigDict(json_schema_extra=rules(_WHOLE_GROUPS))

    replicas: Annotated[int, Between(1, MOST_REPLICAS, "one pod each, all placed together or not at all")]
    """Pods of the job. All of them together are the gang: it is placed whole or not at all, ranks in network order."""
    devices_per_replica: Annotated[
        int, Between(1, 64, "the accelerators of one pod, which sits on one node; for more, raise spec.replicas")
    ]
    """Accelerators that each replica gets. Which numbers are legal depends on the make: see the pool's profile."""
    pools: (
        Annotated[
            tuple[LabelName, ...],
            Bounds(
                16, "set", nonempty="must name at least one AcceleratorPool; leave it out to allow any pool that suits"
            ),
        ]
        | None
    ) = None
    """AcceleratorPools that the job may run in, in order of preference. Absent: any pool that suits."""
    priority_class_name: PriorityClassName | None = None
    """A PriorityClass of the cluster. Its value orders the jobs inside Berth, higher first, then the earlier
    submission; it is not given to the pods. Absent: the cluster's default class, or 0."""
    runtime: Runtime = Runtime.NONE
    """Which environment the replicas get. `Torchrun`: `PET_*`, so that `torchrun` needs no arguments to form its
    rendezvous. `TorchNPU`: what PyTorch on Ascend reads (`MASTER_ADDR`, `MASTER_PORT`, `WORLD_SIZE` in dies, `RANK` of
    the replica, `LOCAL_WORLD_SIZE`, `HCCL_CONNECT_TIMEOUT`, and with `topology.groups` the number of the replica's
    group as `HCCL_LOGIC_SUPERPOD_ID`). `None`: only `BERTH_*`, which every replica gets."""
    topology: JobTopology | None = None
    """Where in the network the gang has to sit. Absent: in the narrowest domain that has room now."""
    backoff_limit: Annotated[int, Between(0, 100, "restarts of the whole gang after failures of its own")] = 3
    """How often the gang is started again after a failure of its own before the job is Failed. Lost nodes and pods
    that others delete never count; nor does a failure if within 90 s a node of the gang turns out to be lost."""
    start_deadline: Annotated[
        str, Duration("10s", "168h", "the devices of a gang that does not come up are idle for so long")
    ] = "15m"
    """How long the replicas may take until all of them run after the gang was placed. Then it is stopped as a whole,
    the reason is told, and for a while the job avoids the nodes whose replicas did not run."""
    suspend: bool = False
    """`true`: the gang is stopped and gives its devices back, or is not started; the job keeps its place in order of
    submission. Suspend to change the shape of a job that is placed."""
    ttl_seconds_after_finished: (
        Annotated[
            int, Between(0, 2**31 - 1, "seconds from the job's end to its deletion; leave it out to keep the job")
        ]
        | None
    ) = None
    """Seconds from the job's end until it is deleted, with all that belongs to it. Absent: it is kept."""
    max_duration: (
        Annotated[str, Duration("1s", "87600h", "the gang holds its devices for at most so long, over all attempts")]
        | None
    ) = None
    """How long the gang may hold its devices, over all attempts, such as `72h`; then it is stopped and the job is
    Failed. Nothing sets the count back, neither lost nodes nor a suspension. Smaller jobs pass larger ones that wait
    only where they end in time, so a job that says how long it takes starts earlier. Absent: no limit."""
    binding: Binding = Binding.SCHEDULER
    """Who binds the pods. `Scheduler`: kube-scheduler, to the node that Berth decided, which it checks once more.
    `Direct`: Berth itself; half the writes, for nodes that nothing else schedules on."""
    template: PodTemplate
    """What every replica is made of. A change counts from the next attempt on."""


_SHAPE = ("replicas", "devicesPerReplica", "pools", "runtime", "topology", "binding")
_FINISHED = "has(oldSelf.status) && has(oldSelf.status.finishedAt)"
_HELD = f"has(oldSelf.status) && has(oldSelf.status.placement) || {_FINISHED}"
_WHILE_PLACED = "cannot change while the gang is placed: set spec.suspend to true first, and back to false afterwards"
_AFTER_END = "cannot change, the job has finished: create a new one"


def _frozen(field: str) -> Rule:
    """A field of the gang's shape stands still while there is a placement, and once the job has finished."""
    new, old = f"self.spec.{field}", f"oldSelf.spec.{field}"
    same = f"(has({new}) ? has({old}) && {new} == {old} : !has({old}))"
    text = f"{_FINISHED} ? {literal(_AFTER_END)} : {literal(_WHILE_PLACED)}"
    return Rule(f"!({_HELD}) || {same}", _WHILE_PLACED, text, path=f".spec.{field}")


_HOST_NAME = (
    f"must be at most {JOB_NAME_LENGTH} of a-z, 0-9 and '-', with a letter first and no '-' last: the host names of "
    "the replicas are made of it"
)
_NAME = Rule(
    f"self.metadata.name.size() <= {JOB_NAME_LENGTH} && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
    _HOST_NAME,
    quoted("self.metadata.name", _HOST_NAME),
    path=".metadata.name",
)


class TrainingJob(Wire):
    """A training job: one gang of equal pods that Berth places whole, contiguously in the network, or not at all."""

    model_config = ConfigDict(json_schema_extra=rules(_NAME, *(_frozen(field) for field in _SHAPE)))

    api_version: str = API_VERSION
    kind: str = JOB_KIND
    metadata: ObjectMeta
    spec: TrainingJobSpec
    """What the job asks for."""
    status: JobStatus | None = None
    """What Berth reports. Nobody else writes it."""
