"""A pool's defaults on a replica: they fill what the job has left open.

Devices, shared memory and capabilities belong to the trainer, so they go to the containers that ask for devices;
variables go to every container, tolerations to the pod.
"""

from typing import Any

from berth.api.pod_defaults import PodDefaults

VOLUME = "berth-shared-memory"
SHARED_MEMORY = "/dev/shm"  # noqa: S108  # a mount path in a pod, not a file of ours


def merge(spec: dict[str, Any], defaults: PodDefaults, resource: str | None) -> None:
    """Merge a pool's defaults into a pod's spec, which asks for its devices already. Raises nothing."""
    trainers = [
        container
        for container in spec["containers"]
        if resource in ((container.get("resources") or {}).get("limits") or {})
    ] or spec["containers"][:1]
    for container in trainers[:1]:
        _resources(spec["containers"], container, defaults.resources)
    for container in trainers:
        _capabilities(container, defaults.capabilities)
    if defaults.shared_memory is not None:
        _shared_memory(spec, trainers, defaults.shared_memory)
    theirs = list(spec.get("tolerations") or ())
    ours = [toleration.wire() for toleration in defaults.tolerations]
    if ours:
        spec["tolerations"] = theirs + [entry for entry in ours if entry not in theirs]


def variables(defaults: PodDefaults | None) -> list[dict[str, str]]:
    """Variables for every container, as entries of its `env`."""
    return [{"name": variable.name, "value": variable.value} for variable in (defaults.env if defaults else ())]


def _resources(containers: list[dict[str, Any]], container: dict[str, Any], wanted: dict[str, str]) -> None:
    asked = {
        name
        for other in containers
        for kind in ("limits", "requests")
        for name in ((other.get("resources") or {}).get(kind) or {})
    }
    missing = {name: amount for name, amount in wanted.items() if name not in asked}
    if missing:
        resources = dict(container.get("resources") or {})
        resources["limits"] = {**(resources.get("limits") or {}), **missing}
        container["resources"] = resources


def _capabilities(container: dict[str, Any], wanted: tuple[str, ...]) -> None:
    context = dict(container.get("securityContext") or {})
    own = dict(context.get("capabilities") or {})
    added, dropped = list(own.get("add") or ()), set(own.get("drop") or ())
    missing = [name for name in wanted if name not in added and name not in dropped]
    if missing:
        container["securityContext"] = {**context, "capabilities": {**own, "add": added + missing}}


def _shared_memory(spec: dict[str, Any], containers: list[dict[str, Any]], size: str) -> None:
    without = [
        container
        for container in containers
        if all(mount.get("mountPath") != SHARED_MEMORY for mount in container.get("volumeMounts") or ())
    ]
    for container in without:
        mount = {"name": VOLUME, "mountPath": SHARED_MEMORY}
        container["volumeMounts"] = [*(container.get("volumeMounts") or ()), mount]
    if without:
        volume = {"name": VOLUME, "emptyDir": {"medium": "Memory", "sizeLimit": size}}
        spec["volumes"] = [*(spec.get("volumes") or ()), volume]
