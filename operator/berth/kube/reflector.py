"""A mirror of one kind: list, then watch from where the list stood, for as long as the process lives.

What the sink may rely on: after each `replace` and every later call it holds what was true at one moment of
the server's history, and that moment only moves on. The means:

- Lists are asked of the newest state, never of a server's cache, which may be older than what is known
  already.
- A watch goes on from the last event or bookmark seen. Cut connections, refusals and silence are answered by
  a new watch from there; nothing can be missed, as the server replays what came since.
- Where the server no longer remembers that point (410, as an answer or as an event), everything is listed
  again and handed over by `replace`, so that what vanished meanwhile vanishes here too.
- A watch whose events cannot be trusted (`stream.py` says what is checked) is answered by a list as well.
- Objects are reduced by `project` when they arrive; bodies are never kept.

An exception of `project` or of the sink is a bug, and leaves a mirror that nobody may decide on: it ends
`run`.
"""

import asyncio
import logging
import random as _random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, Protocol, TypeVar

from berth.kube.client import ApiClient, JsonObject
from berth.kube.errors import ApiError, Gone, Transient, Unreachable
from berth.kube.listing import PAGE, Key, list_all
from berth.kube.resources import Resource
from berth.kube.retries import backoff, longest, wait_after
from berth.kube.stream import BrokenStreamError, EventReader, WatchEvent

log = logging.getLogger(__name__)

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
SHORT_WATCH = 0.5
"""A watch that ends within this many seconds without an event is a fault, or it would go round in a loop."""


class Sink(Protocol[T_contra]):
    """Where the mirror lives. Called in the loop of the client, never concurrently; must not raise."""

    def replace(self, items: Mapping[Key, T_contra], resource_version: str) -> None:
        """All there is at `resource_version`: whatever is not among `items` was not there then.

        A sink that is also fed by answers to writes keeps what is newer than that: the watch that follows tells
        whether it is still there.
        """

    def upsert(self, key: Key, value: T_contra) -> None:
        """One object, new or changed; it may be another object under a known name."""

    def remove(self, key: Key) -> None:
        """One object is gone or of no more interest; the sink may never have had it."""


class Reflector(Generic[T]):
    """One kind, narrowed by namespace and selectors, mirrored into `sink`.

    `project` returns None for what is of no interest. `synced` is set after the first `replace`;
    `last_contact` is the time of `clock` at the last list, event or bookmark; `restarts` counts watches that
    ended by a fault; `last_error` is empty while all is well.
    """

    def __init__(
        self,
        client: ApiClient,
        resource: Resource,
        *,
        project: Callable[[JsonObject], T | None],
        sink: Sink[T],
        name: str = "",
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
        page_size: int = PAGE,
        watch_seconds: float = 300.0,
        stall_seconds: float = 130.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        random: Callable[[], float] = _random.random,
    ) -> None:
        """`name`: what it is called in logs and metrics; without one, plural and selectors of the kind.

        `watch_seconds`: about how long one watch lasts.

        `stall_seconds`: how long one may be silent. Servers send a bookmark about once a minute: two may be
        late.
        """
        selector = ",".join(part for part in (label_selector, field_selector) if part)
        self.name = name or (f"{resource.plural}[{selector}]" if selector else resource.plural)
        self.synced = asyncio.Event()
        self.last_contact = clock()
        self.lists = 0
        self.restarts = 0
        self.events = 0
        self.last_error = ""
        self._client = client
        self._resource = resource
        self._project = project
        self._sink = sink
        self._namespace = namespace
        self._label_selector = label_selector
        self._field_selector = field_selector
        self._metadata_only = metadata_only
        self._page_size = page_size
        self._watch_seconds = watch_seconds
        self._stall_seconds = stall_seconds
        self._clock = clock
        self._sleep = sleep
        self._random = random
        self._position: str | None = None
        self._failures = 0

    @property
    def silent_seconds(self) -> float:
        """How long nothing has been heard of this kind, a bookmark included: the figure for health checks."""
        return self._clock() - self.last_contact

    async def run(self) -> None:
        """Mirror until cancelled. No answer of the server ends this."""
        while True:
            try:
                if self._position is None:
                    self._position = await self._list()
                await self._watch(self._position)
            except Transient as error:
                # The position is kept: what came since is replayed, or the server says that it cannot be.
                await self._pause(error)
            except (ApiError, BrokenStreamError) as error:
                self._position = None
                await self._pause(error)

    async def _list(self) -> str:
        listing = await list_all(
            self._client,
            self._resource,
            project=self._project,
            namespace=self._namespace,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            metadata_only=self._metadata_only,
            page_size=self._page_size,
        )
        self._sink.replace(listing.items, listing.resource_version)
        self.lists += 1
        self._heard()
        self.synced.set()
        return listing.resource_version

    async def _watch(self, position: str) -> None:
        """One watch, to its regular end."""
        started, events = self._clock(), EventReader(position=position, told=f"watch {self.name}")
        heard = False
        watch = self._client.watch(
            self._resource,
            resource_version=position,
            # Watches that began together must not end together.
            seconds=max(1, round(self._watch_seconds * (0.8 + 0.4 * self._random()))),
            stall=self._stall_seconds,
            namespace=self._namespace,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            metadata_only=self._metadata_only,
        )
        async with watch as chunks:
            async for chunk in chunks:
                for event in events.feed(chunk):
                    self._take(event)
                    heard = True
        if not heard and self._clock() - started < SHORT_WATCH:
            raise Unreachable(
                request=f"watch {self.name}", status=0, reason="Closed", message="the server ended it at once"
            )

    def _take(self, event: WatchEvent) -> None:
        """Take in one event. Nothing is awaited in here, so sink and position move together."""
        if event.kind != "BOOKMARK":
            value = None if event.kind == "DELETED" else self._project(event.item)
            if value is None:
                self._sink.remove(event.key)
            else:
                self._sink.upsert(event.key, value)
            self.events += 1
        self._position = event.version
        self._failures = 0
        self._heard()

    def _heard(self) -> None:
        self.last_contact = self._clock()
        self.last_error = ""

    async def _pause(self, error: Exception) -> None:
        self._failures += 1
        self.restarts += 1
        self.last_error = str(error)
        own = backoff(self._failures, first=FIRST_PAUSE, most=longest(error, LONGEST_PAUSE), random=self._random)
        seconds = wait_after(error, own)
        log.log(
            logging.INFO if isinstance(error, Gone) else logging.WARNING,
            "Mirror of %s goes on in %.1f s with a new %s: %s",
            self.name,
            seconds,
            "list" if self._position is None else "watch",
            error,
        )
        await self._sleep(seconds)
