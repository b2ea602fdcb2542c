"""`/healthz`, `/readyz`, `/metrics`: what they say."""

import errno
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from berth.app.metrics.process import Metrics
from berth.app.server import Server


class Facts:
    """What is wrong now, by check."""

    def __init__(self) -> None:
        self.unhealthy: list[str] = []
        self.unready: list[str] = []
        self.led_by_another: list[str] = []
        self.registry = CollectorRegistry()

    @asynccontextmanager
    async def served(self, listen: str = "127.0.0.1:0") -> AsyncIterator[str]:
        server = Server(
            listen=listen,
            healthy=lambda: self.unhealthy,
            ready=lambda: self.unready,
            leading=lambda: self.led_by_another,
            registry=self.registry,
        )
        await server.start()
        try:
            yield server.address
        finally:
            await server.stop()


async def get(address: str, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://{address}{path}") as answer:
        return answer.status, await answer.text()


async def test_all_is_well() -> None:
    """Probes of Kubernetes look at the code."""
    async with Facts().served() as address:
        assert await get(address, "/healthz") == (200, "ok\n")
        assert await get(address, "/readyz") == (200, "ok\n")
        assert await get(address, "/leadz") == (200, "ok\n")


async def test_what_is_wrong_is_told_line_by_line() -> None:
    """Ready and healthy are two things; each is asked anew every time."""
    facts = Facts()
    async with facts.served() as address:
        facts.unready = ["nodes not listed yet", "no cycle has run yet"]
        assert await get(address, "/readyz") == (503, "nodes not listed yet\nno cycle has run yet\n")
        assert (await get(address, "/healthz"))[0] == 200
        facts.unhealthy, facts.unready = ["no cycle for 90 s"], []
        assert await get(address, "/healthz") == (503, "no cycle for 90 s\n")
        assert (await get(address, "/readyz"))[0] == 200


async def test_a_port_that_is_taken_is_an_error() -> None:
    """The operator says so, and how to choose another."""
    async with Facts().served() as address:
        with pytest.raises(OSError, match="address already in use"):
            async with Facts().served(address):
                pass


async def test_an_address_of_the_newer_protocol_is_written_in_brackets() -> None:
    """As in URLs. A machine without that address refuses it, and not for the way it is written."""
    try:
        async with Facts().served("[::1]:0") as address:
            assert address.startswith("::1:")
    except OSError as error:
        if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            raise


async def test_metrics_are_served_as_prometheus_reads_them() -> None:
    """The content type names the format; the parser refuses a text that is none."""
    facts = Facts()
    Metrics(facts.registry).on_call("create", "pods", 201, 0.01)
    async with (
        facts.served() as address,
        aiohttp.ClientSession() as session,
        session.get(f"http://{address}/metrics") as answer,
    ):
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        families = {family.name: family for family in text_string_to_metric_families(await answer.text())}
    labels = {"verb": "create", "resource": "pods", "code": "201"}
    assert [(s.labels, s.value) for s in families["berth_api_requests"].samples if s.name.endswith("_total")] == [
        (labels, 1.0)
    ]


async def test_the_last_cycle_is_handed_out_once_there_is_one() -> None:
    """Written in another thread, while the operator goes on."""
    written: list[int] = []

    def write() -> bytes:
        written.append(threading.get_ident())
        return b'{"berth_dump": 1}'

    found: list[Callable[[], bytes]] = []
    server = Server(
        listen="127.0.0.1:0",
        healthy=list,
        ready=list,
        leading=list,
        registry=CollectorRegistry(),
        dumped=lambda: found[0] if found else None,
    )
    await server.start()
    try:
        assert await get(server.address, "/debug/snapshot") == (503, "no cycle has run yet\n")
        found.append(write)
        assert await get(server.address, "/debug/snapshot") == (200, '{"berth_dump": 1}')
    finally:
        await server.stop()
    assert written != [threading.get_ident()]
