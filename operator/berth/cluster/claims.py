"""What a pod or a placement takes on a node: amounts, and which devices, as far as that is known."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from berth.api import names
from berth.cluster.requests import Requests

DeviceLists = tuple[tuple[str, str], ...]
"""Annotations of a pod that list numbered devices, by key."""

_OURS = re.compile(r"[0-9]{1,2}(,[0-9]{1,2})*")
_LIST = re.compile(r"[A-Za-z][A-Za-z0-9]*-[0-9]{1,2}(,[A-Za-z][A-Za-z0-9]*-[0-9]{1,2})*")
_LONGEST = 1024


@dataclass(frozen=True, slots=True)
class Claim:
    """What one claimant takes on one node.

    `ids`: the mask of its devices, from a placement. `told`: what a pod's annotations say of its devices, which counts
    where there are no `ids`; it is read when it is known of which make the node is.
    """

    requests: Requests
    ids: int | None = None
    told: DeviceLists = ()

    def beside(self, other: "Claim | None") -> "Claim":
        """The claim of a placement that takes over from another of the same job: together the most of both."""
        if other is None:
            return self
        most = tuple((Counter(dict(self.requests)) | Counter(dict(other.requests))).items())
        ids = self.ids | other.ids if self.ids is not None and other.ids is not None else None
        return Claim(most, ids)


def device_lists(annotations: Mapping[str, str] | None) -> DeviceLists:
    """The annotations that list numbered devices, of whatever make: `Ascend910-0,Ascend910-1`."""
    return tuple(
        sorted(
            (key, value)
            for key, value in (annotations or {}).items()
            if len(value) <= _LONGEST and _LIST.fullmatch(value)
        )
    )


def own_device_lists(annotations: Mapping[str, str] | None) -> DeviceLists:
    """The same of a pod that Berth made, with what it wrote itself."""
    ours = (annotations or {}).get(names.ANNOTATION_DEVICES, "")
    lists = device_lists(annotations)
    return (*lists, (names.ANNOTATION_DEVICES, ours)) if _OURS.fullmatch(ours) else lists
