"""The operator: all parts put together, started in order, stopped in order.

Start: connect, serve health, wait for the Lease, raise the fence against former leaders, fill the mirror (reflectors,
first list of Berth's own kinds), then let kopf watch, then run cycles. A fault of a part that must not fail (a bug in a
task, a reflector that ended) ends the process: memory may be wrong, and everything needed to go on is in the cluster.
"""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector

from berth import __version__
from berth.accel.catalogue import Catalogue
from berth.act.actuator import Actuator
from berth.act.fence import Fence
from berth.act.pools import PoolReporter
from berth.act.probe import Prober
from berth.api.names import GROUP
from berth.app.feeds import reflectors
from berth.app.health import HealthFeeds
from berth.app.loop import IDLE_SECONDS, Bell, Loop
from berth.app.metrics.process import Metrics
from berth.app.metrics.reloads import SettingsCollector
from berth.app.metrics.state import StateCollector
from berth.app.metrics.watches import LeaseCollector, LeaseState, WatchCollector, WatchCounts
from berth.app.own_kinds import KopfThread, OwnKinds
from berth.app.reload import Reloader, SettingsFile
from berth.app.server import Server
from berth.app.settings import Settings
from berth.app.tasks import background, first
from berth.cluster import dump
from berth.cluster.mirror import Mirror
from berth.kube import nesting
from berth.kube.client import ApiClient
from berth.kube.config import Connection, load
from berth.kube.errors import ApiError, NotFound
from berth.kube.events import EventRecorder
from berth.kube.lease import Lease
from berth.kube.reflector import Reflector

logger = logging.getLogger(__name__)

STUCK_SECONDS = 3 * IDLE_SECONDS
CONTROLLER = f"{GROUP}/operator"
FLUSH_SECONDS = 5.0
"""On a stop, events that wait are posted for so long."""
FINISH_SECONDS = 10.0
"""On a stop, what is being carried out may go on for so long."""


_SELDOM = (100_000, 50, 100)
"""Thresholds of Python's garbage collector while the mirror is filled."""


class StartError(RuntimeError):
    """The operator cannot start; the text says what is missing and what to do."""


@dataclass(slots=True)
class _Parts:
    """What health is judged by."""

    reflectors: list[Reflector[Any]]
    kopf: KopfThread
    loop: Loop | None = None
    leading: bool = False

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
        if not self.leading:
            return []  # a standby is ready to take over
        waiting = [f"{r.name} not listed yet" for r in self.reflectors if not r.synced.is_set()]
        if not self.has_run():
            waiting.append("no cycle has run yet")
        return waiting

    def has_run(self) -> bool:
        """Whether a cycle has run."""
        return self.loop is not None and self.loop.last.cycles > 0

    def watches(self) -> list[WatchCounts]:
        """What is heard of each kind."""
        mirrored = [WatchCounts(r.name, r.events, r.restarts, r.lists, r.silent_seconds) for r in self.reflectors]
        return mirrored + [WatchCounts(kind, n, self.kopf.restarts) for kind, n in self.kopf.events.items()]

    def leads(self) -> list[str]:
        return [] if self.leading else ["standing by: another operator holds the Lease"]


async def start(file: SettingsFile, *, kubeconfig: str | None = None, context: str | None = None) -> None:
    """Find the API server and run until SIGTERM or SIGINT.

    Raises SettingsError, ConfigError, StartError, or the error of a part that must not fail.
    """
    settings = file.load()
    await run(await load(kubeconfig=kubeconfig, context=context), settings, file)


async def run(connection: Connection, settings: Settings, file: SettingsFile) -> None:
    """Run against one API server until SIGTERM or SIGINT. `settings` were read from `file`, which may change."""
    nesting.allow()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    metrics = Metrics(registry)
    logger.info("starting", extra={"version": __version__, "mode": settings.mode, "cluster": connection.source})
    agent = f"berth/{__version__}"
    # The Lease has connections of its own: its renewals must not queue behind a gang's creations.
    async with ApiClient(connection, limit=2, timeout=settings.lease_seconds / 3, user_agent=agent) as own:
        lease = Lease(
            own,
            namespace=settings.lease_namespace,
            name=settings.lease_name,
            identity=settings.identity or os.environ.get("POD_NAME") or f"{socket.gethostname()}-{os.urandom(3).hex()}",
            duration=settings.lease_seconds,
            renew_every=settings.lease_seconds / 5,
        )
        async with ApiClient(
            connection,
            limit=settings.connections,
            write_timeout=settings.lease_seconds / 3,
            write_guard=lease.check,
            user_agent=agent,
            on_call=metrics.on_call,
        ) as client:
            await _Operator(client, lease, settings, file, registry, metrics, stop).run()
    logger.info("stopped")


class _Operator:
    """All parts of one operator, and its life: stand by, lead, stop."""

    def __init__(
        self,
        client: ApiClient,
        lease: Lease,
        settings: Settings,
        file: SettingsFile,
        registry: CollectorRegistry,
        metrics: Metrics,
        stop: asyncio.Event,
    ) -> None:
        self._client = client
        self._lease = lease
        self._fence = Fence(client, namespace=settings.lease_namespace, name=settings.lease_name)
        self._settings = settings
        self._reloader = Reloader(file, settings, self._take)
        self._registry = registry
        self._metrics = metrics
        self._stop = stop
        self._hand_on: Callable[[Settings], None] = lambda _: None
        self._bell = Bell(quiet=settings.quiet_seconds, most=settings.batch_seconds)
        self._mirror = Mirror(on_change=self._bell.ring)
        self._kinds = OwnKinds(client=client, mirror=self._mirror, catalogue=Catalogue.load())
        self._recorder = EventRecorder(
            client, controller=CONTROLLER, instance=lease.identity, now=lambda: datetime.now(UTC)
        )
        parts = self._parts = _Parts(reflectors(client, self._mirror), KopfThread(client.connection, self._kinds))
        registry.register(StateCollector(self._mirror, parts.has_run))
        registry.register(WatchCollector(parts.watches))
        registry.register(LeaseCollector(lambda: _state_of(lease)))
        registry.register(SettingsCollector(self._reloader))

    async def run(self) -> None:
        """Wait for the Lease, lead until the stop, and give the Lease back."""
        parts = self._parts
        server = Server(
            listen=self._settings.listen,
            healthy=parts.healthy,
            ready=parts.ready,
            leading=parts.leads,
            registry=self._registry,
            dumped=parts.dumped,
        )
        await _listen(server, self._settings)
        try:
            async with background(_acquired(self._lease), self._reloader.run()) as leading:
                logger.info("standing by", extra={"identity": self._lease.identity})
                await first(self._stop.wait(), leading)
            if not self._stop.is_set():
                parts.leading = True
                await self._lead()
                await self._lease.release()
        finally:
            await server.stop()

    def _take(self, settings: Settings) -> None:
        """Go by changed settings; those of `settings.FIXED` are as they were."""
        self._bell.pace(quiet=settings.quiet_seconds, most=settings.batch_seconds)
        self._hand_on(settings)

    async def _lead(self) -> None:
        """Raise the fence, fill the mirror, then run cycles, until the stop.

        Raises the error of a part that must not fail.
        """
        async with background(self._lease.keep(), self._recorder.run(), self._reloader.run()) as kept:
            rising = asyncio.create_task(self._fence.rise(self._lease.epoch))
            try:
                await first(self._stop.wait(), kept, rising)
            finally:
                rising.cancel()
            if not self._stop.is_set():
                sources = self._parts.reflectors
                async with background(*(reflector.run() for reflector in sources)) as broken:
                    await _fill(self._kinds, sources, kept, broken, self._stop)
                    if not self._stop.is_set():
                        await self._cycle(rising.result(), kept, broken)

    async def _cycle(self, epoch: int, *broken: "asyncio.Future[None]") -> None:
        settings, parts, mirror, client = self._reloader.current, self._parts, self._mirror, self._client
        actuator = Actuator(
            client=client,
            mirror=mirror,
            recorder=self._recorder,
            report_every=settings.report_seconds,
            epoch=epoch,
            on_record=self._metrics.on_record,
            priority_class=settings.pod_priority_class,
        )
        prober = Prober(
            client=client,
            mirror=mirror,
            again_seconds=settings.refused_seconds,
            epoch=epoch,
            priority_class=settings.pod_priority_class,
        )
        loop = parts.loop = Loop(
            mirror=mirror,
            actuator=actuator,
            bell=self._bell,
            settings=settings,
            epoch=epoch,
            before_cycle=prober.begin,
            on_cycle=self._metrics.on_cycle,
        )
        pools = PoolReporter(client=client, mirror=mirror, every=settings.pool_report_seconds)
        audits = self._kinds.run_audits(lambda: self._reloader.current.audit_seconds)
        health = HealthFeeds(client=client, mirror=mirror)

        def take(changed: Settings) -> None:
            actuator.pace(report_every=changed.report_seconds)
            prober.again_seconds = changed.refused_seconds
            pools.every = changed.pool_report_seconds
            loop.take(changed)

        self._hand_on = take
        try:
            async with background(loop.run(), pools.run(), audits, health.run()) as failed:
                await asyncio.sleep(0)  # the first cycle runs now: kopf's own list must not take the processor from it
                parts.kopf.start()
                await first(self._stop.wait(), *broken, failed, actuator.broken, prober.broken)
            await parts.kopf.stop()
            await actuator.finish(FINISH_SECONDS)
            with contextlib.suppress(TimeoutError):  # the Lease has to be given back while the process may still run
                await asyncio.wait_for(self._recorder.flush(), FLUSH_SECONDS)
        finally:
            await prober.stop()


def _state_of(lease: Lease) -> LeaseState:
    return LeaseState(leading=True, epoch=lease.epoch, remaining=lease.remaining) if lease.held else LeaseState()


async def _acquired(lease: Lease) -> None:
    await lease.acquire()


async def _listen(server: Server, settings: Settings) -> None:
    try:
        await server.start()
    except OSError as error:
        text = f"cannot listen on {settings.listen}: {error.strerror}; choose another address with --listen"
        raise StartError(text) from error
    logger.info("listening", extra={"address": server.address})


async def _fill(
    kinds: OwnKinds,
    sources: list[Reflector[Any]],
    kept: "asyncio.Future[None]",
    broken: "asyncio.Future[None]",
    stop: asyncio.Event,
) -> None:
    """Wait until the mirror is complete, or the stop comes first."""
    waiting = asyncio.create_task(_filled(kinds, sources))
    # Nearly all that is made now stays: to go through it again and again, in search of what does not, took a third of
    # the processor time of a start. What is there at its end is not gone through ever after.
    usual = gc.get_threshold()
    gc.set_threshold(*_SELDOM)
    try:
        await first(stop.wait(), kept, broken, waiting)
    finally:
        waiting.cancel()
        gc.freeze()
        gc.set_threshold(*usual)


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
