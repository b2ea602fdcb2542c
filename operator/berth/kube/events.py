"""Events beside objects, for whoever runs `kubectl describe`: posted aside, bounded, never in the way.

Nobody waits for an event. `post` puts it into a queue and returns; a task of its own posts what is queued.
Three bounds keep a storm harmless. The same note about the same object within a window is one event with a
count, and however often it repeats it stands in the queue once. A rate with bursts bounds the requests. The queue
is bounded, and what no longer fits is dropped and counted. An event that cannot be posted is logged and
counted: whatever it told is in the object's status as well.
"""

import asyncio
import logging
import random as _random
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from tenacity import AsyncRetrying

from berth.kube.client import ApiClient, JsonObject
from berth.kube.errors import AlreadyExists, ApiError, NotFound
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

    `controller` and `instance` say who tells; `window` is in seconds, `per_second` and `burst` bound
    requests, `capacity` bounds both what is queued and what is remembered for folding.
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
        self._interval = 1.0 / per_second
        self._slack = (burst - 1) / per_second
        self._due = float("-inf")
        self._capacity = capacity
        self._now = now
        self._clock = clock
        self._sleep = sleep
        self._random = random
        self._series: OrderedDict[_Told, _Series] = OrderedDict()
        self._queue: OrderedDict[_Told, _Series] = OrderedDict()
        self._arrived = asyncio.Event()

    def post(self, regarding: Regarding, *, reason: str, note: str, action: str, warning: bool = False) -> None:
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
        # Inserted last: those that were told longest ago stand first, to be forgotten first.
        self._series[told] = series
        if len(self._series) > self._capacity:
            self._series.popitem(last=False)
        self._queue[told] = series
        self._arrived.set()

    async def run(self) -> None:
        """Post what is queued, until cancelled."""
        while True:
            await self._arrived.wait()
            await self.flush()

    async def flush(self) -> None:
        """Post what is queued now, within the rate; for the end of a process, after `run` was cancelled."""
        while self._queue:
            await self._turn()
            if not self._queue:  # somebody else has posted the last meanwhile
                break
            told, series = self._queue.popitem(last=False)
            await self._write(told, series)
        self._arrived.clear()

    async def _turn(self) -> None:
        """Wait until the rate allows one more request: each is due one interval after the one before it.

        The due time may lie behind the clock by a burst, and no further.
        """
        now = self._clock()
        self._due = max(self._due, now - self._slack)
        wait = self._due - now
        self._due += self._interval
        if wait > 0:
            await self._sleep(wait)

    async def _write(self, told: _Told, series: _Series) -> None:
        try:
            if not (series.name and await self._update(told, series)):
                await self._create(told, series)
            self.posted += 1
        except ApiError as error:
            self.failed += 1
            about = told.regarding
            log.warning("Event %s of %s %s not posted: %s", told.reason, about.kind, about.name, error)

    async def _create(self, told: _Told, series: _Series) -> None:
        about = told.regarding
        name = f"{_cut(about.name, NAME_BYTES, '').rstrip('-.')}.{int(self._random() * 2**64):016x}"
        body: JsonObject = {
            "metadata": {"name": name},
            "eventTime": _micro(series.first),
            "reportingController": self._controller,
            "reportingInstance": self._instance,
            "regarding": {
                "apiVersion": about.api_version,
                "kind": about.kind,
                "name": about.name,
                "uid": about.uid,
                "namespace": about.namespace,
            },
            "type": "Warning" if told.warning else "Normal",
            "reason": told.reason,
            "action": told.action,
            "note": told.note,
        }
        if series.count > 1:
            body["series"] = _repeats(series)
        try:
            await self._again()(self._client.create, EVENTS, body, namespace=_home(about), metadata_only=True)
        except AlreadyExists:
            log.debug("Event %s was posted by a try whose answer was lost", name)
        series.name = name

    async def _update(self, told: _Told, series: _Series) -> bool:
        """Raise the count of an event; False when the server has dropped it."""
        patch = {"series": _repeats(series)}
        namespace = _home(told.regarding)
        try:
            await self._again()(self._client.patch, EVENTS, series.name, patch, namespace=namespace, metadata_only=True)
        except NotFound:
            return False
        return True

    def _again(self) -> AsyncRetrying:
        deadline = self._clock() + POST_SECONDS
        return retrying(deadline=deadline, clock=self._clock, sleep=self._sleep, random=self._random)


def _home(about: Regarding) -> str:
    """The namespace of the event: the object's own, or `default`, as Kubernetes wants it."""
    return about.namespace or "default"


def _repeats(series: _Series) -> JsonObject:
    return {"count": series.count, "lastObservedTime": _micro(series.last)}


def _micro(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _cut(text: str, most: int, end: str = "\u2026") -> str:
    """`text` in at most `most` bytes of UTF-8, with `end` where something was cut off."""
    raw = text.encode()
    if len(raw) <= most:
        return text
    return raw[: most - len(end.encode())].decode(errors="ignore") + end
