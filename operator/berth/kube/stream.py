"""From the bytes of a watch to its events, with everything refused that cannot be trusted.

aiohttp reads lines of 128 KiB at most and a pod may be a megabyte, so lines are put together here, from
chunks that end anywhere. A half line at the end of a watch is dropped: the watch that follows brings that
event again.

Events of one watch come in the order of their resourceVersions, which may be compared as numbers (Kubernetes'
KEP-5504, stable since 1.35; those of etcd always could be). They are compared for one purpose: an event older
than the one before it means that the server's history is not the one we know, as after a database was
restored from a backup. No single event can mend that. An event as old as the one before it is the same event
once more.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from berth.kube.client import JsonObject
from berth.kube.errors import from_status
from berth.kube.lean import lean
from berth.kube.listing import Key, key_of

LONGEST_LINE = 32 * 1024 * 1024
"""Bytes. etcd takes objects of 1.5 MiB; a line far above that is no event, and must not fill the memory."""


class BrokenStreamError(Exception):
    """What came cannot be the watch that was asked for: no event, or a history that goes back."""


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One event: ADDED, MODIFIED, DELETED, or BOOKMARK, whose item has a resourceVersion but no key."""

    kind: str
    key: Key
    item: JsonObject
    version: str


class LineSplitter:
    """Puts lines together from chunks. Work is linear in the bytes, however long a line is."""

    def __init__(self, longest: int = LONGEST_LINE) -> None:
        self._longest = longest
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that `chunk` completes, without their ends and without empty ones."""
        *lines, rest = chunk.split(b"\n")
        if lines:
            lines[0] = b"".join((*self._parts, lines[0]))
            self._parts, self._size = [], 0
        self._parts.append(rest)
        self._size += len(rest)
        if self._size > self._longest:
            raise BrokenStreamError(f"a line is longer than {self._longest} bytes")
        return [line for line in lines if line]


class EventReader:
    """Reads one watch that began after the resourceVersion `position`. `told` is how errors name it."""

    def __init__(self, *, position: str, told: str, longest: int = LONGEST_LINE) -> None:
        self.position = position
        self._told = told
        self._lines = LineSplitter(longest)

    def feed(self, chunk: bytes) -> Iterator[WatchEvent]:
        """The events that `chunk` completes; `position` is that of the last one yielded.

        Raises `BrokenStreamError`, and the `ApiError` that an ERROR event carries.
        """
        for line in self._lines.feed(chunk):
            event = self._decode(line)
            if _older(event.version, self.position):
                raise BrokenStreamError(
                    f"a {event.kind} event of resourceVersion {event.version} came after {self.position}"
                )
            if event.version == self.position and event.kind != "BOOKMARK":
                continue
            self.position = event.version
            yield event

    def _decode(self, line: bytes) -> WatchEvent:
        try:
            raw = json.loads(lean(line))
            kind, item = raw["type"], raw["object"]
            if kind != "ERROR":
                key = ("", "") if kind == "BOOKMARK" else key_of(item)
                return WatchEvent(kind=kind, key=key, item=item, version=str(item["metadata"]["resourceVersion"]))
            code = int(item["code"])
        except (ValueError, LookupError, TypeError) as error:
            shown = line[:80].decode("utf-8", "replace")
            raise BrokenStreamError(f"a line is no event ({error!r}): {shown}") from error
        raise from_status(request=self._told, status=code, body=item)


def _older(version: str, than: str) -> bool:
    """Whether one resourceVersion is before another; false when they are no numbers."""
    return version.isdecimal() and than.isdecimal() and int(version) < int(than)
