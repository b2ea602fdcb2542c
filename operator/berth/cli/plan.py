"""`plan -f job.yaml`: where a job would run if it were applied now, or why it would wait, and what would help.

The manifest is first given to the API server as a dry run, which judges it as it would judge `kubectl apply`. Then a
mirror of the cluster is filled, the job is put into it, and one cycle of the operator's own code decides. Nothing is
written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from berth.api import names
from berth.cli import explain as told
from berth.cli.cluster import CommandError
from berth.cli.filling import Filled, filled, put_job, suppose
from berth.cli.screen import Screen, labelled
from berth.cluster import records
from berth.cluster.sources import read_job
from berth.core.cycle import cycle
from berth.core.model import JobKey, Mode
from berth.core.plan import Decision, Verb
from berth.kube.client import ApiClient
from berth.kube.errors import AlreadyExists, BadRequest, Invalid
from berth.kube.resources import TRAINING_JOBS

JsonObject = dict[str, Any]

AS_WRITTEN = (
    "templates count as they are written, and the operator's settings as the usual ones; what LimitRanges, quotas, "
    "policies and webhooks make of a replica shows only when the job is applied"
)

_NEWEST = str(1 << 62)
"""A resourceVersion that no object has reached: what is planned replaces what is there."""


@dataclass(frozen=True, slots=True)
class Planned:
    """What would become of one job: `job` with the status that it would get. `holds`: it has its devices already."""

    job: JsonObject
    starts: bool
    holds: bool


def read(source: str, text: str, namespace: str | None) -> list[JsonObject]:
    """The TrainingJobs of a file, each with its namespace if it or `namespace` names one. Raises CommandError."""
    try:
        documents = [document for document in yaml.safe_load_all(text) if document is not None]
    except yaml.YAMLError as error:
        raise CommandError(f"{source}: is not YAML: {error}") from error
    items: list[Any] = []
    for document in documents:
        listed = isinstance(document, dict) and document.get("kind") == "List"
        items += (document.get("items") or []) if listed else [document]
    jobs = [_job(source, item, namespace) for item in items if _is_job(source, item)]
    if not jobs:
        raise CommandError(f"{source}: has no {names.JOB_KIND} ({names.API_VERSION}), and only such can be planned")
    return jobs


def _is_job(source: str, item: Any) -> bool:
    if not isinstance(item, dict):
        raise CommandError(
            f"{source}: {str(item)[:60]!r} is no object; write a manifest with apiVersion, kind and spec"
        )
    if item.get("kind") != names.JOB_KIND:
        return False
    if item.get("apiVersion") != names.API_VERSION:
        raise CommandError(f"{source}: apiVersion: {item.get('apiVersion')!r}: must be {names.API_VERSION}")
    return True


def _job(source: str, item: JsonObject, namespace: str | None) -> JsonObject:
    metadata = item.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        raise CommandError(f"{source}: metadata.name: is missing; give the job a name")
    own = metadata.get("namespace")
    if own and namespace and own != namespace:
        text = f"metadata.namespace: {own!r}: is not the namespace {namespace!r} of -n; leave one of the two out"
        raise CommandError(f"{source}: {metadata['name']}: {text}")
    return {**item, "metadata": {**metadata, "namespace": own or namespace}}


def text_of(file: str, stdin: str | None = None) -> str:
    """The text of a file. Raises CommandError."""
    if stdin is not None:
        return stdin
    try:
        return Path(file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is not text"
        raise CommandError(f"{file}: cannot be read: {why}") from error


async def planned(client: ApiClient, jobs: Sequence[JsonObject], now: int) -> tuple[list[Planned], list[str]]:
    """Plan these jobs together, as if they were applied now; with notes on what had to be left out.

    Raises CommandError, or an ApiError that says what is wrong with a manifest.
    """
    admitted = [await _tried(client, job) for job in jobs]
    found = await filled(client)
    for obj in admitted:
        try:
            put_job(found, read_job({**obj, "metadata": {**obj["metadata"], "resourceVersion": _NEWEST}}))
        except ValidationError as error:
            text = f"{told.name_of(obj)}: this version of berth cannot read it, though the API server takes it: {error}"
            raise CommandError(text) from error
    return decided(found, admitted, now), found.notes


def decided(found: Filled, jobs: Sequence[JsonObject], now: int) -> list[Planned]:
    """What a cycle would make of these jobs, which are in the mirror already."""
    suppose(found.mirror)
    snapshot = replace(found.mirror.snapshot(Mode.ACTIVE), touched=None)
    decisions = {decision.key: decision for decision in cycle(snapshot, now).decisions}
    return [_planned(found, job, decisions, now) for job in jobs]


async def _tried(client: ApiClient, job: JsonObject) -> JsonObject:
    """The job as the API server would store it: a new one, or the one that is there with another spec."""
    namespace = job["metadata"]["namespace"] or client.connection.namespace
    job = {**job, "metadata": {**job["metadata"], "namespace": namespace}}
    name = job["metadata"]["name"]
    try:
        try:
            return await client.create(TRAINING_JOBS, job, namespace=namespace, dry_run=True)
        except AlreadyExists:
            there = await client.get(TRAINING_JOBS, name, namespace=namespace)
            edited = {**there, "spec": job.get("spec")}
            return await client.update(TRAINING_JOBS, name, edited, namespace=namespace, dry_run=True)
    except (BadRequest, Invalid) as error:
        raise CommandError(f"{namespace}/{name}: the API server refuses it: {error.message}") from error


def _planned(found: Filled, obj: JsonObject, decisions: Mapping[JobKey, Decision], now: int) -> Planned:
    key = JobKey(obj["metadata"]["namespace"], obj["metadata"]["name"])
    entry = found.mirror.jobs[key]
    shown: JsonObject = {
        field: obj[field] for field in ("apiVersion", "kind", "metadata", "spec", "status") if field in obj
    }
    decision = decisions.get(key)
    if decision is None:
        return Planned(shown, starts=False, holds=entry.record.holds is not None)
    status = records.write(
        decision.record,
        decision.report,
        generation=entry.generation,
        priority=found.mirror.priority(entry),
        before=entry.manifest.status,
        now=now,
    )
    shown["status"] = status.wire()
    return Planned(shown, starts=decision.verb is Verb.ADMIT, holds=entry.record.holds is not None)


def lines(plan: Planned, now: int, screen: Screen) -> list[str]:
    """Lines about what would become of one job."""
    job, status = plan.job, plan.job.get("status") or {}
    pending, placement = status.get("pending") or {}, status.get("placement") or {}
    name, state = told.name_of(job), told.state_of(job)
    if plan.holds:
        head = f"{name} is placed already ({screen.state(state)})"
    elif plan.starts:
        head = f"{name} could start now"
    elif pending:
        head = f"{name} would wait: {pending.get('reason')}"
    else:
        head = f"{name} would be {screen.state(state)}"
    found = [("asks for", told.asks(job))]
    if pending:
        found += told.waits(pending, now)
    placed: JsonObject = next((c for c in status.get("conditions") or () if c.get("type") == "Placed"), {})
    if placement:
        found.append(("Placed", f"{placed.get('reason')}: {placed.get('message')}"))
        found += [(label, str(placement[label])) for label in ("nodes", "devices") if placement.get(label)]
    elif not pending and placed.get("message"):
        found.append(("Placed", f"{placed.get('reason')}: {placed.get('message')}"))
    return [head, *(line for label, text in found for line in labelled(label, text, screen.prose))]
