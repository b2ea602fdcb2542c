"""What a pool's devices are: its profile, and over it whatever the pool writes out itself."""

from dataclasses import dataclass, field

from berth.accel.catalogue import Catalogue, Entry, UnknownProfileError
from berth.accel.profile import Choice, HandOver, RuntimeFacts
from berth.api.pool import AcceleratorOverride, AcceleratorPoolSpec


class AcceleratorError(Exception):
    """A pool whose device cannot be told. `reason` is that of its Ready condition; the message names the remedy."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Accelerator:
    """The device of one pool, and how it may be asked for.

    `sizes_alone` and `sizes_in_gang` are the numbers of devices that a replica may ask for, as the only one of its job
    or as one of several; None: any number that a node has. `groups` are positions in the node that share the fast
    link; empty: all do. `within_group` sizes must not cross a group, `paired` ones are two halves on matching
    positions of two groups.
    """

    profile: str | None
    vendor: str
    model: str
    resource_name: str
    memory: str | None = None
    devices_per_node: int | None = None
    groups: tuple[tuple[int, ...], ...] = ()
    sizes_alone: tuple[int, ...] | None = None
    sizes_in_gang: tuple[int, ...] | None = None
    within_group: tuple[int, ...] = ()
    paired: tuple[int, ...] = ()
    choice: Choice = Choice.PLUGIN
    hand_over: HandOver = field(default_factory=HandOver)
    runtimes: tuple[RuntimeFacts, ...] = ()

    def sizes(self, replicas: int) -> tuple[int, ...] | None:
        """Return what one replica of a job of so many may ask for; None: any number that a node has."""
        return self.sizes_alone if replicas == 1 else self.sizes_in_gang


def resolve(spec: AcceleratorPoolSpec, catalogue: Catalogue) -> Accelerator:
    """Say what a pool's devices are; AcceleratorError if its profile is unknown or its fields contradict it."""
    override = spec.accelerator or AcceleratorOverride()
    if spec.profile is None:
        return _written_out(override)
    try:
        entry = catalogue.entry(spec.profile)
    except UnknownProfileError as error:
        raise AcceleratorError("UnknownProfile", f"spec.profile: {error}") from error
    profile, sizes = entry.profile, _sizes(override)
    _fits(entry, sizes)
    return Accelerator(
        profile=entry.name,
        vendor=override.vendor or entry.make.vendor,
        model=override.model or profile.model,
        resource_name=override.resource_name or _resource(entry),
        memory=override.memory,
        devices_per_node=profile.devices_per_node,
        groups=profile.groups,
        sizes_alone=sizes or profile.sizes.alone,
        sizes_in_gang=sizes or profile.sizes.gang,
        within_group=profile.within_group,
        paired=profile.paired,
        choice=profile.choice,
        hand_over=entry.make.hand_over,
        runtimes=entry.make.runtimes,
    )


def _written_out(override: AcceleratorOverride) -> Accelerator:
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
    )


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
