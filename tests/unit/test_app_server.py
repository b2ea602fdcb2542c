"""`/healthz`, `/readyz`, `/metrics`: what they say, and what the figures mean."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from berth.app.loop import LastCycle
from berth.app.metrics import Metrics, StateCollector
from berth.app.server import Server
from berth.core.cycle import Snapshot, cycle
from berth.core.model import Cause, Ending, Mode
from tests.builders import a_gang, a_job, by_name, drawn


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
    """As in URLs."""
    try:
        async with Facts().served("[::1]:0") as address:
            assert address.startswith("::1:")
    except OSError as error:
        pytest.skip(f"this machine has no ::1: {error.strerror}")


Sample = dict[tuple[tuple[str, str], ...], float]


def samples(text: str) -> dict[str, Sample]:
    """Metrics by name, and by labels; the parser refuses a text that is none."""
    found: dict[str, Sample] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def by(sample: Sample, label: str) -> dict[str, float]:
    """A metric with one label, by that."""
    return {dict(labels)[label]: value for labels, value in sample.items()}


def a_snapshot() -> Snapshot:
    """A pool, and a job in every state."""
    pool = drawn(
        """
        s0
          l0 8 8 4 0c
          l1 8 0
        s1
          l2 8x
        """,
    )
    jobs = (
        a_job("waits", a_gang(9)),
        a_job("waits-too", a_gang(9)),
        a_job("fits", a_gang(1)),
        a_job("sleeps").but(suspended=True),
        a_job("starts").placed("n5", "n3"),
        a_job("runs").placed("n5", "n3").recorded(started_at=5),
        a_job("stops").placed("n5", "n3").recorded(ending=Ending(Cause.PODS_LOST, 1, "gone")),
        a_job("won").placed("n5", "n3").ended(succeeded=True, at=1),
        a_job("lost").placed("n5", "n3").ended(succeeded=False, at=1),
    )
    return Snapshot(jobs=tuple(job.built for job in jobs), pools=by_name(pool), mode=Mode.ACTIVE)


async def scraped(last: LastCycle, ghosts: int = 0) -> dict[str, Sample]:
    facts = Facts()
    facts.registry.register(StateCollector(lambda: last, lambda: ghosts))
    async with facts.served() as address:
        status, text = await get(address, "/metrics")
    assert status == 200
    return samples(text)


async def test_jobs_are_counted_by_state_and_reason() -> None:
    """Every state has a figure, also when it is none."""
    snapshot = a_snapshot()
    found = await scraped(LastCycle(snapshot, cycle(snapshot, 100), 100, 1.0, 1), ghosts=3)
    assert by(found["berth_jobs"], "state") == {
        "Pending": 3,
        "Starting": 2,
        "Running": 1,
        "Suspended": 1,
        "Succeeded": 1,
        "Failed": 1,
    }
    assert by(found["berth_jobs_waiting"], "reason") == {"TooLarge": 2}
    assert found["berth_ghosts_total"] == {(): 3}


async def test_devices_and_nodes_are_counted_by_pool() -> None:
    """Free, used and unavailable are all there is; the largest free domain by level."""
    snapshot = a_snapshot()
    found = await scraped(LastCycle(snapshot, cycle(snapshot, 100), 100, 1.0, 1))
    assert by(found["berth_devices"], "state") == {"free": 28, "used": 20, "unavailable": 8}
    assert by(found["berth_nodes"], "ready") == {"true": 5, "false": 2}
    assert by(found["berth_largest_free_devices"], "level") == {"spine": 24, "leaf": 16, "node": 8}
    assert {dict(labels)["pool"] for labels in found["berth_devices"]} == {"h800"}


async def test_scraping_does_not_change_what_is_scraped() -> None:
    """The snapshot belongs to the last cycle."""
    snapshot = a_snapshot()
    before = repr(cycle(snapshot, 100))
    await scraped(LastCycle(snapshot, cycle(snapshot, 100), 100, 1.0, 1))
    assert repr(cycle(snapshot, 100)) == before


async def test_before_the_first_cycle_there_are_no_figures_of_state() -> None:
    """None is better than none of everything."""
    found = await scraped(LastCycle())
    assert "berth_jobs" not in found
    assert found["berth_ghosts_total"] == {(): 0}


async def test_calls_and_cycles_are_counted_where_they_happen() -> None:
    """By verb, resource and code, and by phase."""
    facts = Facts()
    metrics = Metrics(facts.registry)
    for _ in range(2):
        metrics.on_call("create", "pods", 201, 0.01)
    metrics.on_call("apply", "trainingjobs/status", 0, 30.0)
    metrics.on_cycle(0.0004, 0.3)
    async with facts.served() as address:
        found = samples((await get(address, "/metrics"))[1])
    calls = found["berth_api_requests_total"]
    assert calls[("code", "201"), ("resource", "pods"), ("verb", "create")] == 2
    assert calls[("code", "0"), ("resource", "trainingjobs/status"), ("verb", "apply")] == 1
    buckets = found["berth_cycle_seconds_bucket"]
    assert buckets[("le", "0.0005"), ("phase", "snapshot")] == 1
    assert (buckets[("le", "0.25"), ("phase", "decide")], buckets[("le", "0.5"), ("phase", "decide")]) == (0, 1)
    await asyncio.sleep(0)


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
