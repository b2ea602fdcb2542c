"""`--watch`: print again whenever something changed, until Ctrl-C.

A watch of the API server rings; what is printed comes from the same lines as without it. On a terminal the screen is
cleared first, and printed anew now and then because ages grow; elsewhere only what is new is printed, after a line with
the time.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import click

from berth.kube.client import ApiClient
from berth.kube.listing import Key
from berth.kube.reflector import Reflector
from berth.kube.resources import Resource

JsonObject = dict[str, Any]
Show = Callable[[list[JsonObject]], list[str]]

_QUIET_S = 0.5
_GROWN_S = 10.0
_CLEAR = "\x1b[H\x1b[2J\x1b[3J"


class _Latest:
    """The objects as last told; `changed` is set with every change."""

    def __init__(self) -> None:
        self.items: dict[Key, JsonObject] = {}
        self.changed = asyncio.Event()

    def replace(self, items: Mapping[Key, JsonObject], resource_version: str) -> None:
        del resource_version
        self.items = dict(items)
        self.changed.set()

    def upsert(self, key: Key, value: JsonObject) -> None:
        self.items[key] = value
        self.changed.set()

    def remove(self, key: Key) -> None:
        self.items.pop(key, None)
        self.changed.set()


async def follow(
    client: ApiClient,
    resource: Resource,
    show: Show,
    *,
    namespace: str | None = None,
    field_selector: str = "",
    terminal: bool,
) -> None:
    """Print until cancelled."""
    latest = _Latest()
    reflector = Reflector(
        client,
        resource,
        project=lambda item: item,
        sink=latest,
        namespace=namespace,
        field_selector=field_selector,
    )
    await asyncio.gather(reflector.run(), _print(latest, show, terminal=terminal))


async def _print(latest: _Latest, show: Show, *, terminal: bool) -> None:
    before: list[str] | None = None
    await latest.changed.wait()
    while True:
        latest.changed.clear()
        lines = show([latest.items[key] for key in sorted(latest.items)])
        if terminal:
            click.echo(_CLEAR + "\n".join(lines))
        elif lines != before:
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            click.echo("\n".join([f"--- {now}", *lines]))
        before = lines
        await asyncio.sleep(_QUIET_S)  # what changes together is printed together
        try:
            await asyncio.wait_for(latest.changed.wait(), _GROWN_S if terminal else None)
        except TimeoutError:
            continue
