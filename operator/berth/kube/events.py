"""Events beside objects, for whoever runs `kubectl describe`: posted aside, bounded, never in the way.

Nobody waits for an event. `post` puts it into a queue and returns; a task of its own posts what is queued. Three
bounds keep a storm harmless. The same note about the same object within a window is one event with a count, and
however often it repeats it stands in the queue once. A token bucket bounds the requests. The queue is bounded, and
what no longer fits is dropped and counted. An event that cannot be posted is logged and counted: whatever it told is
in the object's status as well.
"""

import asyncio
import logging
import random as _random
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from berth.kube.client import ApiClient, JsonObject
from berth.kube.errors import ApiError, NotFound
from berth.kube.resources import EVENTS
from berth.kube.retries import retrying

log = logging.getLogger(__name__)

NOTE_BYTES = 1024
NAME_BYTES = 236
"""An event's name is the object's, a dot and 16 digits; Kubernetes takes 253 bytes."""

POST_SECONDS = 10.0
"""How long one event may be tried; API servers drop events after an hour anyway."""


@dataclass(frozen=True, slots=True)
class Regarding:
    """The object that an event is about; `namespace` is empty for cluster-scoped kinds."""

    api_version: str
    kind: str
    name: str
    uid: str
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class _Told:
    """What makes two events the same."""

    regarding: Regarding
    reason: str
    note: str
    action: str
    warning: bool


@dataclass(slots=True)
class _Series:
    """One event as it stands on the server. `name` is empty until it has been posted; times by the wall clock."""

    first: datetime
    last: datetime
    count: int = 1
    name: str = ""


class EventRecorder:
    """Queues, folds and posts events. `now` is the wall clock (aware), `clock` the monotonic one.

    `controller` and `instance` say who tells; `window` is in seconds, `per_second` and `burst` bound requests,
    `capacity` bounds both what is queued and what is remembered for folding.
    """

    def __init__(
        self,
        client: ApiClient,
        *,
        controller: str,
        instance: str,
        window: float = 600.0,
        per_second: float = 20.0,
        burst: int = 100,
        capacity: int = 2000,
        now: Callable[[], datetime] = lambda: datetime.now(tz=UTC),
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        random: Callable[[], float] = _random.random,
    ) -> None:
        self.posted = 0
        self.repeated = 0
        self.dropped = 0
        self.failed = 0
        self._client = client
        self._controller = controller
        self._instance = instance[:128]
        self._window = window
        self._per_second = per_second
        self._burst = float(burst)
        self._capacity = capacity
        self._now = now
        self._clock = clock
        self._sleep = sleep
        self._random = random
        self._series: OrderedDict[_Told, _Series] = OrderedDict()
        self._queue: OrderedDict[_Told, None] = OrderedDict()
        self._arrived = asyncio.Event()
        self._tokens = float(burst)
        self._filled = clock()

    def post(
        self, regarding: Regarding, *, reason: str, note: str, action: str, warning: bool = False
    ) -> None:
        """Tell about an object; returns at once. To be called in the loop of the client.

        `reason` and `action` are words in UpperCamelCase, at most 128 bytes; `note` is cut at 1024 bytes.
        """
        told = _Told(regarding, reason, _cut(note, NOTE_BYTES), action, warning)
        if told not in self._queue and len(self._queue) >= self._capacity:
            self.dropped += 1
            return
        now = self._now()
        series = self._series.pop(told, None)
        if series is not None and (now - series.last).total_seconds() <= self._window:
            series.count += 1
            series.last = now
            self.repeated += 1
        else:
            series = _Series(first=now, last=now)
        # Inserted last: the oldest stand first, to be forgotten first.
        self._series[told] = series
        self._forget()
        self._queue[told] = None
        self._arrived.set()

    async def run(self) -> None:
        """Post what is queued, until cancelled."""
        while True:
            await self._arrived.wait()
            await self.flush()

    async def flush(self) -> None:
        """Post what is queued now, within the rate."""
        while self._queue:
            await self._take_token()
            told, _ = self._queue.popitem(last=False)
            await self._write(told, self._series[told])
        self._arrived.clear()
