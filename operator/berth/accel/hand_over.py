"""Device ids in the make's own words: as a pod's annotations ask for them, and as they tell what was mounted.

The words are data (`HandOver`); only the shape is known here: one annotation with a list of numbered devices,
`Ascend910-0,Ascend910-1`. A list that names anything else, such as a share of a device, is read as unknown.
"""

import re
from collections.abc import Mapping

from berth.accel.profile import HandOver, HandOverHook
from berth.api.names import ANNOTATION_DEVICES
from berth.core.layout import ids_of, mask_of

_MOST = 64
_DEVICE = re.compile(r"(?:[A-Za-z][A-Za-z0-9]*-)?([0-9]{1,2})")


def request(hand_over: HandOver, resource: str, mask: int) -> dict[str, str]:
    """The annotation by which a pod asks for these devices; empty where the make has none."""
    if hand_over.hook is HandOverHook.PLUGIN:
        return {}
    kind = resource.rpartition("/")[2]
    listed = ",".join(hand_over.device.format(kind=kind, id=device) for device in ids_of(mask))
    return {hand_over.annotation.format(resource=resource): listed}


def mounted(hand_over: HandOver, annotations: Mapping[str, str]) -> int | None:
    """The devices that the plugin says it has mounted; None if it has said nothing that can be read."""
    found = (parsed(annotations[key]) for key in hand_over.answers if key in annotations)
    return next((mask for mask in found if mask is not None), None)


def told(hand_over: HandOver, resource: str, annotations: Mapping[str, str]) -> int | None:
    """The devices that a pod holds: mounted, or else asked for, or else meant by Berth; None if it does not say."""
    real = mounted(hand_over, annotations)
    if real is not None:
        return real
    asked = hand_over.annotation.format(resource=resource)
    return parsed(annotations.get(asked) or annotations.get(ANNOTATION_DEVICES, ""))


def parsed(listed: str) -> int | None:
    """The mask of a list of numbered devices; None if it is none."""
    found = [_DEVICE.fullmatch(part.strip()) for part in listed.split(",")]
    ids = [int(match[1]) for match in found if match is not None]
    if len(ids) < len(found) or len(set(ids)) < len(ids) or max(ids) >= _MOST:
        return None
    return mask_of(ids)
