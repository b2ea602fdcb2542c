"""The fault proxy does what it says: nothing more, nothing less, and at the moment it says."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator

import pytest

from berth.kube.client import ApiClient
from berth.kube.config import load
from berth.kube.errors import ApiError, NotFound, TooManyRequests, Unreachable
from berth.kube.resources import Resource
from e2e.faults.calls import calls
from e2e.faults.proxy import FaultProxy
from e2e.faults.rules import Moment
from e2e.ground.api import Api
from e2e.ground.controlplane import ControlPlane
from e2e.ground.waiting import until

pytestmark = pytest.mark.cluster

MAPS = Resource("", "v1", "configmaps", "ConfigMap")
CREATE = calls(verb="create", resource="configmaps")
WATCH = calls(verb="watch", resource="configmaps")


class Mortal:
    """A victim that is killed by being told so: what is tested is what the proxy lets through afterwards."""

    def __init__(self) -> None:
        self.pid: int | None = 1
        self.alive = True

    def signal(self, number: signal.Signals) -> None:
        """Die."""
        assert number is signal.SIGKILL
        self.alive = False

    def start(self) -> None:
        """Live again, as another process."""
        self.pid, self.alive = (self.pid or 0) + 1, True


@pytest.fixture(scope="module")
def module_proxy(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultProxy]:
    """One proxy for all tests here."""
    with FaultProxy(control_plane.kubeconfig, tmp_path_factory.mktemp("faults")) as proxy:
        yield proxy


@pytest.fixture
def proxy(module_proxy: FaultProxy) -> Iterator[FaultProxy]:
    """The proxy without rules."""
    module_proxy.forget()
    yield module_proxy
    module_proxy.clear()


@pytest.fixture
async def client(proxy: FaultProxy) -> AsyncIterator[ApiClient]:
    """A client that speaks to the API server through the proxy."""
    async with ApiClient(await load(kubeconfig=str(proxy.kubeconfig))) as client:
        yield client


async def create(client: ApiClient, namespace: str, number: int) -> bool:
    """Create one of many objects; whether that was answered well."""
    try:
        await client.create(MAPS, {"metadata": {"name": f"map-{number}"}}, namespace=namespace)
    except ApiError:
        return False
    return True


def there(api: Api, namespace: str) -> int:
    """How many of the objects the API server has, asked directly."""
    names = [item["metadata"]["name"] for item in api.get(f"/api/v1/namespaces/{namespace}/configmaps")["items"]]
    return sum(name.startswith("map-") for name in names)


async def first_event(client: ApiClient, namespace: str, position: str, *, events: int = 1) -> bytes:
    """The first lines of a watch, as they come on the wire; what broke it is raised."""
    async with client.watch(MAPS, namespace=namespace, resource_version=position, seconds=20, stall=15) as chunks:
        found = b""
        async for chunk in chunks:
            found += chunk
            if found.count(b"\n") >= events:
                break
        return found


async def test_without_rules_everything_passes(client: ApiClient, proxy: FaultProxy, namespace: str) -> None:
    """Reads, writes, refusals and watches look as they do without the proxy, and writes are counted in order."""
    made = await client.create(MAPS, {"metadata": {"name": "map-0"}, "data": {"a": "ä"}}, namespace=namespace)
    await client.create(MAPS, {"metadata": {"name": "dry"}}, namespace=namespace, dry_run=True)
    assert (await client.get(MAPS, "map-0", namespace=namespace))["data"] == {"a": "ä"}
    with pytest.raises(NotFound, match=r"get configmaps .*/absent: 404 NotFound"):
        await client.get(MAPS, "absent", namespace=namespace)
    position = made["metadata"]["resourceVersion"]
    watching = asyncio.create_task(first_event(client, namespace, position))
    await client.patch(MAPS, "map-0", {"data": {"a": "b"}}, namespace=namespace)
    assert b'"type":"MODIFIED"' in await watching
    await client.delete(MAPS, "map-0", namespace=namespace)

    assert [(write.call.verb, write.code) for write in proxy.writes(calls(resource="configmaps"))] == [
        ("create", 201),
        ("patch", 200),
        ("delete", 200),
    ]


async def test_a_write_that_can_be_seen_is_told(client: ApiClient, proxy: FaultProxy, api: Api, namespace: str) -> None:
    """Whoever has seen it in the API server finds it among the writes, though its answer is still on its way."""
    listed = f"/api/v1/namespaces/{namespace}/configmaps"
    for number in range(20):
        name = f"seen-{number}"
        writing = asyncio.create_task(client.create(MAPS, {"metadata": {"name": name}}, namespace=namespace))
        await asyncio.sleep(0)
        while name not in {found["metadata"]["name"] for found in api.get(listed)["items"]}:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        assert len(proxy.all_writes(CREATE)) == number + 1
        await writing


@pytest.mark.parametrize(("moment", "expected"), [(Moment.BEFORE, 2), (Moment.AFTER, 3)])
async def test_a_crash_lets_exactly_the_writes_before_its_moment_through(
    client: ApiClient, proxy: FaultProxy, api: Api, namespace: str, moment: Moment, expected: int
) -> None:
    """Ten creations at once, killed at the third: two or three are made, only two are answered, ever after none."""
    victim = Mortal()
    crash = proxy.crash(victim, on=CREATE, nth=3, moment=moment)

    answered = await asyncio.gather(*(create(client, namespace, number) for number in range(10)))

    assert crash.wait(timeout_s=5).verb == "create"
    assert sum(answered) == 2
    assert there(api, namespace) == expected
    assert not await create(client, namespace, 10)
    victim.start()
    assert await create(client, namespace, 10)
    assert there(api, namespace) == expected + 1


async def test_a_refusal_answers_in_place_of_the_server_so_many_times(
    client: ApiClient, proxy: FaultProxy, api: Api, namespace: str
) -> None:
    """Refused once with Retry-After, then let through; the API server has not heard of the first."""
    refusal = proxy.refuse(CREATE, status=429, retry_after=7, times=1)

    with pytest.raises(TooManyRequests) as refused:
        await client.create(MAPS, {"metadata": {"name": "map-0"}}, namespace=namespace)

    assert refused.value.retry_after == 7
    assert there(api, namespace) == 0
    assert await create(client, namespace, 0)
    assert refusal.refused == 1


async def test_a_lost_answer_leaves_the_write_done(
    client: ApiClient, proxy: FaultProxy, api: Api, namespace: str
) -> None:
    """The API server makes the object; the connection breaks before the answer."""
    proxy.refuse(CREATE, status=0, moment=Moment.AFTER)

    with pytest.raises(Unreachable):
        await client.create(MAPS, {"metadata": {"name": "map-0"}}, namespace=namespace)

    assert there(api, namespace) == 1


@pytest.mark.parametrize(("moment", "expected"), [(Moment.BEFORE, 0), (Moment.AFTER, 1)])
async def test_a_held_call_waits_on_its_side_of_the_server(
    client: ApiClient, proxy: FaultProxy, api: Api, namespace: str, moment: Moment, expected: int
) -> None:
    """Held before, the API server has nothing; held after, it has done it; lifted, the caller gets its answer."""
    hold = proxy.hold(CREATE, moment=moment)
    creating = asyncio.create_task(create(client, namespace, 0))
    await asyncio.to_thread(hold.wait, timeout_s=5)

    assert there(api, namespace) == expected
    assert not creating.done()

    hold.lift()

    assert await creating


async def test_held_events_come_in_order_when_the_hold_is_lifted(
    client: ApiClient, proxy: FaultProxy, namespace: str
) -> None:
    """A watch stands still, and goes on with everything that happened."""
    listed = await client.list(MAPS, namespace=namespace)
    hold = proxy.hold(WATCH)
    watching = asyncio.create_task(first_event(client, namespace, listed["metadata"]["resourceVersion"], events=3))
    for number in range(3):
        await create(client, namespace, number)
    await asyncio.to_thread(hold.wait, timeout_s=5)
    assert not watching.done()

    hold.lift()

    lines = (await watching).splitlines()
    assert [f"map-{number}".encode() in line for number, line in enumerate(lines)] == [True] * 3


async def test_an_expired_watch_has_lost_what_was_held_and_needs_a_new_list(
    client: ApiClient, proxy: FaultProxy, namespace: str
) -> None:
    """ERROR 410 in place of the held events; the old position gets the same again, until somebody lists."""
    listed = await client.list(MAPS, namespace=namespace)
    position = listed["metadata"]["resourceVersion"]
    hold = proxy.hold(WATCH)
    watching = asyncio.create_task(first_event(client, namespace, position))
    await create(client, namespace, 0)
    await asyncio.to_thread(hold.wait, timeout_s=5)

    proxy.expire(WATCH)
    hold.lift()

    assert b'"code": 410' in await watching
    assert b'"code": 410' in await first_event(client, namespace, position)
    listed = await client.list(MAPS, namespace=namespace)
    watching = asyncio.create_task(first_event(client, namespace, listed["metadata"]["resourceVersion"]))
    await create(client, namespace, 1)
    assert b"map-1" in await watching


async def test_events_are_told_twice(client: ApiClient, proxy: FaultProxy, namespace: str) -> None:
    """The same line, twice in a row."""
    listed = await client.list(MAPS, namespace=namespace)
    with proxy.duplicate(WATCH):
        watching = asyncio.create_task(first_event(client, namespace, listed["metadata"]["resourceVersion"], events=2))
        await create(client, namespace, 0)
        first, second = (await watching).splitlines()

    assert first == second


@pytest.mark.parametrize("half_line", [False, True])
async def test_a_cut_breaks_open_watches(client: ApiClient, proxy: FaultProxy, namespace: str, half_line: bool) -> None:
    """The reader sees a broken connection, after half an event if so wished."""
    listed = await client.list(MAPS, namespace=namespace)
    watching = asyncio.create_task(first_event(client, namespace, listed["metadata"]["resourceVersion"]))

    def broken() -> bool:
        # A client tries a request once more that breaks before its answer begins.
        proxy.cut(WATCH, half_line=half_line)
        return watching.done()

    await asyncio.to_thread(until, broken, "the watch to break", timeout_s=5)

    with pytest.raises(Unreachable):
        await watching
