"""Devices that a replica really got, against those that were chosen for it.

Where the node's plugin has mounted others, the plan of that node was made from a wrong picture: those really mounted
count as taken from then on, and the job's owner, and whoever looks after the node, are told.
"""

from collections.abc import Mapping

from berth.core.layout import ids_of
from berth.core.model import Placement, Pod

_SHOWN = 3


def differing(placement: Placement, pods: Mapping[int, Pod]) -> dict[int, int]:
    """Replicas that got other devices than chosen: rank to the mask of what they got."""
    if not placement.devices:
        return {}
    told = {rank: pod.mounted for rank, pod in sorted(pods.items()) if pod.mounted is not None}
    return {rank: mask for rank, mask in told.items() if mask != placement.devices[rank]}


def told(placement: Placement, others: Mapping[int, int]) -> str:
    """Say which replicas got which devices: `replica 3 got devices 4, 5 of node n1, chosen were 0, 1`."""
    shown = [
        f"replica {rank} got devices {_listed(mask)} of node {placement.nodes[rank]}, "
        f"chosen were {_listed(placement.devices[rank])}"
        for rank, mask in list(others.items())[:_SHOWN]
    ]
    more = f"; and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
    return "; ".join(shown) + more + ": is another scheduler or a restarted device plugin at work on the node?"


def _listed(mask: int) -> str:
    return ", ".join(map(str, ids_of(mask)))
