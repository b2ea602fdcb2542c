"""What a pod asks of its node, counted as kube-scheduler counts it.

The rule of Kubernetes (KEP-753): containers and sidecars (init containers that restart always) run side by side and
are added up; an ordinary init container runs alone beside the sidecars started before it, so the larger of the two
sums counts; the pod's overhead comes on top; pod-level requests, where given, stand for the sum (KEP-2837). One pod
takes one of the node's `pods`.
"""

from typing import Any

from berth.cluster.quantities import amount

Requests = tuple[tuple[str, int], ...]


def of_pod(spec: dict[str, Any]) -> Requests:
    """Requests of a pod's spec, sorted by resource, `pods` included."""
    running: dict[str, int] = {}
    for container in spec.get("containers") or ():
        _add(running, _requested(container.get("resources")))
    total = running
    if spec.get("initContainers"):
        sidecars, peak = _initial(spec["initContainers"])
        _add(total, sidecars)
        total = _larger(total, peak)
    total |= _requested(spec.get("resources"))
    if spec.get("overhead"):
        _add(total, {name: amount(name, quantity) for name, quantity in spec["overhead"].items()})
    total["pods"] = 1
    return tuple(sorted([item for item in total.items() if item[1] > 0]))


def _initial(containers: list[dict[str, Any]]) -> tuple[dict[str, int], dict[str, int]]:
    """What sidecars take together, and the most that is taken while ordinary init containers run."""
    sidecars: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container in containers:
        alone = _requested(container.get("resources"))
        if container.get("restartPolicy") == "Always":
            _add(sidecars, alone)
            alone = sidecars
        else:
            _add(alone, sidecars)
        peak = _larger(peak, alone)
    return sidecars, peak


def _requested(resources: dict[str, Any] | None) -> dict[str, int]:
    """Requests, and limits where no request is given, as the API server defaults them."""
    if not resources:
        return {}
    stated = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return {name: amount(name, quantity) for name, quantity in stated.items()}


def _add(total: dict[str, int], more: dict[str, int]) -> None:
    for name, value in more.items():
        total[name] = total.get(name, 0) + value


def _larger(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return {name: max(one.get(name, 0), other.get(name, 0)) for name in (*one, *other)}
