"""The mirror against a real API server: what happens, what vanishes unseen, and servers that die, freeze and forget."""

import asyncio
import gc
import json
import ssl
import urllib.request
import warnings
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from berth.kube import config
from berth.kube.client import ApiClient, JsonObject
from berth.kube.errors import Gone
from berth.kube.listing import Key
from berth.kube.reflector import Reflector
from berth.kube.resources import Resource
from e2e.ground.controlplane import ControlPlane

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]

CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")


class Mirror:
    """The names of one namespace with their values."""

    def __init__(self) -> None:
        self.items: dict[str, str] = {}
        self.version = ""

    def replace(self, items: Mapping[Key, str], resource_version: str) -> None:
        self.items = {key[1]: value for key, value in items.items()}
        self.version = resource_version

    def upsert(self, key: Key, value: str) -> None:
        self.items[key[1]] = value

    def remove(self, key: Key) -> None:
        self.items.pop(key[1], None)


def value_of(item: JsonObject) -> str:
    return str(item.get("data", {}).get("v", ""))


class Gate:
    """Sleeps of a reflector, held until the gate is opened."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.waiting = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.waiting.set()
        await self.open.wait()
        await asyncio.sleep(min(seconds, 0.1))


@asynccontextmanager
async def mirrored(
    plane: ControlPlane, namespace: str, **options: Any
) -> AsyncIterator[tuple[ApiClient, Mirror, Reflector[str]]]:
    """A client and a running reflector of the ConfigMaps with the label `kept`."""
    connection = await config.load(kubeconfig=str(plane.kubeconfig), environ={})
    async with ApiClient(connection) as client:
        mirror = Mirror()
        reflector = Reflector(
            client,
            CONFIG_MAPS,
            project=value_of,
            sink=mirror,
            namespace=namespace,
            label_selector="kept=yes",
            **options,
        )
        task = asyncio.create_task(reflector.run())
        try:
            await asyncio.wait_for(reflector.synced.wait(), 20)
            yield client, mirror, reflector
        finally:
            assert not task.done(), task
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def kept(name: str, value: str = "1") -> JsonObject:
    return {"metadata": {"name": name, "labels": {"kept": "yes"}}, "data": {"v": value}}


async def until(true: Callable[[], object], seconds: float = 30.0) -> None:
    for _ in range(round(seconds / 0.01)):
        if true():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError(f"not within {seconds} s")


async def live(client: ApiClient, namespace: str) -> dict[str, str]:
    """What the server itself says."""
    page = await client.list(CONFIG_MAPS, namespace=namespace, label_selector="kept=yes")
    return {item["metadata"]["name"]: value_of(item) for item in page["items"]}


@pytest.fixture(scope="module")
def own_plane() -> Iterator[ControlPlane]:
    """A control plane to be broken: storage and server alone."""
    with ControlPlane(components=("etcd", "kube-apiserver")) as plane:
        yield plane


async def test_a_mirror_sees_what_happens(control_plane: ControlPlane, namespace: str) -> None:
    """Objects made, changed, labelled in and out, and deleted; also one of a megabyte."""
    async with mirrored(control_plane, namespace, page_size=2) as (client, mirror, reflector):
        for name in "abcde":
            await client.create(CONFIG_MAPS, kept(name), namespace=namespace)
        await client.create(CONFIG_MAPS, {"metadata": {"name": "other"}, "data": {"v": "1"}}, namespace=namespace)
        await until(lambda: mirror.items == dict.fromkeys("abcde", "1"))
        await client.patch(CONFIG_MAPS, "a", {"data": {"v": "2"}}, namespace=namespace)
        await client.patch(CONFIG_MAPS, "b", {"metadata": {"labels": {"kept": "no"}}}, namespace=namespace)
        await client.patch(CONFIG_MAPS, "other", {"metadata": {"labels": {"kept": "yes"}}}, namespace=namespace)
        await client.delete(CONFIG_MAPS, "c", namespace=namespace)
        big = "x" * 1_000_000
        made = await client.create(CONFIG_MAPS, kept("big", big), namespace=namespace)
        expected = {"a": "2", "d": "1", "e": "1", "other": "1", "big": big}
        await until(lambda: mirror.items == expected)
        assert (reflector.lists, reflector.restarts) == (1, 0)
        assert int(mirror.version) < int(made["metadata"]["resourceVersion"])


async def test_a_watch_that_ends_in_time_misses_nothing(control_plane: ControlPlane, namespace: str) -> None:
    """Objects change all the time while one watch after another ends; nothing is listed again."""
    async with mirrored(control_plane, namespace, watch_seconds=1.0) as (client, mirror, reflector):
        for i in range(60):
            await client.create(CONFIG_MAPS, kept(f"c-{i}"), namespace=namespace)
            if i % 3 == 0:
                await client.delete(CONFIG_MAPS, f"c-{i}", namespace=namespace)
            await asyncio.sleep(0.05)
        await until(lambda: len(mirror.items) == 40)
        assert mirror.items == await live(client, namespace)
        assert (reflector.lists, reflector.restarts) == (1, 0)


async def test_what_vanished_unseen_while_the_server_forgot_vanishes_here(
    own_plane: ControlPlane, caplog: pytest.LogCaptureFixture
) -> None:
    """The server dies, comes back without memory, objects go and come, and it dies once more.

    The position of the mirror is then older than what the server remembers: it says 410, and the deletions are never
    told. The mirror ends with exactly what is there.
    """
    caplog.set_level("INFO", logger="berth.kube.reflector")
    gate, space = Gate(), "forgotten"
    own_plane.api.create("/api/v1/namespaces", {"metadata": {"name": space}})
    async with mirrored(own_plane, space, sleep=gate.sleep) as (client, mirror, reflector):
        for i in range(30):
            await client.create(CONFIG_MAPS, kept(f"c-{i}"), namespace=space)
        await until(lambda: len(mirror.items) == 30)
        gate.open.clear()
        gate.waiting.clear()
        await asyncio.to_thread(own_plane.kill, "kube-apiserver")
        await asyncio.wait_for(gate.waiting.wait(), 10)
        await asyncio.to_thread(own_plane.start_component, "kube-apiserver")
        for i in range(0, 30, 2):
            await client.delete(CONFIG_MAPS, f"c-{i}", namespace=space)
        await client.create(CONFIG_MAPS, kept("new"), namespace=space)
        assert len(mirror.items) == 30
        await asyncio.to_thread(own_plane.kill, "kube-apiserver")
        await asyncio.to_thread(compact, own_plane)
        await asyncio.to_thread(own_plane.start_component, "kube-apiserver")
        gate.open.set()
        await until(lambda: reflector.lists == 2)
        assert mirror.items == await live(client, space)
        assert {f"c-{i}" for i in range(1, 30, 2)} | {"new"} == set(mirror.items)
        assert any("410 Expired" in message for message in caplog.messages), caplog.messages
        await client.delete(CONFIG_MAPS, "new", namespace=space)
        await until(lambda: "new" not in mirror.items)


async def test_a_server_that_dies_and_comes_back_is_followed_again(own_plane: ControlPlane) -> None:
    """Whether it remembers or not, the mirror ends with what is there, and health figures tell the gap."""
    space = "killed"
    own_plane.api.create("/api/v1/namespaces", {"metadata": {"name": space}})
    async with mirrored(own_plane, space) as (client, mirror, reflector):
        await client.create(CONFIG_MAPS, kept("a"), namespace=space)
        await until(lambda: "a" in mirror.items)
        await asyncio.to_thread(own_plane.kill, "kube-apiserver")
        await until(lambda: reflector.last_error)
        assert "is the API server up" in reflector.last_error
        assert mirror.items == {"a": "1"}
        await asyncio.to_thread(own_plane.start_component, "kube-apiserver")
        await client.delete(CONFIG_MAPS, "a", namespace=space)
        await client.create(CONFIG_MAPS, kept("b"), namespace=space)
        await until(lambda: mirror.items == {"b": "1"})
        assert reflector.last_error == ""


async def test_a_frozen_server_is_noticed_by_its_silence(own_plane: ControlPlane) -> None:
    """Its connections stay open and say nothing: only the time limit on silence ends the wait."""
    space = "frozen"
    own_plane.api.create("/api/v1/namespaces", {"metadata": {"name": space}})
    async with mirrored(own_plane, space, stall_seconds=1.0) as (client, mirror, reflector):
        await client.create(CONFIG_MAPS, kept("a"), namespace=space)
        await until(lambda: "a" in mirror.items)
        own_plane.pause("kube-apiserver")
        try:
            before = reflector.restarts
            await until(lambda: reflector.restarts > before)
            assert reflector.silent_seconds >= 1.0
        finally:
            own_plane.resume("kube-apiserver")
        await client.create(CONFIG_MAPS, kept("b"), namespace=space)
        await until(lambda: mirror.items == {"a": "1", "b": "1"})


async def test_a_continue_token_that_is_forgotten_is_gone(own_plane: ControlPlane) -> None:
    """What `list_all` answers by beginning anew is what a real server says once the state is compacted."""
    space = "continued"
    own_plane.api.create("/api/v1/namespaces", {"metadata": {"name": space}})
    connection = await config.load(kubeconfig=str(own_plane.kubeconfig), environ={})
    async with ApiClient(connection) as client:
        for i in range(4):
            await client.create(CONFIG_MAPS, kept(f"c-{i}"), namespace=space)
        first = await client.list(CONFIG_MAPS, namespace=space, limit=2)
        await client.create(CONFIG_MAPS, kept("later"), namespace=space)
        await asyncio.to_thread(own_plane.kill, "kube-apiserver")
        await asyncio.to_thread(compact, own_plane)
        await asyncio.to_thread(own_plane.start_component, "kube-apiserver")
        token = first["metadata"]["continue"]
        with pytest.raises(Gone, match="410 Expired"):
            await client.list(CONFIG_MAPS, namespace=space, limit=2, continue_token=token)


def compact(plane: ControlPlane) -> None:
    """Let etcd forget all but the newest state."""
    trust = ssl.create_default_context(cafile=str(plane.layout.pki / "ca.crt"))
    trust.load_cert_chain(plane.layout.pki / "server.crt", plane.layout.pki / "server.key")

    def post(path: str, body: Mapping[str, Any]) -> JsonObject:
        url = f"{plane.layout.url('etcd')}/v3/kv/{path}"
        request = urllib.request.Request(url, data=json.dumps(body).encode())
        with urllib.request.urlopen(request, context=trust, timeout=10) as response:
            answer: JsonObject = json.load(response)
            return answer

    newest = post("range", {"key": "AA==", "limit": 1})["header"]["revision"]
    post("compaction", {"revision": newest, "physical": True})


def test_a_watch_that_is_left_leaves_no_socket_behind(control_plane: ControlPlane) -> None:
    """A farewell in TLS waits for the other side; a loop that ends meanwhile would leave the socket open."""

    async def watch_and_leave() -> None:
        connection = await config.load(kubeconfig=str(control_plane.kubeconfig), environ={})
        async with ApiClient(connection) as client:
            version = (await client.list(CONFIG_MAPS))["metadata"]["resourceVersion"]

            async def follow() -> None:
                async with client.watch(CONFIG_MAPS, resource_version=version, seconds=60, stall=30.0) as chunks:
                    async for _ in chunks:
                        pass

            task = asyncio.create_task(follow())
            await asyncio.sleep(0.03)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for _ in range(20):
            asyncio.run(watch_and_leave())
        gc.collect()
    assert [str(warning.message) for warning in told if issubclass(warning.category, ResourceWarning)] == []
