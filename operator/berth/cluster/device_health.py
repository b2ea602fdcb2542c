"""Which devices of a node are broken, from the ConfigMap in which a make's own tools tell it.

The vendor of Ascend writes one ConfigMap for each node, JSON in its data, in which keys end with what is wrong with the
devices that they list. Where in the JSON they stand differs between releases, so they are looked for everywhere. A list
that cannot be read leaves the node as if nothing were known.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from berth.accel.hand_over import parsed
from berth.accel.profile import Health as Words
from berth.core.model import Health

NodeHealth = tuple[str, Health]
"""A node's name and what is known of its devices."""


def node_health(words: Words, obj: Mapping[str, Any]) -> NodeHealth | None:
    """Project a ConfigMap; None if it is none of the make's, or cannot be read."""
    head, _, tail = words.config_map.partition("{node}")
    name = obj["metadata"]["name"]
    if not (name.startswith(head) and name.endswith(tail) and len(name) > len(head) + len(tail)):
        return None
    entries = [entry for text in (obj.get("data") or {}).values() for entry in _entries(_json(text))]
    broken = _union(entries, words.unusable)
    offline = _union(entries, words.without_network)
    if broken is None or offline is None:
        return None
    return name[len(head) : len(name) - len(tail)], Health(broken, offline)


def _union(entries: list[tuple[str, str]], endings: tuple[str, ...]) -> int | None:
    """The devices of all lists under keys with one of these endings; None if one cannot be read."""
    mask = 0
    for key, listed in entries:
        if key.endswith(endings) and listed.strip():
            devices = parsed(listed)
            if devices is None:
                return None
            mask |= devices
    return mask


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _entries(value: Any) -> Iterator[tuple[str, str]]:
    """Every key with a text, however deep."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, str):
                yield key, inner
            else:
                yield from _entries(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _entries(inner)
