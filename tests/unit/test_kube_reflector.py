"""The mirror of a kind under the faults that a watch can meet."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from berth.kube.client import ApiClient, JsonObject
from berth.kube.reflector import Reflector
from berth.kube.resources import Resource
from tests.unit.kube_wire import (
    Mirror,
    Script,
    Step,
    bookmark,
    config_map,
    connection,
    event,
    page,
    refusal,
    serving,
    status_object,
    stream,
    until,
)

CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")


def value_of(item: JsonObject) -> str | None:
    """The value `v`; an object without one is of no interest."""
    value = item.get("data", {}).get("v")
    return None if value is None else str(value)


class Bench:
    """A reflector that runs against a script, with its mirror and the pauses it made."""

    def __init__(self, client: ApiClient, script: Script, **options: Any) -> None:
        self.script = script
        self.mirror = Mirror()
        self.pauses: list[float] = []
        self.reflector = Reflector(
            client,
            CONFIG_MAPS,
            project=value_of,
            sink=self.mirror,
            sleep=self.pause,
            random=lambda: 0.5,
            **options,
        )

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)


@asynccontextmanager
async def running(lists: list[Step], watches: list[Step], **options: Any) -> AsyncIterator[Bench]:
    """A reflector at work; whatever ends it early fails the test."""
    script = Script(deque(lists), deque(watches))
    async with serving(script) as url, ApiClient(connection(url)) as client:
        bench = Bench(client, script, **options)
        task = asyncio.create_task(bench.reflector.run())
        yield bench
        assert not task.done(), task
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_mirror_follows_what_happens() -> None:
    """List, then events; objects that stop being of interest leave, and bookmarks change nothing."""
    lists: list[Step] = [page(config_map("a", 1, v="1"), config_map("b", 2), version=5)]
    watch = stream(
        event("ADDED", config_map("c", 6, v="1")),
        event("MODIFIED", config_map("a", 7, v="2")),
        bookmark(8),
        event("MODIFIED", config_map("c", 9)),
        event("DELETED", config_map("a", 10, v="2")),
        event("ADDED", config_map("d", 11, v="1")),
    )
    async with running(lists, [watch]) as bench:
        await until(lambda: bench.mirror.names() == ["d"])
        expected = ["replace at 5", "upsert c", "upsert a", "remove c", "remove a", "upsert d"]
        assert expected == bench.mirror.calls
        assert bench.reflector.synced.is_set()
        assert (
            bench.reflector.lists,
            bench.reflector.events,
            bench.reflector.restarts,
            bench.reflector.last_error,
        ) == (1, 5, 0, "")


async def test_a_watch_that_ends_in_time_goes_on_where_it_stood() -> None:
    """Regular ends are no faults: no pause, no list, and the bookmark saves replaying what did not concern us."""
    watch = stream(event("ADDED", config_map("a", 6, v="1")), bookmark(40), then="end")
    async with running([page(version=5)], [watch, stream(event("ADDED", config_map("b", 41, v="1")))]) as bench:
        await until(lambda: bench.mirror.names() == ["a", "b"])
        assert bench.script.positions() == ["list", "5", "40"]
        assert (bench.pauses, bench.reflector.restarts) == ([], 0)


async def test_a_cut_connection_goes_on_where_it_stood() -> None:
    """Nothing is listed again: the server replays what came since the last event that came whole."""
    half = event("ADDED", config_map("b", 7, v="1"))[:-9]
    cut = stream(event("ADDED", config_map("a", 6, v="1")), half, then="cut")
    whole = stream(event("ADDED", config_map("b", 7, v="1")))
    async with running([page(version=5)], [cut, whole]) as bench:
        await until(lambda: bench.mirror.names() == ["a", "b"])
        assert bench.script.positions() == ["list", "5", "6"]
        assert bench.reflector.restarts == 1


@pytest.mark.parametrize("told", ["answer", "event"])
async def test_what_vanished_while_the_watch_expired_vanishes_here(told: str) -> None:
    """After a 410 the deletions in between are never told: only the new list shows who is gone."""
    message = "too old resource version: 6 (90)"
    expired: Step = (
        refusal(410, "Expired", message)
        if told == "answer"
        else stream(event("ERROR", status_object(410, "Expired", message)), then="end")
    )
    before = page(config_map("ghost", 1, v="1"), config_map("a", 2, v="1"), version=5)
    after = page(config_map("a", 2, v="1"), config_map("new", 95, v="1"), version=99)
    cut = stream(bookmark(6), then="cut")
    async with running([before, after], [cut, expired]) as bench:
        await until(lambda: bench.mirror.names() == ["a", "new"])
        await until(lambda: bench.script.positions() == ["list", "5", "6", "list", "99"])
        assert bench.mirror.calls == ["replace at 5", "replace at 99"]
        assert bench.reflector.lists == 2


async def test_an_object_made_anew_under_its_old_name_is_told_as_it_is() -> None:
    """The sink sees the new value; comparing uids is its business."""
    watch = stream(event("DELETED", config_map("a", 6, v="old")), event("ADDED", config_map("a", 7, v="new")))
    async with running([page(config_map("a", 1, v="old"), version=5)], [watch]) as bench:
        await until(lambda: bench.mirror.items == {("team", "a"): "new"})


@pytest.mark.parametrize(
    "garbage",
    [b"<html>bad gateway</html>\n", event("MODIFIED", config_map("a", 3, v="9")), bookmark(2)],
    ids=["no event", "event of the past", "bookmark of the past"],
)
async def test_a_watch_that_cannot_be_believed_is_answered_by_a_list(garbage: bytes) -> None:
    """Something may be missing: everything is looked at again."""
    after = page(config_map("b", 8, v="1"), version=9)
    async with running([page(version=5), after], [stream(bookmark(6), garbage)]) as bench:
        await until(lambda: bench.mirror.names() == ["b"])
        await until(lambda: bench.script.positions() == ["list", "5", "list", "9"])


async def test_objects_of_a_megabyte_pass() -> None:
    """A line may be far longer than a library's buffer for lines."""
    big = "x" * 3_000_000
    async with running([page(version=5)], [stream(event("ADDED", config_map("a", 6, v=big)))]) as bench:
        await until(lambda: bench.mirror.names() == ["a"])
        assert len(big) == len(bench.mirror.items[("team", "a")])


async def test_a_silent_watch_is_left_and_asked_for_again() -> None:
    """A load balancer may forget a connection without telling: the position is kept, nothing is listed."""
    watches: list[Step] = [stream(bookmark(6)), stream(event("ADDED", config_map("a", 7, v="1")))]
    async with running([page(version=5)], watches, stall_seconds=0.1) as bench:
        await until(lambda: bench.mirror.names() == ["a"])
        assert bench.script.positions()[:3] == ["list", "5", "6"]


async def test_an_outage_is_waited_out_with_growing_pauses() -> None:
    """Each failure is remembered, and the first sign of life ends the counting."""
    down: list[Step] = [refusal(503, "ServiceUnavailable", "etcd is away") for _ in range(4)]
    down += [refusal(429, "TooManyRequests", "busy", **{"Retry-After": "9"})]
    watches = [*down, stream(event("ADDED", config_map("a", 6, v="1")))]
    async with running([page(version=5)], watches) as bench:
        await until(lambda: bench.mirror.names() == ["a"])
        assert bench.pauses == pytest.approx([0.375, 0.75, 1.5, 2.25, 9 + 6.0])
        assert ["list", *["5"] * 6] == bench.script.positions()
        assert (bench.reflector.restarts, bench.reflector.last_error) == (5, "")


async def test_a_list_that_fails_is_tried_again_and_the_error_can_be_read() -> None:
    """Until the first list the mirror is empty and says so; nothing is handed over half."""
    refused = refusal(403, "Forbidden", 'User "u" cannot list resource "configmaps"')
    release = asyncio.Event()

    async def later(request: web.BaseRequest) -> web.StreamResponse:
        await release.wait()
        return page(config_map("a", 1, v="1"), version=5)

    async with running([refused, later], []) as bench:
        await until(lambda: bench.reflector.last_error)
        expected = (
            'list configmaps: 403 Forbidden: User "u" cannot list resource "configmaps"; '
            "grant it in a role bound to that user"
        )
        assert expected == bench.reflector.last_error
        assert not bench.reflector.synced.is_set()
        assert bench.mirror.calls == []
        release.set()
        await until(bench.reflector.synced.is_set)
        assert bench.reflector.last_error == ""


async def test_a_server_that_ends_every_watch_at_once_is_not_hammered() -> None:
    """Otherwise a proxy that cannot stream would be asked thousands of times a second."""
    watches: list[Step] = [stream(then="end") for _ in range(3)]
    async with running([page(version=5)], watches) as bench:
        await until(lambda: len(bench.pauses) == 3)
        assert bench.pauses == pytest.approx([0.375, 0.75, 1.5])


async def test_a_new_list_after_each_watch_is_not_made_in_a_loop() -> None:
    """A server that lists but calls every watch expired is met with growing pauses, too."""
    lists: list[Step] = [page(version=5) for _ in range(4)]
    watches: list[Step] = [refusal(410, "Expired", "too old") for _ in range(3)]
    async with running(lists, watches) as bench:
        await until(lambda: bench.reflector.lists == 4)
        assert bench.pauses == pytest.approx([0.375, 0.75, 1.5])


async def test_silence_is_measured_for_health_checks() -> None:
    """The figure grows until an event, a bookmark or a list comes."""
    now = 100.0
    more = asyncio.Event()

    async def watch(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await more.wait()
        await response.write(bookmark(6))
        await asyncio.Event().wait()
        return response

    async with running([page(version=5)], [watch], clock=lambda: now) as bench:
        await until(bench.reflector.synced.is_set)
        now = 160.0
        assert bench.reflector.silent_seconds == 60.0
        more.set()
        await until(lambda: bench.reflector.silent_seconds == 0.0)
        assert bench.reflector.events == 0


async def test_what_is_asked_for_is_what_was_wished() -> None:
    """Selectors, namespace and metadata go into lists and watches alike; the end of a watch is spread."""
    options = {"namespace": "team", "label_selector": "a=b", "field_selector": "c=d", "watch_seconds": 100.0}
    async with running([page(version=5)], [], **options) as bench:
        await until(lambda: len(bench.script.queries) == 2)
        listed, watched = bench.script.queries
        assert {("a=b", "c=d")} == {(q["labelSelector"], q["fieldSelector"]) for q in (listed, watched)}
        assert (watched["allowWatchBookmarks"], watched["timeoutSeconds"]) == ("true", "100")
        assert bench.reflector.name == "configmaps[a=b,c=d]"


async def test_a_bug_of_the_sink_ends_the_mirror_loudly() -> None:
    """Half a mirror is worse than none: nobody may go on deciding on it. The error is not taken for one of HTTP."""

    class Broken(Mirror):
        def upsert(self, key: tuple[str, str], value: str) -> None:
            raise OSError(f"a bug that looks like the network's, at {key}: {value}")

    script = Script(deque([page(version=5)]), deque([stream(event("ADDED", config_map("a", 6, v="1")))]))
    async with serving(script) as url, ApiClient(connection(url)) as client:
        reflector = Reflector(client, CONFIG_MAPS, project=value_of, sink=Broken())
        with pytest.raises(OSError, match="a bug that looks like"):
            await asyncio.wait_for(reflector.run(), 5)
