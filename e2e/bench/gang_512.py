"""`gang_512`: from the apply of a 512-pod gang to the moment when its last pod is bound, beside the bare writes.

1,024 simulated nodes under two spines of 512, so that the gang fills one of them. Several times: a plain writer
creates the 512 pods that Berth would create, on the same nodes, without Berth; and Berth gets the TrainingJob. The
order changes from one repetition to the next, so that neither always meets the warmer server.

What is timed is what the API server tells on watches: a pod counts as created with the first event about it, as bound
with the first event that passes `spec.nodeName!=`. Both kinds of run pay for the same watches.
"""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from berth.act.pods import Replicas
from berth.api import names
from berth.api.job import TrainingJob
from berth.kube.client import ApiClient
from berth.kube.config import Connection, load
from berth.kube.errors import Transient
from berth.kube.resources import ACCELERATOR_POOLS, PODS, TRAINING_JOBS, Resource
from berth.kube.stream import EventReader, WatchEvent
from e2e.bench.figures import Figure, bench
from e2e.ground import nodes
from e2e.ground.api import JsonObject
from e2e.ground.controlplane import ControlPlane
from e2e.ground.model import ClusterModel
from e2e.ground.progress import Progress
from e2e.running import OperatorProcess

GANG = 512
NODES = 1024
REPETITIONS = 5
CONNECTIONS = 64
GOALS = {"Scheduler": 3.0, "Direct": 2.0}
RATIO_GOAL = 1.3
NAMESPACE = "default"
_WAIT_S = 120.0
_POLL_S = 0.05
_QUIET_S = 1.0
_CRDS = Path(__file__).resolve().parents[2] / "crds"
_MODEL: JsonObject = {
    "pools": [
        {
            "name": "h800",
            "levels": [
                {"name": "spine", "label": "fabric.topograph.run/tier-1", "count": 2},
                {"name": "leaf", "label": "fabric.topograph.run/tier-0", "count": 16},
            ],
            "nodes": 32,
            "device": {"resource": "nvidia.com/gpu", "count": 8},
            "cpu": "192",
            "memory": "2Ti",
            "labels": {"nvidia.com/gpu.product": "NVIDIA-H800"},
        }
    ]
}


@dataclass(slots=True)
class Marks:
    """Moments of one run, in seconds of the monotonic clock; the times of pods in the order in which they were seen."""

    begun: float = 0.0
    admitted: float | None = None
    created: list[float] = field(default_factory=list)
    bound: list[float] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """From the beginning to the last pod bound."""
        return self.bound[-1] - self.begun

    def phases(self) -> dict[str, float]:
        """Seconds from the beginning to each step."""
        found = {
            "first_pod_created": self.created[0],
            "last_pod_created": self.created[-1],
            "last_pod_bound": self.bound[-1],
        }
        if self.admitted is not None:
            found = {"placement_recorded": self.admitted, **found}
        return {name: at - self.begun for name, at in found.items()}


@bench("gang_512")
async def gang_512(progress: Progress) -> Figure:
    """The gang bound by kube-scheduler."""
    return await _measure("gang_512", "Scheduler", progress)


@bench("gang_512_direct")
async def gang_512_direct(progress: Progress) -> Figure:
    """The gang bound by Berth itself."""
    return await _measure("gang_512_direct", "Direct", progress)


async def _measure(name: str, binding: str, progress: Progress) -> Figure:
    """Measure one binding on a control plane of its own; about two minutes on two idle cores."""
    progress.begin(name, f"{NODES} nodes on a new control plane")
    with ControlPlane() as plane:
        nodes.add(plane.api, ClusterModel.model_validate(_MODEL).manifests())
        plane.kubectl("apply", "--server-side", "-f", str(_CRDS))
        plane.kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", str(_CRDS))
        connection = await load(kubeconfig=str(plane.kubeconfig))
        async with ApiClient(connection, limit=CONNECTIONS) as client:
            await client.create(ACCELERATOR_POOLS, _pool())
            runs = _Runs(plane, connection, client, binding)
            await runs.all(progress)
    seconds = statistics.median(marks.seconds for marks in runs.with_berth)
    bare = statistics.median(marks.seconds for marks in runs.bare)
    progress.end(f"{seconds:.2f} s, bare writes {bare:.2f} s")
    return Figure(
        name=name,
        value=round(seconds, 2),
        unit="s",
        goal=f"at most {GOALS[binding]:g} s, and at most {RATIO_GOAL:g} times the bare writes",
        conditions={
            "what": "from the request that creates the TrainingJob to the event that tells of its last pod bound",
            "binding": binding,
            "pods": GANG,
            "nodes": NODES,
            "connections": CONNECTIONS,
            "repetitions": REPETITIONS,
            "times_bare_writes": round(seconds / bare, 2),
            "bare_writes_s": round(bare, 2),
            "each_s": [round(marks.seconds, 2) for marks in runs.with_berth],
            "each_bare_s": [round(marks.seconds, 2) for marks in runs.bare],
            "steps_s": _medians(runs.with_berth),
            "bare_steps_s": _medians(runs.bare),
        },
    )


class _Runs:
    """Repetitions with and without Berth."""

    def __init__(self, plane: ControlPlane, connection: Connection, client: ApiClient, binding: str) -> None:
        self.with_berth: list[Marks] = []
        self.bare: list[Marks] = []
        self._connection = connection
        self._client = client
        self._binding = binding
        self._operator = OperatorProcess(plane.kubeconfig, plane.directory)

    async def all(self, progress: Progress) -> None:
        """Run everything."""
        for number in range(REPETITIONS):
            kinds = [("with Berth", self._with_berth, self.with_berth), ("bare", self._bare, self.bare)]
            for who, run, kept in kinds if number % 2 else kinds[::-1]:
                kept.append(await run(number))
                progress.update(f"{number + 1} of {REPETITIONS}, {who}: {kept[-1].seconds:.2f} s")

    async def _with_berth(self, number: int) -> Marks:
        """Berth is running, has placed a gang before, and gets the job."""
        self._operator.start()
        try:
            await self._gang("warm-up", 1, Marks())
            return await self._gang(f"gang-{self._binding.lower()}-{number}", GANG, Marks())
        finally:
            self._operator.stop()

    async def _gang(self, name: str, replicas: int, marks: Marks) -> Marks:
        body = _job(name, replicas, self._binding)
        async with self._watching(marks):
            marks.begun = time.monotonic()
            await self._client.create(TRAINING_JOBS, body, namespace=NAMESPACE)
            await _until(lambda: len(marks.bound) >= replicas, f"{replicas} pods of {name} to be bound")
        await self._client.delete(TRAINING_JOBS, name, namespace=NAMESPACE, propagation="Background")
        await self._empty()
        return marks

    async def _bare(self, number: int) -> Marks:
        """The same pods by a plain writer whose connections are open already; Berth is not running."""
        marks, pods = Marks(), self._bodies(number)
        url = f"{self._connection.base_url}{PODS.path(namespace=NAMESPACE)}"
        headers = {"Accept": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"}
        async with (
            self._watching(marks),
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS, ssl=self._connection.tls or True), headers=headers
            ) as session,
        ):

            async def write(pod: JsonObject) -> None:
                async with session.post(url, json=pod) as answer:
                    answer.raise_for_status()
                    await answer.read()

            async def hello(_number: int) -> None:
                async with session.get(f"{self._connection.base_url}/version") as answer:
                    await answer.read()

            await asyncio.gather(*map(hello, range(CONNECTIONS)))
            marks.begun = time.monotonic()
            await asyncio.gather(*(write(pod) for pod in pods))
            await _until(lambda: len(marks.bound) >= GANG, f"{GANG} bare pods to be bound")
        # One by one: the API server works a collection off with a single worker.
        made = [pod["metadata"]["name"] for pod in pods]
        await asyncio.gather(*(self._client.delete(PODS, name, namespace=NAMESPACE, grace_seconds=0) for name in made))
        await self._empty()
        return marks

    def _bodies(self, number: int) -> list[JsonObject]:
        """What Berth would create on the nodes of the first spine, without what ties it to a TrainingJob."""
        manifest = _job(f"bare-{self._binding.lower()}-{number}", GANG, self._binding)
        identity = {"uid": "00000000-0000-0000-0000-000000000000", "resourceVersion": "1", "generation": 1}
        job = TrainingJob.model_validate({**manifest, "metadata": {**manifest["metadata"], **identity}})
        replicas = Replicas(job, 1, "nvidia.com/gpu")
        hosts = [str(node["metadata"]["name"]) for node in ClusterModel.model_validate(_MODEL).manifests()[:GANG]]
        pods = [replicas.pod(rank, host) for rank, host in enumerate(hosts)]
        for pod in pods:
            del pod["metadata"]["ownerReferences"]
            pod["metadata"]["labels"] = {
                "bare": "",
                names.LABEL_REPLICA: pod["metadata"]["labels"][names.LABEL_REPLICA],
            }
        return pods

    @asynccontextmanager
    async def _watching(self, marks: Marks) -> AsyncIterator[None]:
        """Note in `marks` when pods are created and bound, and when a placement is recorded."""

        def created(event: WatchEvent) -> None:
            if event.kind == "ADDED":
                marks.created.append(time.monotonic())

        def bound(event: WatchEvent) -> None:
            if event.kind == "ADDED":  # the first that passes the selector
                marks.bound.append(time.monotonic())

        def admitted(event: WatchEvent) -> None:
            if marks.admitted is None and (event.item.get("status") or {}).get("placement"):
                marks.admitted = time.monotonic()

        opened = [asyncio.Event() for _ in range(3)]
        tasks = [
            asyncio.create_task(self._watch(PODS, created, opened[0], metadata_only=True)),
            asyncio.create_task(self._watch(PODS, bound, opened[1], fields="spec.nodeName!=")),
            asyncio.create_task(self._watch(TRAINING_JOBS, admitted, opened[2])),
        ]
        await asyncio.gather(*(event.wait() for event in opened))
        try:
            yield
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(
        self,
        resource: Resource,
        note: Callable[[WatchEvent], None],
        opened: asyncio.Event,
        *,
        fields: str = "",
        metadata_only: bool = False,
    ) -> None:
        listed = await self._client.list(resource, namespace=NAMESPACE, limit=1, metadata_only=True)
        position = str(listed["metadata"]["resourceVersion"])
        # A server that is short of time hangs up on watchers that read too slowly; they go on where they were.
        while True:
            events = EventReader(position=position, told=f"watch {resource.plural}")
            watch = self._client.watch(
                resource,
                resource_version=position,
                seconds=600,
                stall=600,
                namespace=NAMESPACE,
                field_selector=fields,
                metadata_only=metadata_only,
            )
            try:
                async with watch as chunks:
                    opened.set()
                    async for chunk in chunks:
                        for event in events.feed(chunk):
                            note(event)
            except Transient:  # a kind that has just been installed is not there at once
                await asyncio.sleep(_POLL_S)
            position = events.position

    async def _empty(self) -> None:
        """Wait until no pod is left, and for a moment of quiet."""
        end = time.monotonic() + _WAIT_S
        while (await self._client.list(PODS, namespace=NAMESPACE, limit=1, metadata_only=True))["items"]:
            if time.monotonic() > end:
                raise TimeoutError(f"pods of the last run are still there after {_WAIT_S:g} s")
            await asyncio.sleep(4 * _POLL_S)
        await asyncio.sleep(_QUIET_S)


def _medians(runs: Sequence[Marks]) -> dict[str, float]:
    phases = [marks.phases() for marks in runs]
    return {name: round(statistics.median(each[name] for each in phases), 2) for name in phases[0]}


def _job(name: str, replicas: int, binding: str) -> JsonObject:
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.JOB_KIND,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "replicas": replicas,
            "devicesPerReplica": 8,
            "runtime": "Torchrun",
            "binding": binding,
            "template": {"spec": {"containers": [{"name": "trainer", "image": "registry.example/trainer:1"}]}},
        },
    }


def _pool() -> JsonObject:
    [pool] = _MODEL["pools"]
    return {
        "metadata": {"name": pool["name"]},
        "spec": {
            "profile": "nvidia-h800",
            "nodeSelector": {"matchLabels": pool["labels"]},
            "topology": [{"level": level["name"], "nodeLabels": [level["label"]]} for level in pool["levels"]],
        },
    }


async def _until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + _WAIT_S
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {_WAIT_S:g} s for {what}")
        await asyncio.sleep(_POLL_S)
