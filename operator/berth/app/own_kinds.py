"""What fills the mirror with TrainingJobs and AcceleratorPools: a first list, kopf's events, and audits.

kopf runs in a thread and a loop of its own, because in a shared loop it cancels tasks that are not its own when it
stops. Its handlers translate and hand over; they return nothing and write nothing. After a lost watch kopf lists again
but tells nobody what vanished meanwhile: so both kinds are listed here before the first cycle, and compared with a
list of uids ever after. What arrives twice does no harm, the mirror goes by resourceVersion.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import kopf
from pydantic import ValidationError

from berth.accel.catalogue import Catalogue
from berth.api import names
from berth.api.job import TrainingJob
from berth.cluster.mirror import Mirror
from berth.cluster.sources import read_job, read_pool
from berth.core.model import JobKey
from berth.kube.client import ApiClient
from berth.kube.config import Connection
from berth.kube.errors import ApiError
from berth.kube.listing import list_all, uids
from berth.kube.resources import ACCELERATOR_POOLS, TRAINING_JOBS

logger = logging.getLogger(__name__)

Hand = Callable[[dict[str, Any], bool], None]
"""Takes an object, and whether it is gone."""

_WATCHES = "multidimensional multitasker"
_LOOK, _LAST_WORDS = 1.0, 5.0
"""Seconds between looks whether kopf still watches, and in which it has to end once it does not."""

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 3.0
"""Seconds before kopf is started again after it gave up, doubling."""


class OwnKinds:
    """Hands Berth's own objects to the mirror."""

    def __init__(self, *, client: ApiClient, mirror: Mirror, catalogue: Catalogue) -> None:
        self._client = client
        self._mirror = mirror
        self._catalogue = catalogue

    def job(self, obj: dict[str, Any], gone: bool) -> None:
        """Take in a TrainingJob. One that this version cannot read is told and left alone."""
        metadata = obj["metadata"]
        key = JobKey(metadata["namespace"], metadata["name"])
        if gone:
            self._mirror.drop_job(key, metadata["uid"])
            return
        known = self._mirror.jobs.get(key)
        if known is not None and known.uid == metadata["uid"] and int(metadata["resourceVersion"]) <= known.version:
            return  # kopf's own list tells again what the first list told, and validating is what costs
        manifest = _read_job(obj)
        if manifest is not None:
            self._put_job(manifest)

    def _put_job(self, manifest: TrainingJob) -> None:
        try:
            self._mirror.put_job(manifest)
        except ValueError as error:  # a status that somebody edited by hand
            key = JobKey(manifest.metadata.namespace, manifest.metadata.name)
            logger.error("unreadable TrainingJob", extra={"job": str(key), "error": str(error)})

    def pool(self, obj: dict[str, Any], gone: bool) -> None:
        """Take in an AcceleratorPool."""
        metadata = obj["metadata"]
        if gone:
            self._mirror.drop_pool(metadata["name"], metadata["uid"])
            return
        try:
            pool = read_pool(obj, self._catalogue)
        except ValidationError as error:
            logger.error("unreadable AcceleratorPool", extra={"pool": metadata["name"], "error": str(error)})
            return
        self._mirror.put_pool(pool)

    async def first_list(self) -> None:
        """Take in all that is there now. Raises ApiError."""
        pools = await list_all(self._client, ACCELERATOR_POOLS, project=lambda obj: obj)
        for obj in pools.items.values():
            self.pool(obj, False)
        # Read page by page, so that no list of bodies is ever in memory as a whole.
        jobs = await list_all(self._client, TRAINING_JOBS, project=_read_job)
        for manifest in jobs.items.values():
            self._put_job(manifest)

    async def audit(self) -> int:
        """Drop what is in the mirror and no longer there; the number of such ghosts. Raises ApiError."""
        jobs = {entry.key: entry.uid for entry in self._mirror.jobs.values()}
        pools = {m.facts.name: m.facts.uid for m in self._mirror.pools.members()}
        # Both were known before the lists are taken: what is made meanwhile cannot be mistaken for a ghost.
        live_jobs = set((await uids(self._client, TRAINING_JOBS)).values())
        live_pools = set((await uids(self._client, ACCELERATOR_POOLS)).values())
        ghosts = 0
        for key, uid in jobs.items():
            entry = self._mirror.jobs.get(key)
            if uid not in live_jobs and entry is not None and entry.uid == uid:
                self._mirror.drop_job(key, uid)
                ghosts += 1
        for name, uid in pools.items():
            known = self._mirror.pools.facts(name)
            if uid not in live_pools and known is not None and known.uid == uid:
                self._mirror.drop_pool(name, uid)
                ghosts += 1
        if ghosts:
            logger.warning("audit found objects that went without an event", extra={"ghosts": ghosts})
        self._mirror.ghosts += ghosts
        return ghosts

    async def run_audits(self, every: Callable[[], float]) -> None:
        """Audit until cancelled; the first soon after the start, while kopf's first list may have missed something.

        `every`: seconds until the next one, asked after each.
        """
        pause = min(10.0, every())
        while True:
            await asyncio.sleep(pause)
            pause = every()
            try:
                await self.audit()
            except ApiError as error:
                logger.warning("audit put off", extra={"error": str(error)})


class KopfThread:
    """kopf in its own thread and loop; `hand` is called in the loop that `start` was called in.

    kopf gives up when a watch is refused, or the API server stays away: it is started again then, and lists anew.
    """

    def __init__(self, connection: Connection, kinds: OwnKinds) -> None:
        self._connection = connection
        self._kinds = kinds
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._halt: Callable[[], object] = lambda: None
        self._thread = threading.Thread(target=self._run, name="kopf", daemon=True)
        self._error: BaseException | None = None
        self.restarts = 0
        self.events = {names.JOB_PLURAL: 0, names.POOL_PLURAL: 0}
        """Events by kind, those included with which kopf tells what it has listed. Written by its thread alone."""

    def start(self) -> None:
        """Begin to watch."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def stop(self) -> None:
        """Stop watching and wait for the thread."""
        self._stop.set()
        with self._lock:
            self._halt()
        await asyncio.to_thread(self._thread.join, 10.0)

    def wrong(self) -> list[str]:
        """What is wrong with it, for /healthz."""
        if self._thread.is_alive() or self._stop.is_set():
            return []
        return [f"the watch of Berth's own kinds has ended: {self._error!r}"]

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while not self._stop.is_set():
            started = time.monotonic()
            try:
                asyncio.run(self._operator())
            except Exception as error:  # noqa: BLE001  # kopf passes on whatever stopped one of its tasks
                self._error = error
                self.restarts += 1
                if time.monotonic() - started > LONGEST_PAUSE:
                    pause = FIRST_PAUSE
                logger.warning("kopf gave up and is started again", extra={"error": repr(error), "seconds": pause})
                self._stop.wait(pause)
                pause = min(LONGEST_PAUSE, 2 * pause)

    async def _operator(self) -> None:
        # An event of this loop: kopf would wait for one of the threads in a thread, and then could not end by itself.
        halted = asyncio.Event()
        loop = asyncio.get_running_loop()
        with self._lock:
            self._halt = partial(loop.call_soon_threadsafe, halted.set)
        try:
            if not self._stop.is_set():
                running = asyncio.create_task(
                    kopf.operator(
                        registry=self._registry(),
                        settings=_settings(),
                        standalone=True,
                        clusterwide=True,
                        stop_flag=halted,
                    )
                )
                await _ended(running)
        finally:
            with self._lock:
                self._halt = lambda: None

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()
        connection = self._connection

        @kopf.on.login(registry=registry)
        async def login(**_kwargs: Any) -> kopf.ConnectionInfo:
            scheme, _, token = (await connection.credentials.fresh() or "").partition(" ")
            return kopf.ConnectionInfo(
                server=connection.base_url,
                ca_path=connection.ca_file,
                insecure=not connection.verify,
                certificate_path=connection.cert_file,
                private_key_path=connection.key_file,
                scheme=scheme or None,
                token=token or None,
            )

        for plural, hand in ((names.JOB_PLURAL, self._kinds.job), (names.POOL_PLURAL, self._kinds.pool)):
            kopf.on.event(names.GROUP, names.VERSION, plural, registry=registry, id=plural)(self._handler(plural, hand))
        return registry

    def _handler(self, plural: str, hand: Hand) -> Callable[..., Any]:
        async def handle(event: Any, **_kwargs: Any) -> None:
            self.events[plural] += 1
            self._loop.call_soon_threadsafe(hand, event["object"], event["type"] == "DELETED")

        return handle


async def _ended(running: asyncio.Task[None]) -> None:
    """Wait for kopf to end, and pass on what it raises. RuntimeError if it comes to no end.

    When one watch fails, kopf stops the others and waits for them, and it may be for ever: one that has just lost its
    connection waits for a login that nobody answers any more. What gives up the watches is a task with a name.
    """
    watched = False
    while not running.done():
        await asyncio.wait([running], timeout=_LOOK)
        watching = any(task.get_name() == _WATCHES for task in asyncio.all_tasks())
        if watched and not watching:
            await asyncio.wait([running], timeout=_LAST_WORDS)
            break
        watched = watched or watching
    if not running.done():
        running.cancel()
        raise RuntimeError("a watch has failed, and the others come to no end")
    running.result()


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.peering.standalone = True
    # CRDs that come or go end a watch, and kopf is started again: it need not be allowed to watch CRDs for that.
    settings.scanning.disabled = True
    settings.persistence.progress_storage = _NoProgress()
    settings.persistence.diffbase_storage = _NoDiffBase()
    settings.queueing.batch_window = 0.01
    settings.networking.error_backoffs = (0.5, 1, 2, 3)
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 330
    return settings


class _NoProgress(kopf.ProgressStorage):
    """Keeps nothing: handlers of bare events have no progress, and no annotation is to be written for one."""

    def fetch(self, *, key: Any, body: kopf.Body) -> None:
        del key, body

    def store(self, *, key: Any, record: Any, body: kopf.Body, patch: kopf.Patch) -> None:
        del key, record, body, patch

    def purge(self, *, key: Any, body: kopf.Body, patch: kopf.Patch) -> None:
        del key, body, patch

    def touch(self, *, body: kopf.Body, patch: kopf.Patch, value: Any) -> None:
        del body, patch, value

    def clear(self, *, essence: Any) -> Any:
        return essence


class _NoDiffBase(kopf.DiffBaseStorage):
    """Keeps nothing: handlers of bare events need no last state, and no annotation is to be written for one."""

    def fetch(self, *, body: kopf.Body) -> None:
        del body

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: Any) -> None:
        del body, patch, essence


def _read_job(obj: dict[str, Any]) -> TrainingJob | None:
    """Read a TrainingJob; one that this version cannot read is told and left alone."""
    try:
        return read_job(obj)
    except (ValidationError, RecursionError) as error:
        key = JobKey(obj["metadata"]["namespace"], obj["metadata"]["name"])
        logger.error("unreadable TrainingJob", extra={"job": str(key), "error": str(error)})
        return None
