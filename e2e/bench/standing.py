"""A large cluster in full swing: nodes, running gangs with their statuses, and their pods.

Everything is as Berth would have left it: placements found by Berth's own rule, statuses composed by its own code, pods
made by it, bound, and Running by status. So an operator that is started on it has everything to read and nothing to do.
No kubelet, scheduler or controller runs: nobody else touches what was written.

The first object of each kind goes the usual way through the API server, which fills in defaults and managed fields; the
others are copies of it under names and uids of their own, put into etcd. The API server reads JSON as well as its
binary form, and learns of what is put into etcd by its watch. By way of the API server the 50,000 writes would take two
idle cores two minutes.
"""

import base64
import json
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from berth.act.pods import Replicas
from berth.api import names
from berth.api.job import TrainingJob
from berth.cluster import project, records
from berth.core import explain
from berth.core.admission import Pool, find
from berth.core.model import Gang, Record
from berth.core.slots import Ledger
from berth.core.topology import Tree
from berth.kube.resources import ACCELERATOR_POOLS, NODES, PODS, TRAINING_JOBS
from e2e.ground import nodes
from e2e.ground.api import Api, JsonObject
from e2e.ground.controlplane import ControlPlane
from e2e.ground.progress import Progress
from e2e.ground.waiting import until

RESOURCE = "nvidia.com/gpu"
POOL = "h800"
LEVELS = {"spine": "fabric.topograph.run/tier-1", "leaf": "fabric.topograph.run/tier-0"}
LEAF, SPINE = 16, 256
"""Nodes under one leaf, and under one spine."""
REPLICAS, DEVICES = 8, 2
GANG = Gang(replicas=REPLICAS, devices=DEVICES)
TEAMS = tuple(f"team-{number}" for number in range(10))

_REGISTRY = {"nodes": "/registry/minions", "pods": "/registry/pods", "jobs": "/registry/berth.dev/trainingjobs"}
_PER_TRANSACTION = 100  # etcd takes 128 operations and 1.5 MB
_LISTED_S = 60.0


@dataclass(frozen=True, slots=True)
class Standing:
    """What was written: how many objects, how large each is as the API server lists it, and how long it took."""

    nodes: int
    jobs: int
    pods: int
    node_bytes: int
    job_bytes: int
    pod_bytes: int
    written_s: float


def write(plane: ControlPlane, *, node_count: int, job_count: int, progress: Progress) -> Standing:
    """Write the pool, its nodes, the jobs and their pods, and wait until the API server lists them."""
    began = time.monotonic()
    api, registry = plane.api, _Registry(plane, progress)
    for team in TEAMS:
        api.create("/api/v1/namespaces", {"metadata": {"name": team}})
        # The controller that makes it does not run, and no pod is taken without it.
        api.create(f"/api/v1/namespaces/{team}/serviceaccounts", {"metadata": {"name": "default"}})
    api.create(ACCELERATOR_POOLS.path(), _pool())
    first_node = api.create(NODES.path(), _node(0))
    all_nodes = [first_node, *(_copy(first_node, _node(number)) for number in range(1, node_count))]
    registry.put("nodes", all_nodes[1:])

    now = int(time.time())
    pool = _as_a_cycle_sees_it(all_nodes)
    first_job = api.create(TRAINING_JOBS.path(namespace=TEAMS[0]), _job(0))
    made = [first_job, *(_copy(first_job, _job(number)) for number in range(1, job_count))]
    # Placed one after the other, as cycles do.
    placed = [(job, _record(pool, job, now)) for job in made]
    first_job = _report(api, *placed[0], now)
    jobs = [first_job, *(_with_status(first_job, job, record, now) for job, record in placed[1:])]
    registry.put("jobs", jobs[1:])

    bodies = (pod for job, record in placed for pod in _pods(job, record))
    first_pod = _run(api, next(bodies))
    registry.put("pods", (_like_first(first_pod, body) for body in bodies))
    registry.wait({"nodes": node_count, "jobs": job_count, "pods": job_count * REPLICAS})
    return Standing(
        nodes=node_count,
        jobs=job_count,
        pods=job_count * REPLICAS,
        node_bytes=_size(first_node),
        job_bytes=_size(first_job),
        pod_bytes=_size(first_pod),
        written_s=time.monotonic() - began,
    )


class _Registry:
    """Where the API server keeps its objects."""

    def __init__(self, plane: ControlPlane, progress: Progress) -> None:
        self._api = plane.api
        self._etcd = plane.api.at(plane.layout.url("etcd"))
        self._progress = progress

    def put(self, what: str, objects: Iterable[JsonObject]) -> None:
        """Put objects beside the first of their kind."""
        done = 0
        for some in _batches(objects):
            puts = [{"requestPut": {"key": _base64(_key(what, obj)), "value": _base64(_stored(obj))}} for obj in some]
            self._etcd.create("/v3/kv/txn", {"success": puts})
            done += len(some)
            self._progress.update(f"{done} {what} written")

    def wait(self, counts: dict[str, int]) -> None:
        """Wait until the API server lists as many of each."""
        paths = {"nodes": NODES.path(), "jobs": TRAINING_JOBS.path(), "pods": PODS.path()}
        for what, count in counts.items():
            until(
                lambda what=what, count=count: self._listed(paths[what]) == count,  # type: ignore[misc]
                f"{count} {what} to be listed",
                timeout_s=_LISTED_S,
            )

    def _listed(self, path: str) -> int:
        answer = self._api.get(f"{path}?limit=1")
        return len(answer["items"]) + int(answer["metadata"].get("remainingItemCount", 0))


def _batches(objects: Iterable[JsonObject]) -> Iterator[list[JsonObject]]:
    some: list[JsonObject] = []
    for obj in objects:
        some.append(obj)
        if len(some) == _PER_TRANSACTION:
            yield some
            some = []
    if some:
        yield some


def _key(what: str, obj: JsonObject) -> str:
    metadata = obj["metadata"]
    return "/".join(part for part in (_REGISTRY[what], metadata.get("namespace"), metadata["name"]) if part)


def _stored(obj: JsonObject) -> str:
    """An object as it is stored: its resourceVersion is that of the write."""
    metadata = {key: value for key, value in obj["metadata"].items() if key != "resourceVersion"}
    return json.dumps({**obj, "metadata": metadata}, separators=(",", ":"))


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _copy(first: JsonObject, body: JsonObject) -> JsonObject:
    """The first object, under the name, namespace and labels of `body` and a uid of its own."""
    metadata = {**first["metadata"], **body["metadata"], "uid": str(uuid.uuid4())}
    return {**first, "metadata": metadata}


def _pool() -> JsonObject:
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.POOL_KIND,
        "metadata": {"name": POOL},
        "spec": {
            "profile": "nvidia-h800",
            "nodeSelector": {"matchLabels": {"nvidia.com/gpu.product": "NVIDIA-H800"}},
            "topology": [{"level": level, "nodeLabels": [label]} for level, label in LEVELS.items()],
        },
    }


def _node(number: int) -> JsonObject:
    """A node with labels, annotations and images as one of that kind has them."""
    body = nodes.manifest(
        f"h800-{number:04}",
        resources={RESOURCE: "8", "cpu": "192", "memory": "2Ti", "pods": "110", "ephemeral-storage": "3Ti"},
        labels={
            "nvidia.com/gpu.product": "NVIDIA-H800",
            "node.kubernetes.io/instance-type": "ecs.ebmgn7ex.32xlarge",
            LEVELS["spine"]: f"spine-{number // SPINE}",
            LEVELS["leaf"]: f"leaf-{number // LEAF}",
            **{f"feature.node.kubernetes.io/cpu-cpuid.{flag}": "true" for flag in ("AVX512F", "AMXBF16", "AMXINT8")},
        },
        annotations={"nfd.node.kubernetes.io/feature-labels": "cpu-cpuid.AVX512F," * 50},
    )
    body["status"]["images"] = [
        {"names": [f"registry.example/base/image-{n}@sha256:{n:064x}", f"registry.example/base/image-{n}:1"]}
        for n in range(12)
    ]
    return {"apiVersion": "v1", "kind": "Node", **body}


def _as_a_cycle_sees_it(made: Iterable[JsonObject]) -> Pool:
    found = []
    for body in made:
        labels = body["metadata"]["labels"]
        path = tuple(labels[label] for label in LEVELS.values())
        node = project.node({**body, "metadata": {**body["metadata"], "resourceVersion": "1"}}).node
        found.append(replace(node, path=path))
    tree, in_order = Tree.build(POOL, tuple(LEVELS), found)
    return Pool(POOL, RESOURCE, Ledger(tree, in_order))


def _job(number: int) -> JsonObject:
    container = {
        "name": "trainer",
        "image": "registry.example/trainer:1",
        "command": ["torchrun", "train.py"],
        "volumeMounts": [{"name": "shared-memory", "mountPath": "/dev/shm"}],  # noqa: S108  # in a container
    }
    volumes = [{"name": "shared-memory", "emptyDir": {"medium": "Memory"}}]
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.JOB_KIND,
        "metadata": {"name": f"train-{number:04}", "namespace": TEAMS[number % len(TEAMS)]},
        "spec": {
            "replicas": REPLICAS,
            "devicesPerReplica": DEVICES,
            "binding": "Direct",
            "template": {"spec": {"containers": [container], "volumes": volumes}},
        },
    }


def _record(pool: Pool, job: JsonObject, now: int) -> Record:
    berth = find(GANG, {pool.name: pool})
    assert berth is not None, f"no room for {job['metadata']['name']}: there are too many jobs for the nodes"
    berth.take()
    placement = replace(berth.placement(job["metadata"]["generation"], now), pods_created=True)
    return Record(attempt=1, placement=placement, started_at=now)


def _status(job: JsonObject, record: Record, now: int) -> JsonObject:
    report = explain.placed(GANG, record, REPLICAS)
    generation = job["metadata"]["generation"]
    return records.write(record, report, generation=generation, priority=0, before=None, now=now).wire()


def _report(api: Api, job: JsonObject, record: Record, now: int) -> JsonObject:
    metadata = job["metadata"]
    path = TRAINING_JOBS.path(namespace=metadata["namespace"], name=metadata["name"], subresource="status")
    return api.patch(path, {"status": _status(job, record, now)})


def _with_status(first: JsonObject, job: JsonObject, record: Record, now: int) -> JsonObject:
    managed = first["metadata"]["managedFields"]
    return {**job, "metadata": {**job["metadata"], "managedFields": managed}, "status": _status(job, record, now)}


def _pods(job: JsonObject, record: Record) -> list[JsonObject]:
    """What Berth creates for an attempt."""
    assert record.placement is not None, "placed above"
    wire = {**job, "metadata": {"resourceVersion": "1", **job["metadata"]}}
    replicas = Replicas(TrainingJob.model_validate(wire), record.attempt, RESOURCE)
    pods = [replicas.pod(rank, node) for rank, node in enumerate(record.placement.nodes)]
    for pod in pods:
        pod["metadata"]["namespace"] = job["metadata"]["namespace"]
    return pods


def _run(api: Api, body: JsonObject) -> JsonObject:
    """Create a pod and make it Running by status, as its kubelet would."""
    name, namespace = body["metadata"]["name"], body["metadata"]["namespace"]
    api.create(PODS.path(namespace=namespace), body)
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    kinds = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    container = body["spec"]["containers"][0]
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
        ],
    }
    return api.patch(PODS.path(namespace=namespace, name=name, subresource="status"), {"status": status})


def _like_first(first: JsonObject, body: JsonObject) -> JsonObject:
    """A pod as the API server would show it: what Berth says of it, over what the server made of the first one."""
    container = {**first["spec"]["containers"][0], "env": body["spec"]["containers"][0]["env"]}
    own = {key: body["spec"][key] for key in ("nodeName", "hostname", "subdomain")}
    return {**_copy(first, body), "spec": {**first["spec"], **own, "containers": [container]}}


def _size(obj: JsonObject) -> int:
    return len(json.dumps(obj, separators=(",", ":")))
