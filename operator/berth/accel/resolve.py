"""What a pool's devices are: its profile, and over it whatever the pool writes out itself."""

from dataclasses import dataclass, field

from berth.accel.catalogue import Catalogue, Entry, UnknownProfileError
from berth.accel.profile import HandOver, Profile, RuntimeFacts
from berth.api.pool import AcceleratorOverride, AcceleratorPoolSpec
from berth.api.pool import Layout as WrittenLayout
from berth.core.layout import Choice, Layout
from berth.core.spares import Spares


class AcceleratorError(Exception):
    """A pool whose device cannot be told. `reason` is that of its Ready condition; the message names the remedy."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Accelerator:
    """The device of one pool, and how it may be asked for.

    `sizes_alone` and `sizes_in_gang` are the numbers of devices that a replica may ask for, as the only one of its job
    or as one of several; None: any number that a node has. `layout`: how Berth chooses the devices of a replica; None
    where the node's plugin does. `spares`: nodes that the pool keeps free.
    """

    profile: str | None
    vendor: str
    model: str
    resource_name: str
    memory: str | None = None
    devices_per_node: int | None = None
    sizes_alone: tuple[int, ...] | None = None
    sizes_in_gang: tuple[int, ...] | None = None
    layout: Layout | None = None
    hand_over: HandOver = field(default_factory=HandOver)
    spares: Spares | None = None
    runtimes: tuple[RuntimeFacts, ...] = ()

    def sizes(self, replicas: int) -> tuple[int, ...] | None:
        """Return what one replica of a job of so many may ask for; None: any number that a node has."""
        return self.sizes_alone if replicas == 1 else self.sizes_in_gang


def resolve(spec: AcceleratorPoolSpec, catalogue: Catalogue) -> Accelerator:
    """Say what a pool's devices are; AcceleratorError if its profile is unknown or its fields contradict it."""
    override = spec.accelerator or AcceleratorOverride()
    if spec.profile is None:
        return _written_out(spec, override)
    try:
        entry = catalogue.entry(spec.profile)
    except UnknownProfileError as error:
        raise AcceleratorError("UnknownProfile", f"spec.profile: {error}") from error
    profile, sizes = entry.profile, _sizes(override)
    _fits(entry, sizes)
    resource = override.resource_name or _resource(entry)
    written = override.layout if override.layout and override.layout.groups else None
    return Accelerator(
        profile=entry.name,
        vendor=override.vendor or entry.make.vendor,
        model=override.model or profile.model,
        resource_name=resource,
        memory=override.memory,
        devices_per_node=profile.devices_per_node,
        sizes_alone=sizes or profile.sizes.alone,
        sizes_in_gang=sizes or profile.sizes.gang,
        layout=_written_layout(written) if written else _layout(entry, resource),
        hand_over=entry.make.hand_over,
        spares=_spares(spec, resource, entry),
        runtimes=entry.make.runtimes,
    )


def _spares(spec: AcceleratorPoolSpec, resource: str, entry: Entry | None) -> Spares | None:
    """The spares that a pool keeps; their number is the profile's custom where the pool names none."""
    if spec.spares is None:
        return None
    level = spec.spares.level
    advised = {domain.level: domain.spares for domain in entry.profile.domains} if entry else {}
    nodes = spec.spares.nodes or advised.get(level)
    if not nodes:
        raise AcceleratorError(
            "InvalidAccelerator",
            f"spec.spares.nodes: the profile advises none for level {level}; write how many nodes to keep free under "
            f"each {level}",
        )
    return Spares(level, nodes, resource)


def _written_out(spec: AcceleratorPoolSpec, override: AcceleratorOverride) -> Accelerator:
    if override.resource_name is None:
        raise AcceleratorError(
            "InvalidAccelerator",
            "spec.profile: name a profile of the catalogue, or write spec.accelerator.resourceName out",
        )
    return Accelerator(
        profile=None,
        vendor=override.vendor or "",
        model=override.model or "",
        resource_name=override.resource_name,
        memory=override.memory,
        sizes_alone=_sizes(override),
        sizes_in_gang=_sizes(override),
        layout=_written_layout(override.layout) if override.layout and override.layout.groups else None,
        spares=_spares(spec, override.resource_name, None),
    )


def layout_of(profile: Profile) -> Layout | None:
    """How Berth chooses the devices of a profile's nodes; None where their plugin does."""
    if profile.choice is Choice.PLUGIN or profile.devices_per_node is None:
        return None
    return Layout(
        devices=profile.devices_per_node,
        choice=profile.choice,
        groups=profile.groups,
        within_group=profile.within_group,
        paired=profile.paired,
        prefer_free=tuple(sorted(profile.prefer_free.items())),
    )


def _layout(entry: Entry, resource: str) -> Layout | None:
    """The profile's, unless the resource's name says that another stack's plugin is there, which chooses by itself."""
    stack = next((known.stack for known in entry.profile.resources if known.name == resource), "")
    theirs = entry.make.hand_over.stack
    return None if stack and theirs and stack != theirs else layout_of(entry.profile)


def _written_layout(written: WrittenLayout) -> Layout:
    """A layout that a pool writes out; AcceleratorError if it contradicts itself."""
    groups = written.groups or ()
    positions = sorted(position for group in groups for position in group)
    field = "spec.accelerator.layout"
    if positions != list(range(len(positions))):
        raise AcceleratorError(
            "InvalidAccelerator",
            f"{field}.groups: {[list(group) for group in groups]}: every device of a node must stand in exactly one "
            f"group, numbered from 0 without a gap",
        )
    if max(written.allowed_sizes) > len(positions):
        raise AcceleratorError(
            "InvalidAccelerator",
            f"{field}.allowedSizes: {max(written.allowed_sizes)} is more than the {len(positions)} devices of "
            f"{field}.groups; remove it, or add the devices that are missing",
        )
    inside, largest = tuple(sorted(written.within_group or ())), max(len(group) for group in groups)
    wrong = [size for size in inside if size not in written.allowed_sizes or size > largest]
    if wrong:
        raise AcceleratorError(
            "InvalidAccelerator",
            f"{field}.withinGroup: {wrong[0]} must be one of allowedSizes, and at most the {largest} devices of the "
            "largest group",
        )
    return Layout(len(positions), Choice.FITTING_GROUP, groups, inside)


def _sizes(override: AcceleratorOverride) -> tuple[int, ...] | None:
    return tuple(sorted(set(override.layout.allowed_sizes))) if override.layout else None


def _fits(entry: Entry, sizes: tuple[int, ...] | None) -> None:
    most = entry.profile.devices_per_node
    if sizes and most and sizes[-1] > most:
        raise AcceleratorError(
            "InvalidAccelerator",
            f"spec.accelerator.layout.allowedSizes: {sizes[-1]} is more than the {most} devices that a node of profile "
            f"{entry.name} has; remove what is above {most}",
        )


def _resource(entry: Entry) -> str:
    if entry.profile.resources:
        return entry.profile.resources[0].name
    raise AcceleratorError(
        "InvalidAccelerator",
        f"spec.accelerator.resourceName: profile {entry.name} has one name for each model "
        f"({entry.profile.resource_pattern}); set the one that kubectl describe node shows",
    )
