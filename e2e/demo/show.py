"""The demo while it runs: tasks that submit, watch, sample the pods, look at ended gangs, draw; until all have ended.

All of them share one event loop, so the board changes only between two of their steps.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

from rich.console import Console
from rich.live import Live

from berth.kube.client import ApiClient
from berth.kube.config import load
from berth.kube.errors import AlreadyExists, ApiError
from berth.kube.reflector import Reflector
from berth.kube.resources import TRAINING_JOBS
from berth.kube.retries import retrying
from e2e.demo import pods
from e2e.demo.board import Board, project
from e2e.demo.stage import NAMESPACE, Stage
from e2e.demo.view import View, counters, elapsed, why
from e2e.demo.workload import Gang, Workload
from e2e.ground.api import JsonObject
from e2e.ground.stages import RUN_SECONDS

P = ParamSpec("P")
T = TypeVar("T")

CONNECTIONS = 16
PATIENCE_S = 60.0
DRAW_S = 0.4
LINE_S = 5.0
SAMPLE_S = 10.0
STALL_S = 90.0
"""When nothing has changed for so long though gangs are left, the demo has failed."""


class StalledError(RuntimeError):
    """Nothing moves any more; the message says which gangs are left, and why."""


@dataclass(slots=True)
class Show:
    """One performance. What was seen stays readable after `run`, however that ended."""

    stage: Stage
    workload: Workload
    board: Board = field(init=False)
    looked_at: set[str] = field(default_factory=set)
    """Gangs that have ended and whose pods were compared with their status."""
    most_devices: int = 0
    seconds: float = 0.0
    """From the first submission to the last change."""

    def __post_init__(self) -> None:
        self.board = Board(self.stage.fabric)

    async def run(self, console: Console, *, live: bool) -> None:
        """Submit everything, follow it to its end, and look at the pods of each gang as it ends.

        Raises StalledError, ApiError when a submission is refused, ChildError when a program has died.
        """
        connection = await load(kubeconfig=str(self.stage.plane.kubeconfig))
        async with ApiClient(connection, limit=CONNECTIONS, user_agent="berth-demo") as client:
            watch = Reflector(client, TRAINING_JOBS, project=project, sink=self.board, namespace=NAMESPACE)
            draw = self._live(console) if live else self._lines(console)
            async with _beside(watch.run(), self._sample(client), self._look(client), draw) as failed:
                await watch.synced.wait()
                self.board.started = self.board.changed = self.board.clock()
                submitting = asyncio.create_task(self._submit(client))
                try:
                    await self._until_done(submitting, failed)
                finally:
                    submitting.cancel()
                    self.seconds = self.board.changed - self.board.started
            await self._look_at_ended(client)

    @property
    def done(self) -> bool:
        """Whether every gang of the workload has ended."""
        return self.board.count("finished") == len(self.workload.gangs)

    @property
    def _resource(self) -> str:
        return self.stage.fabric.pool.device.resource

    async def _submit(self, client: ApiClient) -> None:
        """Submit each gang at its time; one that is late because the API server is slow delays none after it."""
        async with asyncio.TaskGroup() as group:
            for gang in self.workload.gangs:
                await asyncio.sleep(max(0.0, self.board.started + gang.at - self.board.clock()))
                self.board.submitted(gang)
                group.create_task(_create(client, gang))

    async def _until_done(self, submitting: "asyncio.Task[None]", failed: "asyncio.Future[None]") -> None:
        while not self.done:
            self.stage.plane.check()
            self.stage.operator.check()
            if failed.done():
                failed.result()
            if submitting.done():
                submitting.result()
            if self.board.clock() - self.board.changed > STALL_S:
                raise StalledError(self._left())
            await asyncio.sleep(DRAW_S)

    def _left(self) -> str:
        left = [seen for seen in self.board.jobs.values() if not seen.finished]
        told = "; ".join(f"{seen.name} is {seen.state}: {why(seen)}" for seen in left[:3])
        return f"nothing has changed for {STALL_S:.0f} s, and {len(left)} gangs have not ended: {told}"

    async def _sample(self, client: ApiClient) -> None:
        has = self.stage.fabric.pool.device.count
        while True:
            await asyncio.sleep(SAMPLE_S)
            try:
                found = await pods.living(client, self._resource)
            except ApiError as error:
                self.board.missed.append(str(error))
                continue
            self.board.samples += 1
            self.board.wrong += pods.overfull(found, has)

    async def _look(self, client: ApiClient) -> None:
        while True:
            await asyncio.sleep(DRAW_S)
            await self._look_at_ended(client)

    async def _look_at_ended(self, client: ApiClient) -> None:
        for name in [name for name, seen in self.board.jobs.items() if seen.finished and name not in self.looked_at]:
            found = await _patiently(pods.of_gang, client, self._resource, name)
            self.looked_at.add(name)
            self.board.wrong += pods.broken(found, {name: self.board.jobs[name]})
            await _patiently(pods.remove, client, name)

    async def _live(self, console: Console) -> None:
        view = View(self.board, len(self.workload.gangs), self.workload.rule)
        colour = console.color_system is not None and not console.no_color
        with Live(console=console, screen=True, auto_refresh=False) as screen:
            while True:
                width, height = console.size
                screen.update(view.draw(width, height, colour=colour), refresh=True)
                self._note()
                await asyncio.sleep(DRAW_S)

    async def _lines(self, console: Console) -> None:
        while True:
            await asyncio.sleep(LINE_S)
            self._note()
            board, total = self.board, len(self.workload.gangs)
            held = f"{board.devices_held() / board.fabric.devices:.0%} of the devices held"
            console.print(f"{elapsed(board.clock() - board.started)}  {counters(board, total)}  {held}", markup=False)
            for seen in board.waiting()[:1]:
                console.print(f"      first in the queue: {seen.name}: {why(seen)}", markup=False)

    def _note(self) -> None:
        self.most_devices = max(self.most_devices, self.board.devices_held())


def manifest(gang: Gang) -> JsonObject:
    """The TrainingJob of a gang; its simulated replicas end by themselves after the gang's run time.

    Its owner allows for twice that and five minutes, because a busy machine is slow to start and end pods.
    """
    spec: JsonObject = {
        "replicas": gang.replicas,
        "devicesPerReplica": gang.devices,
        "maxDuration": f"{math.ceil(2 * gang.run_s) + 300}s",
        "template": {
            "metadata": {"annotations": {RUN_SECONDS: str(gang.run_s)}},
            "spec": {
                "automountServiceAccountToken": False,
                "enableServiceLinks": False,
                "containers": [{"name": "trainer", "image": "registry.example/kalos:1"}],
            },
        },
    }
    if gang.level is not None:
        spec["topology"] = {"level": gang.level, "policy": "Required"}
    return {"metadata": {"name": gang.name, "namespace": NAMESPACE}, "spec": spec}


async def _create(client: ApiClient, gang: Gang) -> None:
    with contextlib.suppress(AlreadyExists):  # an earlier try was heard, its answer was not
        await _patiently(client.create, TRAINING_JOBS, manifest(gang), namespace=NAMESPACE, metadata_only=True)


async def _patiently(call: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Try again what a busy API server puts off."""
    return await retrying(deadline=time.monotonic() + PATIENCE_S)(call, *args, **kwargs)


@contextlib.asynccontextmanager
async def _beside(*work: Coroutine[Any, Any, None]) -> AsyncIterator["asyncio.Future[None]"]:
    """Run endless work beside the body; the future yielded fails with the first that fails."""
    tasks = [asyncio.create_task(w) for w in work]
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    for task in tasks:
        task.add_done_callback(_reporting(failed))
    try:
        yield failed
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _reporting(failed: "asyncio.Future[None]") -> Callable[["asyncio.Task[None]"], None]:
    def note(task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and not failed.done():
            error = task.exception()
            failed.set_exception(error or RuntimeError("a task that never ends has ended"))

    return note
