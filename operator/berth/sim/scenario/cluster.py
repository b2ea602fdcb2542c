"""The cluster of a scenario, as its file has it: pools of nodes under a tree of network levels.

Names of fields are those of the cluster models of the demo and the tests, so that a pool can be copied from one to the
other. A pool is regular (a count at each level), read from a topology file, or a list of nodes.
"""

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from berth.api.rules import LabelName, ResourceName
from berth.sim.scenario.fields import Count, Part, Text


class Level(Part):
    """A level of the network tree, the widest first; the node is no level of its own."""

    name: LabelName
    """What jobs call it, such as `spine` or `leaf`."""
    count: Count | None = None
    """Regular tree: domains under each domain of the level above."""
    column: Text | None = None
    """Topology file: the column with the domain's name. A leaf's name may repeat under other spines."""


class Device(Part):
    """The devices of one node."""

    resource: ResourceName
    """What nodes call the device, such as `nvidia.com/gpu`."""
    count: Count
    """How many each node has."""


class Topology(Part):
    """A CSV file with one row for each node."""

    file: Text
    """The file, looked for beside the scenario; with `.xz` it is unpacked."""
    node: Text
    """The column with the nodes' names."""


class Taint(Part):
    """A taint of a node."""

    key: Text
    """Its key."""
    value: str = ""
    """Its value."""
    effect: Text
    """`NoSchedule`, `PreferNoSchedule` or `NoExecute`."""


class ListedNode(Part):
    """A node by itself."""

    name: Text
    """Its name."""
    domains: tuple[Text, ...] = ()
    """Its domain at each level, the widest first."""
    resources: dict[str, str | int] = Field(default_factory=dict)
    """What it has, where that differs from the pool's `device` and `resources`; 0: nothing of it."""
    taken: dict[str, str | int] = Field(default_factory=dict)
    """What others than the jobs hold of it for the whole run."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Its labels besides the pool's, as far as selectors of jobs ask for them."""
    taints: tuple[Taint, ...] = ()
    """Its taints."""
    cordoned: bool = False
    """It takes no new gang during the whole run."""


class Pool(Part):
    """Nodes of one kind under one network tree. Exactly one of `nodes`, `topology` and `hosts` says which."""

    name: LabelName
    """What jobs call it."""
    device: Device
    """The devices of each node."""
    levels: tuple[Level, ...] = ()
    """The network tree."""
    nodes: Count | None = None
    """Regular tree: nodes under each domain of the narrowest level."""
    topology: Topology | None = None
    """The tree is read from a file."""
    hosts: tuple[ListedNode, ...] | None = None
    """The nodes one by one."""
    resources: dict[str, str | int] = Field(default_factory=dict)
    """What each node has besides devices, such as `{cpu: 192, memory: 2Ti}`. A job that asks for what is not
    named here finds no room; `pods` is 110 unless it is named."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels of all nodes, for jobs with a selector."""
    sizes: tuple[Count, ...] | None = None
    """Devices that a replica of a gang may ask for. Absent: any number."""
    sizes_alone: tuple[Count, ...] | None = None
    """The same for a job of one replica."""

    @model_validator(mode="after")
    def _one_kind_of_tree(self) -> Self:
        ways = {"nodes": self.nodes, "topology": self.topology, "hosts": self.hosts}
        given = [name for name, value in ways.items() if value is not None]
        if len(given) != 1:
            have = f"there is {' and '.join(given)}" if given else "there is none of them"
            raise ValueError(f"exactly one of nodes, topology and hosts says which nodes there are; {have}")
        for level in self.levels:
            wanted = {"nodes": "count", "topology": "column"}.get(given[0])
            for field in ("count", "column"):
                if (getattr(level, field) is not None) != (field == wanted):
                    verb = "needs" if field == wanted else "takes no"
                    raise ValueError(f"level {level.name}: with {given[0]} it {verb} {field}")
        names = [level.name for level in self.levels]
        if len(set(names)) < len(names):
            raise ValueError(f"levels: {', '.join(names)}: give each level a name of its own")
        return self


def _some(value: object) -> object:
    if isinstance(value, (list, tuple)) and not value:
        raise ValueError("must have at least one pool")
    return value


class Cluster(Part):
    """The nodes. They stand in the scenario, or in a file of their own."""

    pools: Annotated[tuple[Pool, ...], BeforeValidator(_some)] | None = None
    """The pools."""
    model: Text | None = None
    """A cluster model, such as those of the demo, looked for beside the scenario: a YAML file with `pools`. Their
    `cpu`, `memory` and `pods` count as `resources`; labels of levels and annotations say nothing here."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.pools is None) == (self.model is None):
            raise ValueError("either pools or model is needed, and not both")
        return self
