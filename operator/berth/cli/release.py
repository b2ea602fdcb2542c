"""`release`: let go of jobs and pods in a cluster from which Berth is gone.

What of Berth's could hold something back when nobody is there to take it away:

- finalizers of Berth's on jobs and pods. This version sets none; one before or after it may have.
- the PodDisruptionBudget of each gang, which refuses every eviction of its pods: nobody could drain their nodes.

Both are removed; jobs and pods stay, and run on. A cluster in which an operator leads is left alone, because it relies
on them.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from berth.api import names
from berth.cli.cluster import CommandError, listed, named
from berth.core.explain import count
from berth.kube.client import ApiClient
from berth.kube.errors import ApiError, Conflict, NotFound
from berth.kube.lease import LEASES
from berth.kube.listing import list_all
from berth.kube.resources import POD_DISRUPTION_BUDGETS, PODS, TRAINING_JOBS, Resource

JsonObject = dict[str, Any]

_TRIES = 5
_LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class Operators:
    """Where operators hold their Lease."""

    namespace: str
    lease: str


async def must_be_gone(client: ApiClient, where: Operators) -> None:
    """Raise CommandError if an operator leads. Clocks are not compared: the Lease is watched until a term is over."""
    try:
        lease = await client.get(LEASES, where.lease, namespace=where.namespace)
        spec = lease.get("spec") or {}
        if not spec.get("holderIdentity"):
            return
        version, left = lease["metadata"]["resourceVersion"], float(spec.get("leaseDurationSeconds") or 15)
        while left > 0:
            await asyncio.sleep(min(_LOOK_S, left))
            left -= _LOOK_S
            lease = await client.get(LEASES, where.lease, namespace=where.namespace)
            if lease["metadata"]["resourceVersion"] != version:
                break
        else:
            return
    except NotFound as error:
        text = f"there is no Lease {where.namespace}/{where.lease}, so whether an operator runs cannot be told"
        remedy = "name the one of its settings with --lease-namespace and --lease-name; if none runs, give --force"
        raise CommandError(f"{text}; {remedy}") from error
    except ApiError as error:
        raise CommandError(f"whether an operator runs cannot be told: {error}; if none does, give --force") from error
    holder = (lease.get("spec") or {}).get("holderIdentity")
    if holder:
        text = f"{holder} holds the Lease {where.namespace}/{where.lease} and renews it"
        raise CommandError(f"Berth runs: {text}; uninstall it or scale it down first, or give --force")


async def released(
    client: ApiClient, namespace: str | None, jobs: Sequence[str], *, dry_run: bool
) -> AsyncIterator[str]:
    """Let go of these jobs, or of all of a namespace (None: of all); yields a line for each thing done."""
    done = 0
    holding = 0
    for job in await _jobs(client, namespace, jobs):
        holding += _holds(job)
        async for line in _freed(client, TRAINING_JOBS, job, dry_run=dry_run):
            done += 1
            yield line
    mine = _of(jobs)
    for resource in (PODS, POD_DISRUPTION_BUDGETS):
        found = await list_all(
            client, resource, project=lambda item: item, namespace=namespace, label_selector=names.LABEL_JOB_UID
        )
        for _, item in sorted(found.items.items()):
            if not mine(item):
                continue
            async for line in _freed(client, resource, item, dry_run=dry_run):
                done += 1
                yield line
            if resource is POD_DISRUPTION_BUDGETS:
                done += 1
                yield await _deleted(client, item, dry_run=dry_run)
    if not done:
        yield "nothing of Berth's holds anything back: no finalizer, no PodDisruptionBudget"
    if holding:
        one = holding == 1
        yield (
            f"{count(holding, 'gang')} {'holds its' if one else 'hold their'} devices; the pods are left alone, and "
            f"kubectl delete tj takes {'its job' if one else 'their jobs'} away with them"
        )


async def _jobs(client: ApiClient, namespace: str | None, jobs: Sequence[str]) -> list[JsonObject]:
    if jobs:
        return [await named(client, TRAINING_JOBS, name, namespace) for name in jobs]
    return await listed(client, TRAINING_JOBS, namespace)


def _of(jobs: Sequence[str]) -> Callable[[JsonObject], bool]:
    """Whether something belongs to one of the jobs; to any, if none is named."""
    return lambda item: not jobs or (item["metadata"].get("labels") or {}).get(names.LABEL_JOB) in jobs


def _holds(job: JsonObject) -> bool:
    status = job.get("status") or {}
    return bool(status.get("placement")) and not status.get("finishedAt")


async def _freed(client: ApiClient, resource: Resource, item: JsonObject, *, dry_run: bool) -> AsyncIterator[str]:
    """Remove Berth's finalizers from one object."""
    name, namespace = item["metadata"]["name"], item["metadata"]["namespace"]
    for _ in range(_TRIES):
        metadata = item["metadata"]
        finalizers = metadata.get("finalizers") or []
        ours = [finalizer for finalizer in finalizers if finalizer.startswith(names.RESERVED_PREFIX)]
        if not ours:
            return
        rest = [finalizer for finalizer in finalizers if finalizer not in ours]
        patch = {"metadata": {"resourceVersion": metadata["resourceVersion"], "finalizers": rest}}
        try:
            await client.patch(resource, name, patch, namespace=namespace, dry_run=dry_run)
        except NotFound:
            return
        except Conflict:
            item = await client.get(resource, name, namespace=namespace)
            continue
        yield f"{resource.kind} {namespace}/{name}: {', '.join(ours)} removed{_trial(dry_run)}"
        return
    raise CommandError(f"{resource.kind} {namespace}/{name}: somebody changes it all the time; try again")


async def _deleted(client: ApiClient, item: JsonObject, *, dry_run: bool) -> str:
    metadata = item["metadata"]
    name, namespace, uid = metadata["name"], metadata["namespace"], metadata["uid"]
    try:
        await client.delete(POD_DISRUPTION_BUDGETS, name, namespace=namespace, uid=uid, dry_run=dry_run)
    except (NotFound, Conflict):
        return f"PodDisruptionBudget {namespace}/{name}: is gone already"
    return f"PodDisruptionBudget {namespace}/{name}: deleted{_trial(dry_run)}"


def _trial(dry_run: bool) -> str:
    return " (dry run)" if dry_run else ""
