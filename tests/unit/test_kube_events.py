"""Events beside objects: told once, counted, bounded, and never in anybody's way."""

import asyncio
import json
import logging
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from aiohttp import web

from berth.kube.client import ApiClient
from berth.kube.events import EventRecorder, Regarding
from tests.unit.kube_wire import answer, connection, refusal, serving, until

JOB = Regarding(api_version="berth.dev/v1alpha1", kind="TrainingJob", name="llm", uid="u1", namespace="team")
START = datetime(2026, 11, 22, 4, 30, tzinfo=UTC)


class Server:
    """Takes events and keeps them as they were sent; `refuse` answers in its place."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, Any]] = []
        self.refuse: list[web.Response] = []

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append((request.method, request.path, json.loads(await request.read())))
        return self.refuse.pop(0) if self.refuse else answer({})

    def has(self, note: str) -> bool:
        """Whether an event with that note was created."""
        return note in self.notes()

    def notes(self) -> list[str]:
        """Notes of the events that were created."""
        return [body["note"] for method, _, body in self.requests if method == "POST"]


class Times:
    """Both clocks; sleeping moves them on."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def clock(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        await asyncio.sleep(0)


def recorder(client: ApiClient, times: Times, **options: Any) -> EventRecorder:
    drawn = iter(i / 1000 for i in range(1, 1000))
    return EventRecorder(
        client,
        controller="berth.dev/operator",
        instance="berth-0",
        now=times.now,
        clock=times.clock,
        sleep=times.sleep,
        random=lambda: next(drawn),
        **options,
    )


def placed(events: EventRecorder, note: str = "on spine-1") -> None:
    events.post(JOB, reason="Placed", note=note, action="Place")


async def test_an_event_says_what_happened_to_which_object() -> None:
    """All that events.k8s.io wants is there, under a name of its own in the object's namespace."""
    server, times = Server(), Times()
    async with serving(server) as url, ApiClient(connection(url)) as client:
        events = recorder(client, times)
        events.post(JOB, reason="Refused", note="quota", action="Create", warning=True)
        assert server.requests == []
        await events.flush()
    [(method, path, body)] = server.requests
    assert (method, path) == ("POST", "/apis/events.k8s.io/v1/namespaces/team/events")
    assert body["metadata"]["name"].startswith("llm.")
    regarding = {"apiVersion": JOB.api_version, "kind": JOB.kind, "name": "llm", "uid": "u1", "namespace": "team"}
    expected = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": body["metadata"],
        "eventTime": "2026-11-22T04:30:00.000000Z",
        "reportingController": "berth.dev/operator",
        "reportingInstance": "berth-0",
        "regarding": regarding,
        "type": "Warning",
        "reason": "Refused",
        "action": "Create",
        "note": "quota",
    }
    assert expected == body
    assert events.posted == 1


async def test_the_same_again_raises_a_count() -> None:
    """A reader sees one line with a number, and the server stores one object."""
    server, times = Server(), Times()
    async with serving(server) as url, ApiClient(connection(url)) as client:
        events = recorder(client, times)
        placed(events)
        await events.flush()
        times.seconds = 60.0
        placed(events)
        placed(events)
        await events.flush()
    (_, _, first), (method, path, patch) = server.requests
    assert method == "PATCH"
    assert path.endswith("/" + first["metadata"]["name"])
    assert patch == {"series": {"count": 3, "lastObservedTime": "2026-11-22T04:31:00.000000Z"}}
    assert (events.posted, events.repeated) == (2, 2)


async def test_the_same_after_a_long_while_is_a_new_event() -> None:
    """What happened an hour ago is another story."""
    server, times = Server(), Times()
    async with serving(server) as url, ApiClient(connection(url)) as client:
        events = recorder(client, times, window=600.0)
        placed(events)
        await events.flush()
        times.seconds = 601.0
        placed(events)
        await events.flush()
    assert server.notes() == ["on spine-1", "on spine-1"]


async def test_a_count_whose_event_has_been_dropped_becomes_a_new_event() -> None:
    """API servers forget events after an hour; the count goes on in a new one."""
    server, times = Server(), Times()
    async with serving(server) as url, ApiClient(connection(url)) as client:
        events = recorder(client, times)
        placed(events)
        await events.flush()
        server.refuse.append(refusal(404, "NotFound", "gone"))
        placed(events)
        await events.flush()
    assert [method for method, _, _ in server.requests] == ["POST", "PATCH", "POST"]
    assert server.requests[-1][2]["series"]["count"] == 2
    assert server.requests[0][2]["metadata"]["name"] != server.requests[-1][2]["metadata"]["name"]


async def test_a_storm_of_one_event_is_one_request() -> None:
    """However fast it repeats, it stands in the queue once."""
    server, times = Server(), Times()
    async with serving(server) as url, ApiClient(connection(url)) as client:
        events = recorder(client, times)
        for _ in range(5000):
            placed(events)
        await events.flush()
    assert len(server.requests) == 1
    assert server.requests[0][2]["series"]["count"] == 5000


async def test_a_storm_of_many_events_keeps_to_the_rate() -> None:
    """A burst at once, then so many a second: of 100 events 20 go at once, the last 8 s later at 10 a second."""
    server, times = Server(), Times()
    async with serving(server) as url, ApiClient(connection(url)) as client:
        events = recorder(client, times, per_second=10.0, burst=20)
        for i in range(100):
            placed(events, f"note {i}")
        await events.flush()
    assert len(server.notes()) == 100
    assert times.seconds == pytest.approx(8.0)


async def test_what_no_longer_fits_is_dropped_and_counted() -> None:
    """Memory is bounded; those that were queued first are told, with all of their repetitions."""
    server, times = Server(), Times()
    async with serving(server) as url, ApiClient(connection(url)) as client:
        events = recorder(client, times, capacity=3)
        for i in range(10):
            placed(events, f"note {i}")
        placed(events, "note 0")
        await events.flush()
    assert server.notes() == ["note 0", "note 1", "note 2"]
    assert server.requests[0][2]["series"]["count"] == 2
    assert events.dropped == 7


async def test_a_failure_is_logged_and_counted_and_nothing_more(caplog: pytest.LogCaptureFixture) -> None:
    """An event tells what the status says as well: losing one is no reason to stop."""
    server, times = Server(), Times()
    server.refuse.append(refusal(403, "Forbidden", "namespace team is being terminated"))
    async with serving(server) as url, ApiClient(connection(url)) as client:
        events = recorder(client, times)
        with caplog.at_level(logging.WARNING):
            placed(events, "first")
            placed(events, "second")
            await events.flush()
    expected = (
        "Event Placed of TrainingJob llm not posted: create events team/llm.004189374bc6a7f0: "
        "403 Forbidden: namespace team is being terminated"
    )
    assert [expected] == caplog.messages
    assert (events.failed, events.posted) == (1, 1)


async def test_an_overloaded_server_is_asked_again() -> None:
    """A pause of the server costs no event; an answer that was lost makes no second one."""
    server, times = Server(), Times()
    server.refuse += [
        refusal(429, "TooManyRequests", "busy", **{"Retry-After": "1"}),
        refusal(409, "AlreadyExists", "it is there"),
    ]
    async with serving(server) as url, ApiClient(connection(url)) as client:
        events = recorder(client, times)
        placed(events)
        await events.flush()
    assert len({body["metadata"]["name"] for _, _, body in server.requests}) == 1
    assert (len(server.requests), events.posted, events.failed) == (2, 1, 0)


@pytest.mark.parametrize("letter", ["x", "\u8239", "\u00e9"])
async def test_a_long_note_is_cut_at_a_whole_character(letter: str) -> None:
    """Kubernetes counts bytes and refuses more than 1024."""
    server, times = Server(), Times()
    async with serving(server) as url, ApiClient(connection(url)) as client:
        events = recorder(client, times)
        placed(events, letter * 2000)
        await events.flush()
    [note] = server.notes()
    assert 1020 < len(note.encode()) <= 1024
    assert note == letter * (len(note) - 1) + "\u2026"


async def test_events_of_cluster_scoped_objects_live_in_the_default_namespace() -> None:
    """Where `kubectl describe` looks for them."""
    pool = Regarding(api_version="berth.dev/v1alpha1", kind="AcceleratorPool", name="h800", uid="u2")
    server, times = Server(), Times()
    async with serving(server) as url, ApiClient(connection(url)) as client:
        events = recorder(client, times)
        events.post(pool, reason="Ready", note="16 nodes", action="Count")
        await events.flush()
    assert server.requests[0][1] == "/apis/events.k8s.io/v1/namespaces/default/events"


async def test_the_name_of_an_event_stays_within_kubernetes_bounds() -> None:
    """An object may have a name of 253 bytes; the event's name needs room for its own part."""
    server, times = Server(), Times()
    long = Regarding(api_version="v1", kind="Node", name="n" * 235 + "-" + "n" * 17, uid="u")
    async with serving(server) as url, ApiClient(connection(url)) as client:
        events = recorder(client, times)
        events.post(long, reason="R", note="n", action="A")
        await events.flush()
    name = server.requests[0][2]["metadata"]["name"]
    assert name[:236] == "n" * 235 + "."
    assert len(name) <= 253


async def test_the_poster_posts_what_comes() -> None:
    """It sleeps until something is told, and posts it without being asked."""
    server, times = Server(), Times()
    async with serving(server) as url, ApiClient(connection(url)) as client:
        events = recorder(client, times)
        task = asyncio.create_task(events.run())
        for note in ("first", "second"):
            await asyncio.sleep(0.01)
            placed(events, note)
            await until(partial(server.has, note))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_two_that_post_the_rest_do_not_get_in_each_others_way() -> None:
    """At a stop the last events are flushed while the recorder still runs."""
    server, times = Server(), Times()
    async with serving(server) as url, ApiClient(connection(url)) as client:
        events = recorder(client, times, burst=1)
        for number in range(3):
            events.post(JOB, reason=f"Reason{number}", note="", action="Do")
        await asyncio.gather(events.flush(), events.flush(), events.flush(), events.flush())
        assert events.posted == 3
