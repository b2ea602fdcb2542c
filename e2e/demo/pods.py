"""The pods as a second witness: what the API server holds, not what the statuses say.

While the demo runs, samples: the devices that living pods ask for, added up by node. And every gang once, when it has
ended: it has all of its pods, each on the node that the status told for its rank. Then its pods are removed: thousands
of finished ones slow a simulated cluster more than they tell.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from berth.api import names
from berth.kube.client import ApiClient
from berth.kube.listing import list_all
from berth.kube.resources import PODS
from e2e.demo.board import Seen
from e2e.demo.stage import NAMESPACE

_LIVING = "status.phase!=Succeeded,status.phase!=Failed"


@dataclass(frozen=True, slots=True)
class Member:
    """A pod of a gang: where it is, or must go, and how many devices it asks for."""

    gang: str
    attempt: int
    rank: int
    node: str
    devices: int
    phase: str


async def living(client: ApiClient, resource: str) -> list[Member]:
    """The pods of all gangs that have not ended, at one moment. `resource` is what a device is called."""
    return await _members(client, resource, names.LABEL_JOB, _LIVING)


async def of_gang(client: ApiClient, resource: str, gang: str) -> list[Member]:
    """All pods of one gang."""
    return await _members(client, resource, _of(gang))


async def remove(client: ApiClient, gang: str) -> None:
    """Remove the pods of a gang that has ended."""
    await client.delete_collection(PODS, namespace=NAMESPACE, label_selector=_of(gang), grace_seconds=0)


def _of(gang: str) -> str:
    return f"{names.LABEL_JOB}={gang}"


async def _members(client: ApiClient, resource: str, labels: str, fields: str = "") -> list[Member]:
    listing = await list_all(
        client,
        PODS,
        project=lambda pod: _member(pod, resource),
        namespace=NAMESPACE,
        label_selector=labels,
        field_selector=fields,
    )
    return list(listing.items.values())


def overfull(found: Iterable[Member], has: int) -> list[str]:
    """Nodes whose living pods ask for more devices than the `has` that a node has, a sentence each."""
    asked: Counter[str] = Counter()
    for member in found:
        asked[member.node] += member.devices
    return [f"{node}: its pods ask for {n} devices, it has {has}" for node, n in sorted(asked.items()) if n > has]


def broken(found: Iterable[Member], jobs: Mapping[str, Seen]) -> list[str]:
    """Gangs that are not whole, or not where their status says, a sentence each; those not placed are left out."""
    placed: dict[str, dict[int, Member]] = {}
    for member in found:
        job = jobs.get(member.gang)
        if job is not None and member.attempt == job.attempt:
            placed.setdefault(member.gang, {})[member.rank] = member
    wrong = []
    for name, job in sorted(jobs.items()):
        if not job.nodes:
            continue
        ranks = placed.get(name, {})
        if set(ranks) != set(range(job.replicas)):
            wrong.append(f"{name}: {len(ranks)} of {job.replicas} pods are there")
        elsewhere = [member for rank, member in sorted(ranks.items()) if member.node != job.nodes[rank]]
        if elsewhere:
            first = elsewhere[0]
            told = f"rank {first.rank} is on {first.node}, the status says {job.nodes[first.rank]}"
            wrong.append(f"{name}: {len(elsewhere)} pods are elsewhere: {told}")
    return wrong


def _member(pod: dict[str, Any], resource: str) -> Member | None:
    labels, spec = pod["metadata"]["labels"], pod["spec"]
    limits = [container.get("resources", {}).get("limits", {}) for container in spec["containers"]]
    return Member(
        gang=labels[names.LABEL_JOB],
        attempt=int(labels[names.LABEL_ATTEMPT]),
        rank=int(labels[names.LABEL_REPLICA]),
        node=spec.get("nodeName") or _wanted(spec),
        devices=sum(int(limit.get(resource, 0)) for limit in limits),
        phase=pod["status"]["phase"],
    )


def _wanted(spec: dict[str, Any]) -> str:
    """The node that an unbound pod is tied to."""
    required = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    return str(required["nodeSelectorTerms"][0]["matchFields"][0]["values"][0])
