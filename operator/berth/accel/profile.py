"""The shape of the catalogue's data, checked when it is read.

A device is known by its position in the node, from 0. Rates keep the unit of their source, so that a file can be
compared with it line by line. What has no source is marked so and never guessed.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

from pydantic import Field, model_validator

from berth.api.rules import LabelKey, LabelName, ResourceName
from berth.api.wire import Wire
from berth.core.layout import Choice

Sizes = tuple[Annotated[int, Field(ge=1)], ...]


class HandOverHook(StrEnum):
    """How the device ids of a replica reach the node's plugin."""

    PLUGIN = "plugin"
    """They don't: the plugin chooses them."""
    ASCEND_ANNOTATIONS = "ascend-annotations"
    """By annotations on the pod, before it is bound."""


class RuntimeHook(StrEnum):
    """Which environment and files a runtime wants."""

    TORCHRUN = "torchrun"
    TORCH_NPU = "torch-npu"
    MINDSPORE = "mindspore"


class Resource(Wire):
    """A name under which nodes may count this device: it depends on the installed software, not on the silicon."""

    name: ResourceName
    stack: str
    """Which device plugin counts under this name."""


class Hint(Wire):
    """A node label by which a device can be recognised: whole values, or prefixes of a product's name."""

    label: LabelKey
    values: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    shared_suffixes: tuple[str, ...] = ()
    """What follows a product's name where a counted device is a share of one."""

    @model_validator(mode="after")
    def _one_way(self) -> "Hint":
        if bool(self.values) == bool(self.prefixes):
            raise ValueError(f"hint {self.label} must have either values or prefixes")
        return self

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Say whether a node with these labels has the device, whole.

        Products are compared letter case, blanks and `_` apart, and up to the end of a word: H20 is no H200.
        """
        value = labels.get(self.label)
        if value is None:
            return False
        if self.values:
            return value in self.values
        product = normalised(value)
        if any(normalised(suffix) in product for suffix in self.shared_suffixes):
            return False
        return any(f"{product}-".startswith(f"{normalised(prefix)}-") for prefix in self.prefixes)


def normalised(product: str) -> str:
    """Write a product's name as one word: `NVIDIA H800` is `NVIDIA-H800`."""
    return "-".join(product.upper().replace("_", " ").replace("-", " ").split())


class Domain(Wire):
    """A network domain that the make's nodes are built into."""

    level: LabelName
    """What the level is best called in a pool's topology."""
    node_label: LabelKey | None = None
    """Label that names the domain, where the make has one."""
    nodes: Annotated[int, Field(ge=2)]
    """Nodes of one domain."""
    spares: Annotated[int, Field(ge=0)] = 0
    """Nodes of a domain that are customarily kept free."""


class Rate(Wire):
    """A bandwidth."""

    link: str
    rate: Annotated[float, Field(gt=0)]
    unit: Annotated[str, Field(pattern="^(GB/s|Gb/s)$")]
    per: Annotated[str, Field(pattern="^(device|link|package)$")]
    one_way: bool = False
    links: int | None = None
    """Links of one device, where the rate is that of one link."""
    verified: bool = True
    """Whether a source was read for it."""

    @property
    def gigabytes_per_second(self) -> float:
        """The rate in GB/s."""
        return self.rate if self.unit == "GB/s" else self.rate / 8


class Legal(Wire):
    """How many devices a replica may ask for."""

    alone: Sizes
    """Where it is the only replica of its job."""
    gang: Sizes
    """Where it is one of several."""


class Profile(Wire):
    """A kind of node with one kind of accelerator."""

    model: str
    """What the device is called, for people."""
    resources: tuple[Resource, ...] = ()
    """Names that it is counted under, the usual one first. Empty: it depends on the model, see `resourcePattern`."""
    resource_pattern: str = ""
    """What the names look like, where there is one for each model."""
    hints: tuple[Hint, ...] = ()
    devices_per_node: Annotated[int, Field(ge=1)] | None = None
    """Devices of one node; None where nodes of several sizes are built."""
    groups: tuple[tuple[int, ...], ...] = ()
    """Devices that share the fast link, by position. Empty: all of a node are one group."""
    sizes: Legal
    within_group: Sizes = ()
    """Sizes that must not cross a group."""
    paired: Sizes = ()
    """Sizes that are taken as two halves on matching positions of two groups."""
    choice: Choice = Choice.PLUGIN
    prefer_free: dict[int, tuple[int, ...]] = Field(default_factory=dict)
    """By size: free counts of a group, the best first. A group with another free count is not taken."""
    domains: tuple[Domain, ...] = ()
    rank_table: str = ""
    """Version of the rank table that its runtimes read."""
    bandwidth: tuple[Rate, ...] = ()
    unverified: tuple[str, ...] = ()
    """Fields of this profile for which no source was read."""

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> "Profile":
        if bool(self.resources) == bool(self.resource_pattern):
            raise ValueError("must have either resources or resourcePattern")
        positions = sorted(position for group in self.groups for position in group)
        if self.groups and positions != list(range(self.devices_per_node or 0)):
            raise ValueError(f"groups must hold each of the {self.devices_per_node} devices of a node exactly once")
        largest = max((len(group) for group in self.groups), default=self.devices_per_node)
        for name, sizes, most in (
            ("sizes.alone", self.sizes.alone, self.devices_per_node),
            ("sizes.gang", self.sizes.gang, self.devices_per_node),
            ("withinGroup", self.within_group, largest),
        ):
            if list(sizes) != sorted(set(sizes)):
                raise ValueError(f"{name} must be in ascending order, each size once")
            if most is not None and sizes and sizes[-1] > most:
                raise ValueError(f"{name} has {sizes[-1]}, there are only {most} devices to take them from")
        legal = {*self.sizes.alone, *self.sizes.gang}
        for name, chosen in (
            ("withinGroup", self.within_group),
            ("paired", self.paired),
            ("preferFree", self.prefer_free),
        ):
            if extra := set(chosen) - legal:
                raise ValueError(f"{name} has {sorted(extra)}, which no replica may ask for")
        return self


class Health(Wire):
    """Where a make's own tools tell which devices are broken."""

    namespace: str
    config_map: str
    """Name of the ConfigMap, `{node}` standing for the node's name."""
    unusable: tuple[str, ...]
    """Endings of keys that list devices which nothing may use."""
    without_network: tuple[str, ...]
    """Endings of keys that list devices which only a single-node job may use."""


class HandOver(Wire):
    """How device ids reach the node's plugin, in the make's own words."""

    hook: HandOverHook = HandOverHook.PLUGIN
    stack: str = ""
    """The device plugin that takes ids this way; under the resource names of other stacks, the plugin chooses."""
    annotation: str = ""
    """Annotation that lists the chosen devices, `{resource}` standing for the name that they are counted under."""
    device: str = ""
    """One device in that list, `{id}` standing for its physical number, `{kind}` for the end of the resource's name."""
    order_annotation: str = ""
    """Annotation by which the plugin tells pods of one node apart, unix nanoseconds, unique on the node."""
    answers: tuple[str, ...] = ()
    """Annotations in which the plugin tells what it mounted."""
    environment: str = ""
    """Variable that the container gets the list in, by downward API."""
    health: Health | None = None


class RuntimeFacts(Wire):
    """What one runtime wants on this make."""

    runtime: str
    """The runtime as jobs name it."""
    hook: RuntimeHook
    environment: tuple[str, ...] = ()
    """Variables that it reads, besides those of the runtime on any make."""


class Exporter(Wire):
    """Where utilisation can be read, if the exporter is installed."""

    name: str
    port: int | None = None
    utilisation: tuple[str, ...] = ()
    memory: tuple[str, ...] = ()
    health: tuple[str, ...] = ()


class Make(Wire):
    """One file of the catalogue."""

    make: LabelName
    vendor: str
    hand_over: HandOver = HandOver()
    mounted_by: str = ""
    """Variable by which the make's container runtime mounts devices, whatever the pod asks for."""
    runtimes: tuple[RuntimeFacts, ...] = ()
    identity_labels: tuple[LabelKey, ...] = ()
    """Node labels that tell generation and model."""
    topology: tuple[str, ...] = ()
    """Sources of topology labels that its nodes usually carry, best first; see `Network`."""
    exporter: Exporter | None = None
    profiles: dict[LabelName, Profile]


class NetworkLevel(Wire):
    """One level of a source of topology labels."""

    level: LabelName
    node_labels: tuple[LabelKey, ...]


class Network(Wire):
    """Topology labels that one tool or cloud puts on nodes, widest level first."""

    source: LabelName
    levels: tuple[NetworkLevel, ...]
