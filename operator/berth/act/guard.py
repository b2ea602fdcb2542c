"""The closed ways for a template to get devices that its job does not ask for.

Berth makes pods under a name that the admission policies trust, so what these refuse to everybody else is refused here:
the plugin's annotations, the container runtimes' variables, devices of other names, and init containers that hold
devices which the job was not planned with. What is guarded stands in the catalogue (`berth.accel.guarded`).
"""

from collections.abc import Iterator
from typing import Any

from berth.accel.guarded import HARMLESS, guarded
from berth.act.templates import TemplateError, count, shown


def check(metadata: dict[str, Any], spec: dict[str, Any], resource: str | None, devices: int) -> None:
    """Raise TemplateError for a template that helps itself.

    `resource`: what a device is called on the nodes of the pool, None if that is not known; `devices`: those of a
    replica. The shape of the template has been checked.
    """
    _annotations(metadata.get("annotations") or {}, resource)
    for field, container in _containers(spec):
        _variables(field, container)
        if resource is not None:
            _resources(field, container, resource, devices)


def _containers(spec: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for kind in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(kind) or ()):
            yield f"spec.template.spec.{kind}[{index}]", container


def _annotations(annotations: dict[str, str], resource: str | None) -> None:
    for key, value in annotations.items():
        if key in guarded().annotations or key == resource:
            raise TemplateError(
                f"spec.template.metadata.annotations[{key}]: {shown(value)}: which devices a replica gets is Berth's "
                "to say; remove it"
            )


def _variables(field: str, container: dict[str, Any]) -> None:
    for index, entry in enumerate(container.get("env") or ()):
        name = entry.get("name")
        if name in guarded().variables and entry.get("value") not in HARMLESS:
            raise TemplateError(
                f"{field}.env[{index}]: {name} has devices mounted that the job does not ask for; remove it, or set it "
                "to none"
            )


def _resources(field: str, container: dict[str, Any], resource: str, devices: int) -> None:
    """What the init containers and the containers ask for; that containers ask for `devices` is seen to elsewhere."""
    initial = ".initContainers[" in field
    for kind in ("limits", "requests"):
        for name, value in ((container.get("resources") or {}).get(kind) or {}).items():
            at = f"{field}.resources.{kind}[{name}]: {shown(value)}"
            if name != resource and guarded().counts(name):
                raise TemplateError(f"{at}: devices of this pool are {resource}; remove it, or choose spec.pools")
            if name == resource and initial and container.get("restartPolicy") == "Always":
                raise TemplateError(
                    f"{at}: a sidecar would hold devices beside spec.devicesPerReplica ({devices}); remove it"
                )
            if name == resource and initial and not 0 <= count(str(value)) <= devices:
                raise TemplateError(
                    f"{at}: an init container may ask for spec.devicesPerReplica ({devices}) at most; lower it"
                )
