"""The operator: all parts put together, started in order, stopped in order.

Start: connect, serve health, fill the mirror (reflectors, first list of Berth's own kinds), then let kopf watch, then
run cycles. A fault of a part that must not fail (a bug in a task, a reflector that ended) ends the process: memory may
be wrong, and everything needed to go on is in the cluster.
"""

import asyncio
import contextlib
import logging
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from prometheus_client import CollectorRegistry

from berth import __version__
from berth.accel.catalogue import Catalogue
from berth.act.actuator import Actuator
from berth.act.pools import PoolReporter
from berth.act.probe import Prober
from berth.api.names import GROUP
from berth.app.feeds import reflectors
from berth.app.loop import IDLE_SECONDS, Bell, Loop
from berth.app.metrics import Metrics, StateCollector
from berth.app.own_kinds import KopfThread, OwnKinds
from berth.app.server import Server
from berth.app.settings import Settings
from berth.cluster import dump
from berth.cluster.jobs import JobEntry
from berth.cluster.mirror import Mirror
from berth.cluster.pools import PoolFacts
from berth.kube.client import ApiClient
from berth.kube.config import Connection, load
from berth.kube.errors import ApiError, NotFound
from berth.kube.events import EventRecorder
from berth.kube.reflector import Reflector

logger = logging.getLogger(__name__)

STUCK_SECONDS = 3 * IDLE_SECONDS
CONTROLLER = f"{GROUP}/operator"
FINISH_SECONDS = 10.0
"""On a stop, what is being carried out may go on for so long."""


class StartError(RuntimeError):
    """The operator cannot start; the text says what is missing and what to do."""


@dataclass(slots=True)
class _Parts:
    """What health is judged by."""

    reflectors: list[Reflector[Any]]
    kopf: KopfThread
    loop: Loop | None = None

    def healthy(self) -> list[str]:
        wrong = self.kopf.wrong() if self.loop is not None else []
        if self.loop is not None and time.monotonic() - self.loop.last.ended > STUCK_SECONDS:
            wrong.append(f"no cycle for {STUCK_SECONDS:.0f} s")
        return wrong

    def dumped(self) -> Callable[[], bytes] | None:
        """What writes the last cycle, as it is now."""
        last = self.loop.last if self.loop is not None else None
        if last is None or last.snapshot is None or last.plan is None:
            return None
        return partial(dump.write, dump.Dump(last.snapshot, last.at, last.plan))

    def ready(self) -> list[str]:
        waiting = [f"{r.name} not listed yet" for r in self.reflectors if not r.synced.is_set()]
        if self.loop is None or self.loop.last.cycles == 0:
            waiting.append("no cycle has run yet")
        return waiting


async def start(settings: Settings, *, kubeconfig: str | None = None, context: str | None = None) -> None:
    """Find the API server and run until SIGTERM or SIGINT.

    Raises ConfigError, StartError, or the error of a part that must not fail.
    """
    await run(await load(kubeconfig=kubeconfig, context=context), settings)


async def run(connection: Connection, settings: Settings) -> None:
    """Run against one API server until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    logger.info("starting", extra={"version": __version__, "mode": settings.mode, "cluster": connection.source})
    async with ApiClient(
        connection, limit=settings.connections, user_agent=f"berth/{__version__}", on_call=metrics.on_call
    ) as client:
        await _operate(client, settings, registry, metrics, stop)
    logger.info("stopped")


async def _operate(
    client: ApiClient, settings: Settings, registry: CollectorRegistry, metrics: Metrics, stop: asyncio.Event
) -> None:
    bell = Bell(quiet=settings.quiet_seconds, most=settings.batch_seconds)
    mirror = Mirror(on_change=bell.ring)
    kinds = OwnKinds(client=client, mirror=mirror, catalogue=Catalogue.load())
    recorder = EventRecorder(
        client, controller=CONTROLLER, instance=socket.gethostname(), now=lambda: datetime.now(UTC)
    )
    parts = _Parts(reflectors(client, mirror), KopfThread(client.connection, kinds))
    server = Server(
        listen=settings.listen, healthy=parts.healthy, ready=parts.ready, registry=registry, dumped=parts.dumped
    )
    await _listen(server, settings)
    actuator = Actuator(client=client, mirror=mirror, recorder=recorder, report_every=settings.report_seconds)
    prober = Prober(
        client=client,
        mirror=mirror,
        pool=lambda entry: _likely_pool(entry, mirror),
        again_seconds=settings.refused_seconds,
    )
    try:
        async with _background(*(r.run() for r in parts.reflectors), recorder.run()) as broken:
            await _fill(kinds, parts.reflectors, broken, stop)
            if not stop.is_set():
                parts.loop = Loop(
                    mirror=mirror,
                    actuator=actuator,
                    bell=bell,
                    settings=settings,
                    before_cycle=prober.begin,
                    on_cycle=metrics.on_cycle,
                )
                registry.register(StateCollector(lambda: _last(parts), lambda: mirror.ghosts))
                parts.kopf.start()
                pools = PoolReporter(client=client, mirror=mirror, every=settings.pool_report_seconds)
                async with _background(
                    parts.loop.run(), pools.run(), kinds.run_audits(settings.audit_seconds)
                ) as failed:
                    await _first(stop.wait(), broken, failed, actuator.broken, prober.broken)
                await parts.kopf.stop()
                await actuator.finish(FINISH_SECONDS)
                await recorder.flush()
    finally:
        await prober.stop()
        await server.stop()


async def _listen(server: Server, settings: Settings) -> None:
    try:
        await server.start()
    except OSError as error:
        text = f"cannot listen on {settings.listen}: {error.strerror}; choose another address with --listen"
        raise StartError(text) from error
    logger.info("listening", extra={"address": server.address})


async def _fill(
    kinds: OwnKinds, sources: list[Reflector[Any]], broken: "asyncio.Future[None]", stop: asyncio.Event
) -> None:
    """Wait until the mirror is complete, or the stop comes first."""
    waiting = asyncio.create_task(_filled(kinds, sources))
    try:
        await _first(stop.wait(), broken, waiting)
    finally:
        waiting.cancel()


async def _filled(kinds: OwnKinds, sources: list[Reflector[Any]]) -> None:
    for reflector in sources:
        await reflector.synced.wait()
    while True:
        try:
            await kinds.first_list()
        except NotFound as error:
            text = f"Berth's CRDs are not installed ({error.message}); kubectl apply -f crds/"
            raise StartError(text) from error
        except ApiError as error:
            logger.warning("waiting for the API server", extra={"error": str(error)})
            await asyncio.sleep(1.0)
        else:
            return


@contextlib.asynccontextmanager
async def _background(*work: Coroutine[Any, Any, None]) -> AsyncIterator["asyncio.Future[None]"]:
    """Run coroutines beside the body; the future yielded ends with the first of them, which none of them should."""
    tasks = [asyncio.create_task(w) for w in work]
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def note(task: "asyncio.Task[None]") -> None:
        if ended.done() or task.cancelled():
            return
        error = task.exception()
        if error is None:
            ended.set_result(None)
        else:
            ended.set_exception(error)

    for task in tasks:
        task.add_done_callback(note)
    try:
        yield ended
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if ended.done() and not ended.cancelled():
            ended.exception()  # it was raised where it was waited for


async def _first(*waits: Any) -> None:
    """Wait for the first of these; raise its error if it failed."""
    tasks = [asyncio.ensure_future(w) for w in waits]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    tasks[0].cancel()
    for task in done:
        task.result()


def _last(parts: _Parts) -> Any:
    assert parts.loop is not None, "registered once the loop is there"
    return parts.loop.last


def _likely_pool(entry: JobEntry, mirror: Mirror) -> PoolFacts | None:
    """The pool whose resource a replica is tried with: the first that the job may run in, if any can be used."""
    wanted = entry.manifest.spec.pools
    for members in mirror.pools.members():
        facts = members.facts
        if facts.problem is None and (not wanted or facts.name in wanted):
            return facts
    return None
