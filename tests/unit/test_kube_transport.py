"""Requests: slots, time limits, cuts, logins, and the count of it all."""

import asyncio

import pytest
from aiohttp import web

from berth.kube.client import ApiClient
from berth.kube.config import ConfigError
from berth.kube.credentials import Login
from berth.kube.errors import TooManyRequests, Unauthorized, Unavailable, Unreachable
from berth.kube.resources import NODES, PODS
from tests.unit.kube_wire import answer, connection, refusal, serving, stream


async def test_no_more_requests_at_a_time_than_slots_and_the_queue_has_no_time_limit() -> None:
    """A burst far above the limit goes through: the clock of a request starts when it has its slot."""
    running, most = 0, 0

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.02)
        running -= 1
        return answer({})

    async with serving(handler) as url, ApiClient(connection(url), limit=4, timeout=0.3) as client:
        # 100 requests through 4 slots take 0.5 s, longer than any one may take.
        await asyncio.gather(*(client.get(NODES, f"n{i}") for i in range(100)))
    assert most == 4


async def test_connections_are_kept() -> None:
    """A handshake per write would cost more than the write."""
    peers = set()

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        return answer({})

    async with serving(handler) as url, ApiClient(connection(url), limit=2) as client:
        for _ in range(5):
            await asyncio.gather(*(client.get(NODES, f"n{i}") for i in range(4)))
    assert len(peers) <= 2


async def test_a_server_that_does_not_answer_is_unreachable_in_time() -> None:
    """The error says what was asked and that time ran out."""
    async with serving(stream()) as url, ApiClient(connection(url), timeout=0.1) as client:
        with pytest.raises(Unreachable, match="get nodes n1: TimeoutError: no answer in time"):
            await client.get(NODES, "n1")


async def test_an_answer_cut_in_the_middle_is_unreachable() -> None:
    """Half an object is never returned."""
    async with serving(stream(b'{"half":', then="cut")) as url, ApiClient(connection(url)) as client:
        with pytest.raises(Unreachable, match="get nodes n1"):
            await client.get(NODES, "n1")


async def test_a_server_that_is_not_there_is_unreachable() -> None:
    """Refused connections are what an API server that restarts looks like."""
    async with serving(stream()) as url:
        pass
    async with ApiClient(connection(url)) as client:
        with pytest.raises(Unreachable, match=r"list pods team: ClientConnectorError: .* is the API server up"):
            await client.list(PODS, namespace="team")


async def test_overload_carries_the_servers_wish() -> None:
    """The retry policy obeys it."""

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return refusal(429, "TooManyRequests", "too many", **{"Retry-After": "4"})

    async with serving(handler) as url, ApiClient(connection(url)) as client:
        with pytest.raises(TooManyRequests) as caught:
            await client.get(NODES, "n1")
    assert caught.value.retry_after == 4.0


@pytest.mark.parametrize("body", [b"<html>please wait</html>", b"[1]", b"\xff", b""])
async def test_an_answer_that_is_no_object_is_not_believed(body: bytes) -> None:
    """A proxy may answer 200 for a server that is away: a failure that may pass, not an object."""

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=body)

    async with serving(handler) as url, ApiClient(connection(url)) as client:
        with pytest.raises(Unavailable, match="get nodes n1: 200 NotAnObject: no JSON object"):
            await client.get(NODES, "n1")


async def test_a_list_that_is_none_is_not_believed() -> None:
    """It would look like the deletion of everything."""

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return answer({"items": []})

    async with serving(handler) as url, ApiClient(connection(url)) as client:
        with pytest.raises(Unavailable, match=r"a list without a resourceVersion: .*items"):
            await client.list(NODES)


async def test_a_slot_is_given_back_after_a_failure() -> None:
    """Or the client would stand still after as many failures as it has slots."""
    codes = iter([500] * 5)

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return refusal(500, "InternalError", "etcd") if next(codes, None) else answer({"ok": True})

    async with serving(handler) as url, ApiClient(connection(url), limit=1) as client:
        for _ in range(5):
            with pytest.raises(Unavailable):
                await client.get(NODES, "n1")
        assert await client.get(NODES, "n1") == {"ok": True}


async def test_a_refused_login_is_loaded_anew_and_the_request_made_again() -> None:
    """A token that was rotated is no failure for the caller, and is loaded once for all that were refused."""
    loaded = 0

    async def load() -> Login:
        nonlocal loaded
        loaded += 1
        await asyncio.sleep(0.01)
        return Login(authorization="Bearer new")

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("Authorization") == "Bearer new":
            return answer({})
        return refusal(401, "Unauthorized", "Unauthorized")

    async with serving(handler) as url:
        wire = connection(url, Login(authorization="Bearer old"), load)
        async with ApiClient(wire) as client:
            await asyncio.gather(*(client.get(NODES, f"n{i}") for i in range(20)))
    assert loaded == 1


async def test_a_login_that_stays_refused_is_told_to_the_user() -> None:
    """One more try, not an endless loop; and a plugin that fails then does not hide the refusal."""
    asked = 0

    async def load() -> Login:
        raise ConfigError("the plugin failed")

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        return refusal(401, "Unauthorized", "Unauthorized")

    async with serving(handler) as url:
        for renewed in (load, _same):
            async with ApiClient(connection(url, Login(authorization="Bearer old"), renewed)) as client:
                with pytest.raises(Unauthorized, match="log in again, or look into the kubeconfig"):
                    await client.get(NODES, "n1")
    assert asked == 1 + 2


async def _same() -> Login:
    return Login(authorization="Bearer old")


async def test_every_request_is_counted_with_its_code() -> None:
    """Metrics see tries, not calls: a refused login and a lost connection are each one."""
    calls: list[tuple[str, str, int]] = []

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "DELETE":
            return refusal(404, "NotFound", "gone")
        if request.method == "PATCH":
            assert request.transport is not None
            request.transport.abort()
        return answer({})

    def on_call(verb: str, resource: str, code: int, seconds: float) -> None:
        assert 0 <= seconds < 5
        calls.append((verb, resource, code))

    async with serving(handler) as url, ApiClient(connection(url), on_call=on_call) as client:
        await client.get(NODES, "n1", subresource="status")
        await client.create(PODS, {"metadata": {"name": "x"}}, namespace="team")
        for call in (
            client.delete(PODS, "x", namespace="team"),
            client.patch(PODS, "x", {}, namespace="team"),
        ):
            with pytest.raises(Exception, match="pods team/x"):
                await call
        await client.create(PODS, {"metadata": {"name": "x"}}, namespace="team", dry_run=True)
    expected = [("get", "nodes/status", 200), ("create", "pods", 200), ("delete", "pods", 404), ("patch", "pods", 0)]
    expected.append(("dry-run-create", "pods", 200))
    assert expected == calls


async def test_a_closed_client_leaves_nothing_open() -> None:
    """Warnings are errors here: a socket or session left open would fail this test. Closing twice does no harm."""
    async with serving(stream()) as url:
        client = ApiClient(connection(url))
        waiting = asyncio.create_task(client.get(NODES, "n1"))
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await client.close()
        await client.close()


async def test_a_new_client_certificate_gets_new_connections() -> None:
    """A certificate belongs to a connection: those that are open would go on with the one that has ended."""
    peers = []

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        peers.append(request.transport.get_extra_info("peername"))
        return answer({})

    async with serving(handler) as url:
        wire = connection(url)
        async with ApiClient(wire) as client:
            await client.get(NODES, "n1")
            await client.get(NODES, "n1")
            wire.credentials.generation += 1
            await client.get(NODES, "n1")
    assert peers[0] == peers[1] != peers[2]
