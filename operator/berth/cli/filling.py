"""A mirror of the cluster at one moment, filled by lists with the user's own rights: what `plan` and `tree` look at.

The same sources, the same projections and the same mirror as the operator's. Two things it has that a user has not: it
tries a replica of every job at the API server, and it knows its own settings. Here a replica counts as its template has
it, and settings are the usual ones.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from pydantic import ValidationError

from berth.accel.catalogue import Catalogue
from berth.act.probe import as_written
from berth.api import names
from berth.api.job import TrainingJob
from berth.api.job_status import PendingReason
from berth.cli.cluster import JsonObject, missing
from berth.cluster import sources
from berth.cluster.device_health import node_health
from berth.cluster.jobs import JobEntry
from berth.cluster.mirror import Key, Mirror
from berth.cluster.pools import PoolFacts
from berth.cluster.sources import Source
from berth.core.model import Hindrance, JobKey
from berth.core.plan import Reason
from berth.kube.client import ApiClient
from berth.kube.errors import ApiError, Forbidden
from berth.kube.listing import list_all
from berth.kube.resources import ACCELERATOR_POOLS, CONFIG_MAPS, TRAINING_JOBS

T = TypeVar("T")


@dataclass(slots=True)
class Filled:
    """The mirror, and what had to be left out of it."""

    mirror: Mirror = field(default_factory=Mirror)
    notes: list[str] = field(default_factory=list)


async def filled(client: ApiClient) -> Filled:
    """Fill a mirror. Raises CommandError naming every right that is missing, or ApiError."""
    found = Filled()
    catalogue = Catalogue.load()

    def pool(obj: JsonObject) -> PoolFacts | None:
        return _read(found, names.POOL_KIND, obj, lambda: sources.read_pool(obj, catalogue))

    def job(obj: JsonObject) -> TrainingJob | None:
        return _read(found, names.JOB_KIND, obj, lambda: sources.read_job(obj))

    nodes, own, foreign, classes, pools, jobs = await _all(
        client,
        sources.NODES,
        sources.OWN_PODS,
        sources.FOREIGN_PODS,
        sources.PRIORITY_CLASSES,
        Source(ACCELERATOR_POOLS, pool),
        Source(TRAINING_JOBS, job),
    )
    mirror = found.mirror
    mirror.set_priority_classes({name: value for (_, name), value in classes.items()})
    for put, items in (
        (mirror.put_node, nodes),
        (mirror.put_foreign_pod, foreign),
        (mirror.put_own_pod, own),
    ):
        for key, value in items.items():
            put(key, value)
    for facts in pools.values():
        mirror.put_pool(facts)
    for manifest in jobs.values():
        put_job(found, manifest)
    await _health(client, found)
    return found


def put_job(found: Filled, manifest: TrainingJob) -> None:
    """Take in a job; one whose status cannot be read is told and left out."""
    try:
        found.mirror.put_job(manifest)
    except ValueError as error:
        key = JobKey(manifest.metadata.namespace, manifest.metadata.name)
        found.notes.append(f"TrainingJob {key} is left out, its status cannot be read: {error}")


def suppose(mirror: Mirror) -> None:
    """Have every job that waits counted with replicas as their templates have them."""
    for entry in list(mirror.unprobed()):
        replica = as_written(entry, mirror.landings(entry))
        refused = _refused(entry)
        mirror.set_replica(entry.uid, replace(replica, hindrance=refused) if refused else replica)


def _refused(entry: JobEntry) -> Hindrance | None:
    """That the API server refuses a replica of the job, as the operator has found out and told."""
    status = entry.manifest.status
    if status is None or status.pending is None or status.observed_generation != entry.generation:
        return None
    if status.pending.reason != PendingReason.TEMPLATE_REFUSED:
        return None
    return Hindrance(Reason.TEMPLATE_REFUSED, status.pending.message)


async def _all(client: ApiClient, *wanted: Source[Any]) -> list[dict[Key, Any]]:
    """Everything at once; what must not be read is told as a whole."""
    answers = await asyncio.gather(*(_list(client, source) for source in wanted), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, Forbidden)]
    if refused:
        raise missing(refused)
    found = []
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
        found.append(answer)
    return found


async def _list(client: ApiClient, source: Source[T]) -> dict[Key, T]:
    listing = await list_all(
        client,
        source.resource,
        project=source.project,
        label_selector=source.label_selector,
        field_selector=source.field_selector,
    )
    return listing.items


async def _health(client: ApiClient, found: Filled) -> None:
    """What the makes' own tools say of devices: an extra, as for the operator, so what cannot be read is told."""
    by_id = (pool for pool in found.mirror.pools.usable() if pool.layout is not None)
    for words in {pool.hand_over.health for pool in by_id if pool.hand_over.health is not None}:
        try:
            listing = await list_all(
                client, CONFIG_MAPS, project=partial(node_health, words), namespace=words.namespace
            )
        except ApiError as error:
            found.notes.append(f"the health of devices is not counted, ConfigMaps of it cannot be read: {error}")
            continue
        for key, told in listing.items.items():
            found.mirror.put_health(key, told)


def _read(found: Filled, kind: str, obj: JsonObject, read: Callable[[], T]) -> T | None:
    try:
        return read()
    except (ValidationError, RecursionError) as error:
        metadata = obj["metadata"]
        where = "/".join(part for part in (metadata.get("namespace"), metadata["name"]) if part)
        found.notes.append(f"{kind} {where} is left out, this version of berth cannot read it: {error}")
        return None
