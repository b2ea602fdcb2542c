"""A large cluster in full swing, written straight to an API server: nodes, running gangs with their statuses, pods.

Everything is as Berth would have left it: placements found by Berth's own rule, statuses composed by its own code, pods
made by it, bound, and Running by status. So an operator that is started on it has everything to read and nothing to do.
No kubelet, scheduler or controller runs: nobody else touches what was written.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

from berth.act.pods import Replicas
from berth.api.job import TrainingJob
from berth.cluster import project, records
from berth.core import explain
from berth.core.admission import Pool, find
from berth.core.model import Gang, Record
from berth.core.slots import Ledger
from berth.core.topology import Tree
from berth.kube.client import ApiClient
from berth.kube.resources import ACCELERATOR_POOLS, NAMESPACES, NODES, PODS, TRAINING_JOBS, Resource
from e2e.ground import nodes
from e2e.ground.api import JsonObject
from e2e.ground.progress import Progress

T = TypeVar("T")
R = TypeVar("R")

RESOURCE = "nvidia.com/gpu"
POOL = "h800"
LEVELS = {"spine": "fabric.topograph.run/tier-1", "leaf": "fabric.topograph.run/tier-0"}
LEAF, SPINE = 16, 256
"""Nodes under one leaf, and under one spine."""
REPLICAS, DEVICES = 8, 2
TEAMS = tuple(f"team-{number}" for number in range(10))
CONNECTIONS = 64

_LABELS = {"nvidia.com/gpu.product": "NVIDIA-H800", "node.kubernetes.io/instance-type": "ecs.ebmgn7ex.32xlarge"}
_SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount")
_ANNOTATION = "x" * 1100
"""Stands for what tools leave on objects."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What was written: how many objects, how large they are as the API server lists them, and how long it took."""

    nodes: int
    jobs: int
    pods: int
    node_bytes: int
    job_bytes: int
    pod_bytes: int
    seconds: float


async def write(client: ApiClient, *, node_count: int, job_count: int, progress: Progress) -> Standing:
    """Write the pool, its nodes, the jobs and their pods; `client` should allow `CONNECTIONS` requests at a time."""
    began = time.monotonic()
    for team in TEAMS:
        await client.create(NAMESPACES, {"metadata": {"name": team}})
        # The controller that makes it does not run, and no pod is taken without it.
        await client.create(_SERVICE_ACCOUNTS, {"metadata": {"name": "default"}}, namespace=team)
    await client.create(ACCELERATOR_POOLS, _pool())
    manifests = [_node(number) for number in range(node_count)]
    made_nodes = await _each(lambda body: client.create(NODES, body), manifests, "nodes", progress)
    pool = _as_a_cycle_sees_it(made_nodes)
    now = int(time.time())
    jobs = await _each(lambda number: _job(client, number), range(job_count), "jobs", progress)
    # Placed one after the other, as cycles do; written all at once.
    placed = [(job, _record(pool, job, now)) for job in jobs]
    written = await _each(lambda pair: _status(client, *pair, now), placed, "statuses of jobs", progress)
    pods = [pod for job, record in placed for pod in _pods(job, record)]
    pod_sizes = await _each(lambda body: _running(client, body), pods, "pods", progress)
    return Standing(
        nodes=len(made_nodes),
        jobs=len(written),
        pods=len(pod_sizes),
        node_bytes=_size(made_nodes[0]),
        job_bytes=_size(written[0]),
        pod_bytes=pod_sizes[0],
        seconds=time.monotonic() - began,
    )


async def _each(work: Callable[[T], Awaitable[R]], items: Iterable[T], what: str, progress: Progress) -> list[R]:
    """Results of `work` for every item, in order, as many at a time as there are connections."""
    waiting = list(enumerate(items))
    total = len(waiting)
    waiting.reverse()
    found: dict[int, R] = {}

    async def worker() -> None:
        while waiting:
            number, item = waiting.pop()
            found[number] = await work(item)
            progress.update(f"{len(found)} of {total} {what}")

    await asyncio.gather(*(worker() for _ in range(CONNECTIONS)))
    return [found[number] for number in range(total)]


def _pool() -> JsonObject:
    return {
        "metadata": {"name": POOL},
        "spec": {
            "profile": "nvidia-h800",
            "nodeSelector": {"matchLabels": {"nvidia.com/gpu.product": "NVIDIA-H800"}},
            "topology": [{"level": level, "nodeLabels": [label]} for level, label in LEVELS.items()],
        },
    }


def _node(number: int) -> JsonObject:
    """A node with the labels, annotations and images that one of that kind has."""
    body = nodes.manifest(
        f"h800-{number:04}",
        resources={RESOURCE: "8", "cpu": "192", "memory": "2Ti", "pods": "110", "ephemeral-storage": "3Ti"},
        labels={
            **_LABELS,
            LEVELS["spine"]: f"spine-{number // SPINE}",
            LEVELS["leaf"]: f"leaf-{number // LEAF}",
            **{f"feature.node.kubernetes.io/cpu-cpuid.{flag}": "true" for flag in ("AVX512F", "AMXBF16", "AMXINT8")},
        },
        annotations={"nfd.node.kubernetes.io/feature-labels": _ANNOTATION},
    )
    body["status"]["images"] = [
        {"names": [f"registry.example/base/image-{n}@sha256:{n:064x}", f"registry.example/base/image-{n}:1"]}
        for n in range(12)
    ]
    return body


def _as_a_cycle_sees_it(made: Iterable[JsonObject]) -> Pool:
    ordered = []
    for body in made:
        labels = body["metadata"]["labels"]
        path = tuple(labels[label] for label in LEVELS.values())
        ordered.append(replace(project.node(body).node, path=path))
    tree, in_order = Tree.build(POOL, tuple(LEVELS), ordered)
    return Pool(POOL, RESOURCE, Ledger(tree, in_order))


async def _job(client: ApiClient, number: int) -> JsonObject:
    container = {
        "name": "trainer",
        "image": "registry.example/trainer:1",
        "command": ["torchrun", "train.py"],
        "env": [{"name": f"NCCL_SETTING_{n}", "value": f"value-{n}"} for n in range(10)],
        "volumeMounts": [{"name": "shared-memory", "mountPath": "/dev/shm"}, {"name": "data", "mountPath": "/data"}],  # noqa: S108
    }
    volumes = [
        {"name": "shared-memory", "emptyDir": {"medium": "Memory"}},
        {"name": "data", "hostPath": {"path": "/mnt/data"}},
    ]
    body = {
        "metadata": {"name": f"train-{number:04}"},
        "spec": {
            "replicas": REPLICAS,
            "devicesPerReplica": DEVICES,
            "runtime": "Torchrun",
            "binding": "Direct",
            "template": {
                "metadata": {"annotations": {"team.example/run": _ANNOTATION[:600]}},
                "spec": {"containers": [container], "volumes": volumes},
            },
        },
    }
    return await client.create(TRAINING_JOBS, body, namespace=TEAMS[number % len(TEAMS)])


def _record(pool: Pool, job: JsonObject, now: int) -> Record:
    gang = Gang(replicas=REPLICAS, devices=DEVICES)
    berth = find(gang, {pool.name: pool})
    assert berth is not None, f"no room for {job['metadata']['name']}: there are too many jobs for the nodes"
    berth.take()
    placement = replace(berth.placement(job["metadata"]["generation"], now), pods_created=True)
    return Record(attempt=1, placement=placement, started_at=now)


async def _status(client: ApiClient, job: JsonObject, record: Record, now: int) -> JsonObject:
    report = explain.placed(Gang(replicas=REPLICAS, devices=DEVICES), record, REPLICAS)
    metadata = job["metadata"]
    status = records.write(record, report, generation=metadata["generation"], priority=0, before=None, now=now)
    return await client.apply(
        TRAINING_JOBS,
        metadata["name"],
        {"metadata": {"uid": metadata["uid"]}, "status": status.wire()},
        namespace=metadata["namespace"],
        subresource="status",
    )


def _pods(job: JsonObject, record: Record) -> list[JsonObject]:
    """What Berth creates for an attempt."""
    assert record.placement is not None, "placed above"
    replicas = Replicas(TrainingJob.model_validate(job), record.attempt, RESOURCE)
    pods = [replicas.pod(rank, node) for rank, node in enumerate(record.placement.nodes)]
    for pod in pods:
        pod["metadata"]["namespace"] = job["metadata"]["namespace"]
    return pods


async def _running(client: ApiClient, body: JsonObject) -> int:
    """Create a pod and make it Running by status, as its kubelet would; its size, as 20,000 bodies are not kept."""
    name, namespace = body["metadata"]["name"], body["metadata"]["namespace"]
    await client.create(PODS, body, namespace=namespace, metadata_only=True)
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    kinds = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    status = {
        "phase": "Running",
        "startTime": at,
        "hostIP": "10.0.0.1",
        "podIP": "10.128.0.2",
        "conditions": [{"type": kind, "status": "True", "lastTransitionTime": at} for kind in kinds],
        "containerStatuses": [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": f"registry.example/trainer@sha256:{0:064x}",
                "containerID": f"containerd://{0:064x}",
                "ready": True,
                "restartCount": 0,
                "started": True,
                "state": {"running": {"startedAt": at}},
            }
            for container in body["spec"]["containers"]
        ],
    }
    return _size(await client.patch(PODS, name, {"status": status}, namespace=namespace, subresource="status"))


def _size(obj: JsonObject) -> int:
    return len(json.dumps(obj, separators=(",", ":")))
