"""Handing chosen devices over: what stands on a pod before it is bound, so that the node's plugin mounts just these.

The plugin of the Ascend stack takes, of the pods that wait on its node, the one with the smallest time in an
annotation, so the times of a node's pods must differ, and a pod that is made again must have its own again: the time is
made of the admission, the rank and the first device, which no two pods share that hold devices of one node at once.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from berth.accel.hand_over import request
from berth.accel.profile import HandOver
from berth.api.names import ANNOTATION_DEVICES
from berth.core.layout import ids_of

_NANOSECONDS = 10**9
_MOST_DEVICES = 100


@dataclass(frozen=True, slots=True)
class Chosen:
    """The devices of one replica: a mask, and of which admission and rank, in the words of a pool."""

    hand_over: HandOver
    resource: str
    mask: int
    admitted_at: int
    rank: int

    def annotations(self) -> dict[str, str]:
        """What stands on the pod."""
        ids = ids_of(self.mask)
        found = {ANNOTATION_DEVICES: ",".join(map(str, ids)), **request(self.hand_over, self.resource, self.mask)}
        if self.hand_over.order_annotation:
            within = self.rank * _MOST_DEVICES + ids[0]
            found[self.hand_over.order_annotation] = str(self.admitted_at * _NANOSECONDS + within)
        return found

    def give(self, containers: Iterable[dict[str, Any]]) -> None:
        """Tell the containers that ask for devices which they get, by the variable that the make names."""
        name = self.hand_over.environment
        if not name:
            return
        path = f"metadata.annotations['{self.hand_over.annotation.format(resource=self.resource)}']"
        for container in containers:
            asked = (container.get("resources") or {}).get("limits") or {}
            if self.resource in asked and all(entry.get("name") != name for entry in container.get("env") or ()):
                variable = {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
                container["env"] = [variable, *(container.get("env") or ())]
