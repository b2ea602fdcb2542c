"""AcceleratorPool: the nodes with one kind of device and one network tree.

What the device is comes from a profile of the catalogue, or is written out field by field, over a profile or without
one, so that a make which the catalogue does not know needs no code. How the network is told comes from node labels,
whichever tool has put them there: each level lists the keys to look for, and the first that a node carries counts.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from berth.api.meta import Condition, ObjectMeta, check_reasons
from berth.api.names import API_VERSION, POOL_KIND
from berth.api.pod_defaults import PodDefaults
from berth.api.rules import (
    LABEL,
    LABEL_KEY,
    QUANTITY,
    Between,
    Bounds,
    LabelKey,
    LabelName,
    LabelValue,
    ResourceName,
    Rule,
    Title,
    quoted,
    rules,
)
from berth.api.wire import Count, Generation, Report, Wire

MOST_LEVELS = 5
MOST_SELECTORS = 16


class Operator(StrEnum):
    """How a node's label is compared."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


_POSITION = "the position of a device in its node"
_NO_GROUP = "must hold at least one device; remove the empty group"
_GROUPED = Rule(
    "has(self.groups) || !has(self.withinGroup)",
    "is about groups, and there are none: write groups out, too, or leave it out",
    path=".withinGroup",
)


class Layout(Wire):
    """How the devices sit inside one node."""

    model_config = ConfigDict(json_schema_extra=rules(_GROUPED))

    groups: (
        Annotated[
            tuple[
                Annotated[tuple[Annotated[int, Between(0, 63, _POSITION)], ...], Bounds(64, nonempty=_NO_GROUP)], ...
            ],
            Bounds(64, nonempty="must hold at least one group of devices; leave it out where all share one link"),
        ]
        | None
    ) = None
    """Devices of one group share the fast link; every device of a node, by its position from 0, is in exactly one.
    With groups, Berth chooses the devices of every replica: see docs/concepts/devices.md."""
    allowed_sizes: Annotated[
        tuple[Annotated[int, Between(1, 64, "the devices of one replica, which sits on one node")], ...],
        Bounds(64, "set", nonempty="must hold at least one size; leave layout out to allow what the profile allows"),
    ]
    """How many devices one replica may ask for, in any order."""
    within_group: (
        Annotated[
            tuple[Annotated[int, Between(1, 64, "the devices of one replica, inside one group")], ...],
            Bounds(64, "set", nonempty="must hold at least one size; leave it out if every size may cross groups"),
        ]
        | None
    ) = None
    """Sizes that must not cross a group; others may, where no single group has room."""


class AcceleratorOverride(Wire):
    """What the device is: each field stands instead of the profile's."""

    vendor: Title | None = None
    """Who makes the device, for people."""
    model: Title | None = None
    """What the device is called, for people."""
    resource_name: ResourceName | None = None
    """Name under which a node counts its devices in `status.allocatable`, such as `nvidia.com/gpu`."""
    memory: Annotated[str, QUANTITY] | None = None
    """Memory of one device, such as `80Gi`."""
    layout: Layout | None = None
    """How the devices sit inside one node. Absent: as in the profile; without a profile, a replica may ask for any
    number of devices that a node has."""


_VALUES = Rule(
    "self.operator in ['In', 'NotIn'] ? has(self.values) && self.values.size() > 0 : !has(self.values)",
    "In and NotIn need at least one value, Exists and DoesNotExist take none",
    "self.operator in ['In', 'NotIn'] ? self.operator + ' needs at least one value; to ask only for the label, use "
    "Exists' : self.operator + ' takes no values; to compare values, use In or NotIn'",
    path=".values",
)


class LabelExpression(Wire):
    """A comparison of one label."""

    model_config = ConfigDict(json_schema_extra=rules(_VALUES))

    key: LabelKey
    """Key of the label."""
    operator: Operator
    """`In`, `NotIn`: its value is (not) one of `values`. `Exists`, `DoesNotExist`: the label is (not) there."""
    values: Annotated[tuple[LabelValue, ...], Bounds(64)] | None = None
    """Values to compare with; only for `In` and `NotIn`."""


_KEYS = Rule(
    f"self.all(key, {LABEL_KEY.cel('key')})",
    f"every key {LABEL_KEY.message}",
    quoted(f"self.filter(key, !({LABEL_KEY.cel('key')}))[0]", LABEL_KEY.message),
)
_NOT_EMPTY = Rule(
    "(has(self.matchLabels) && self.matchLabels.size() > 0) || "
    "(has(self.matchExpressions) && self.matchExpressions.size() > 0)",
    "must name at least one label, such as matchLabels: {nvidia.com/gpu.product: NVIDIA-H800}; "
    "an empty selector would take every node of the cluster",
)


class NodeSelector(Wire):
    """Which nodes: those that satisfy all of it."""

    model_config = ConfigDict(json_schema_extra=rules(_NOT_EMPTY))

    match_labels: Annotated[dict[str, LabelValue], Bounds(MOST_SELECTORS), _KEYS] = Field(default_factory=dict)
    """Labels with exactly these values."""
    match_expressions: Annotated[tuple[LabelExpression, ...], Bounds(MOST_SELECTORS)] = ()
    """Comparisons of labels."""


class Level(Wire):
    """One level of the network tree."""

    level: Annotated[
        LabelName,
        Rule("self != 'node'", "is always there, as the last level: remove it"),
    ]
    """What jobs call this level in `topology.level`, such as `spine` or `leaf`."""
    node_labels: Annotated[
        tuple[LabelKey, ...],
        Bounds(8, nonempty="must name at least one node label, whose value is the domain that the node lies in"),
    ]
    """Keys of node labels whose value names the domain that the node lies in. The first that a node carries counts."""


# Written out entry by entry: the API server cannot bound the cost of a name taken from a filtered list.
_REPEATED = " : ".join(
    [
        *(
            f"self.size() > {i + 1} && !self.exists_one(other, other.level == self[{i}].level) ? self[{i}].level"
            for i in range(MOST_LEVELS - 1)
        ),
        "''",
    ]
)
_UNIQUE = Rule(
    "self.all(one, self.exists_one(other, other.level == one.level))",
    "every level must have a name of its own",
    quoted(f"({_REPEATED})", "stands there more than once: every level must have a name of its own"),
)
_KNOWN = Rule(
    "has(self.profile) || (has(self.accelerator) && has(self.accelerator.resourceName))",
    "name a profile of the catalogue, such as nvidia-h800, or write accelerator.resourceName out",
    path=".profile",
    required=True,
)


class PoolSpares(Wire):
    """Nodes that are kept free under every domain of a level: where it costs the least contiguity."""

    level: LabelName
    """Level of `spec.topology`, such as `spine`."""
    nodes: Annotated[int, Between(1, 1000, "nodes kept free under every domain of the level")] | None = None
    """How many under each of its domains. Absent: as many as the profile's maker advises for that level."""


_SPARED = Rule(
    "!has(self.spares) || (has(self.topology) && self.topology.exists(one, one.level == self.spares.level))",
    "must be a level of spec.topology",
    quoted("self.spares.level", "must be a level of spec.topology"),
    path=".spares.level",
)


class AcceleratorPoolSpec(Wire):
    """Which nodes, which device, which network."""

    model_config = ConfigDict(json_schema_extra=rules(_KNOWN, _SPARED))

    profile: LabelName | None = None
    """Entry of the catalogue that ships with Berth, such as `nvidia-h800`. It may be left out where
    `accelerator.resourceName` is written out."""
    accelerator: AcceleratorOverride | None = None
    """What the device is, instead of what the profile says, field by field."""
    node_selector: NodeSelector
    """Nodes of the pool. A node that two pools select belongs to the one that was created first."""
    topology: Annotated[tuple[Level, ...], Bounds(MOST_LEVELS), _UNIQUE] = ()
    """Levels of the network above the node, widest first. Empty: the network is flat."""
    spares: PoolSpares | None = None
    """Nodes that new gangs do not get, so that a failed node can be replaced nearby. Absent: none."""
    pod_defaults: PodDefaults | None = None
    """What every replica gets that lands in the pool, so that jobs need not know its fabric. A job's own settings
    win. A change counts from the next attempt of a job on."""


class PoolCondition(StrEnum):
    """Types of a pool's conditions."""

    READY = "Ready"
    TOPOLOGY_INCOMPLETE = "TopologyIncomplete"
    OVERLAPPING = "Overlapping"


POOL_REASONS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        PoolCondition.READY: frozenset({"Ready", "UnknownProfile", "InvalidAccelerator", "NoNodes", "NoDevices"}),
        PoolCondition.TOPOLOGY_INCOMPLETE: frozenset({"Complete", "LabelsMissing"}),
        PoolCondition.OVERLAPPING: frozenset({"Disjoint", "NodesTaken"}),
    }
)
"""The reasons that each condition of a pool may have."""


class NodeCounts(Report):
    """Nodes of the pool."""

    total: Count
    """Nodes that belong to the pool."""
    ready: Count
    """Nodes of these that take new pods: ready and not cordoned."""
    spare: Count | None = None
    """Nodes of these that are kept from new gangs now, as `spec.spares` says. Absent: the pool keeps none."""


class DeviceCounts(Report):
    """Devices of the pool: `free`, `used` and `unavailable` add up to `total`."""

    total: Count
    """Devices of the pool's nodes."""
    free: Count
    """Devices that a replica could get, those of spares included."""
    used: Count
    """Devices that jobs, or pods which are not Berth's, hold."""
    unavailable: Count
    """Devices that nobody holds and nobody can get: the node is not ready or cordoned, or lacks a level."""


class LevelCounts(Report):
    """One level of the network tree as it was found."""

    level: str
    """Name of the level."""
    domains: Count
    """Number of its domains."""
    largest_free: Count | None = None
    """Free devices in the domain that has the most."""


class PoolStatus(Report):
    """What Berth reports of a pool."""

    observed_generation: Generation | None = None
    """The pool's generation that this status is about."""
    resource_name: str | None = None
    """Name under which the nodes count the devices, from the profile or written out."""
    nodes: NodeCounts | None = None
    """Nodes of the pool."""
    devices: DeviceCounts | None = None
    """Devices of the pool: `free`, `used` and `unavailable` add up to `total`."""
    levels: Annotated[tuple[LevelCounts, ...], Bounds(MOST_LEVELS, "map", ("level",))] = ()
    """The network tree, widest level first, without the nodes."""
    conditions: Annotated[tuple[Condition, ...], Bounds(8, "map", ("type",))] = ()
    """`Ready`: jobs can be placed. `TopologyIncomplete`: nodes miss a level, and are left out. `Overlapping`: nodes
    that the pool selects belong to an older one."""

    def wire(self) -> dict[str, Any]:
        """Return the status as it is sent; a reason outside of its condition's closed set raises ValueError."""
        check_reasons(self.conditions, POOL_REASONS)
        return super().wire()


_NAME = Rule(
    LABEL.cel("self.metadata.name"),
    LABEL.message,
    quoted("self.metadata.name", LABEL.message),
    path=".metadata.name",
)


class AcceleratorPool(Wire):
    """Nodes with one kind of accelerator and one network tree. A gang is placed inside one pool."""

    model_config = ConfigDict(json_schema_extra=rules(_NAME))

    api_version: str = API_VERSION
    kind: str = POOL_KIND
    metadata: ObjectMeta
    spec: AcceleratorPoolSpec
    """Which nodes, which device, which network."""
    status: PoolStatus | None = None
    """What Berth reports. Nobody else writes it."""
