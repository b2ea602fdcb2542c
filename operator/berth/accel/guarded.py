"""What pods get accelerators by, of all makes: what a tenant may not write past Berth.

The one source of it is the catalogue. Templates are checked by it (`berth.act.guard`), and the admission policies take
it as their default parameters (`berth.accel.parameters`).
"""

from dataclasses import dataclass
from functools import cache

from berth.accel.catalogue import Catalogue
from berth.accel.profile import HandOverHook, Make

HARMLESS = ("none", "void")
"""Values of a variable that have no device mounted."""
_SHARES = ("nvidia.com/mig-",)
"""Parts of a device that are counted under names of their own."""


@dataclass(frozen=True, slots=True)
class Guarded:
    """Resources that count accelerators and prefixes of such; annotations and variables that name devices."""

    resources: frozenset[str]
    prefixes: frozenset[str]
    annotations: frozenset[str]
    variables: frozenset[str]

    def counts(self, resource: str) -> bool:
        """Whether a resource counts accelerators, or shares of them (`nvidia.com/gpu.shared`)."""
        starts = (*self.prefixes, *(f"{known}{mark}" for known in self.resources for mark in ".-"))
        return resource in self.resources or resource.startswith(starts)


@cache
def guarded() -> Guarded:
    """What is guarded, of the whole catalogue."""
    return of(Catalogue.load())


def of(catalogue: Catalogue) -> Guarded:
    """What is guarded, of a catalogue."""
    makes = {entry.make.make: entry.make for entry in catalogue.entries.values()}.values()
    profiles = [entry.profile for entry in catalogue.entries.values()]
    patterns = {profile.resource_pattern.partition("<")[0] for profile in profiles if profile.resource_pattern}
    return Guarded(
        resources=frozenset(resource.name for profile in profiles for resource in profile.resources),
        prefixes=frozenset(patterns) | frozenset(_SHARES),
        annotations=frozenset(key for make in makes for key in _annotations(make)),
        variables=frozenset(name for make in makes for name in (make.mounted_by, make.hand_over.environment) if name),
    )


def _annotations(make: Make) -> set[str]:
    """Annotations by which a make's plugin is told which devices to mount, or tells which it has mounted."""
    hand_over = make.hand_over
    if hand_over.hook is HandOverHook.PLUGIN:
        return set()
    asked = {
        hand_over.annotation.format(resource=resource.name)
        for profile in make.profiles.values()
        for resource in profile.resources
    }
    return {*asked, hand_over.order_annotation, *hand_over.answers} - {""}
