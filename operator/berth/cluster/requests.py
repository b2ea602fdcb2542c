"""What a pod asks of its node, counted as kube-scheduler counts it.

The rule of Kubernetes (KEP-753): containers and sidecars (init containers that restart always) run side by side and
are added up; an ordinary init container runs alone beside the sidecars started before it, so the larger of the two
sums counts; the pod's overhead comes on top; pod-level requests, where given, stand for the sum (KEP-2837). One pod
takes one of the node's `pods`.
"""

from collections import Counter
from typing import Any

from berth.cluster.quantities import amount

Requests = tuple[tuple[str, int], ...]


def of_pod(spec: dict[str, Any]) -> Requests:
    """Requests of a pod's spec, sorted by resource, `pods` included."""
    running: Counter[str] = Counter()
    for container in spec.get("containers") or ():
        running.update(_of_container(container))
    sidecars: Counter[str] = Counter()
    peak: Counter[str] = Counter()
    for container in spec.get("initContainers") or ():
        own = _of_container(container)
        if container.get("restartPolicy") == "Always":
            sidecars.update(own)
            alone = sidecars
        else:
            alone = sidecars + own
        peak |= alone
    total = (running + sidecars) | peak
    for name, quantity in _requested(spec.get("resources") or {}).items():
        total[name] = quantity
    for name, quantity in (spec.get("overhead") or {}).items():
        total[name] += amount(name, quantity)
    total["pods"] = 1
    return tuple(sorted((name, value) for name, value in total.items() if value > 0))


def _of_container(container: dict[str, Any]) -> Counter[str]:
    return _requested(container.get("resources") or {})


def _requested(resources: dict[str, Any]) -> Counter[str]:
    """Requests, and limits where no request is given, as the API server defaults them."""
    found = Counter({name: amount(name, quantity) for name, quantity in (resources.get("limits") or {}).items()})
    for name, quantity in (resources.get("requests") or {}).items():
        found[name] = amount(name, quantity)
    return found
