"""What an attempt has besides its pods: the Service by which they find each other, and the budget that protects them.

Both belong to rank 0's pod and not to the job: so the garbage collector takes them away with the attempt, even if the
operator died between the end of the attempt and the deletion. They are made right after that pod and before the others:
as long as a rank is missing they are made sure of again. An object of the same name that is not the job's refuses the
attempt: a gang that does not find rank 0, or could be picked off pod by pod, does not start. It is never deleted.

The pods of a job that has succeeded stay, with their logs; nobody has to find or to protect them any more, and
Kubernetes would go on counting them for the budget.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from berth.act.pods import budget, service, service_name
from berth.act.templates import TemplateError
from berth.api.job import TrainingJob
from berth.api.names import LABEL_JOB_UID
from berth.cluster.jobs import JobEntry
from berth.kube.client import ApiClient, JsonObject
from berth.kube.errors import AlreadyExists, Conflict, NotFound
from berth.kube.resources import POD_DISRUPTION_BUDGETS, SERVICES, Resource

Retrying = Callable[..., Awaitable[Any]]


class Belongings:
    """Makes and removes them; `retrying(call, ...)` calls the client for as long as an answer may come."""

    def __init__(self, client: ApiClient, retrying: Retrying) -> None:
        self._client = client
        self._retrying = retrying

    async def create(self, entry: JobEntry, job: TrainingJob, attempt: int, anchor: str) -> None:
        """Make what is not there yet; `anchor` is the uid of rank 0's pod.

        Raises TemplateError if somebody else's is in the way, or an ApiError.
        """
        await self._create(entry, POD_DISRUPTION_BUDGETS, budget(job, attempt, anchor))
        if job.spec.replicas > 1:
            await self._create(entry, SERVICES, service(job, attempt, anchor))

    async def delete(self, entry: JobEntry, job: TrainingJob, attempt: int) -> None:
        """Remove what is there and the job's. Raises an ApiError."""
        name = service_name(entry.key.name, attempt)
        await self._delete(entry, POD_DISRUPTION_BUDGETS, name)
        if job.spec.replicas > 1:
            await self._delete(entry, SERVICES, name)

    async def _create(self, entry: JobEntry, resource: Resource, body: JsonObject) -> None:
        namespace = entry.key.namespace
        try:
            await self._retrying(self._client.create, resource, body, namespace=namespace, metadata_only=True)
        except AlreadyExists:
            name = body["metadata"]["name"]
            there = await self._retrying(self._client.get, resource, name, namespace=namespace)
            if not _of_job(there, entry):
                what = f"a {resource.kind} {name} is there already and is not this job's"
                raise TemplateError(f"{what}; delete it, or rename the job") from None
            owners = body["metadata"]["ownerReferences"]
            if there["metadata"].get("ownerReferences") != owners:  # of a rank 0 that has gone and was made anew
                patch = {"metadata": {"uid": there["metadata"]["uid"], "ownerReferences": owners}}
                await self._retrying(self._client.patch, resource, name, patch, namespace=namespace)

    async def _delete(self, entry: JobEntry, resource: Resource, name: str) -> None:
        namespace = entry.key.namespace
        try:
            there = await self._retrying(self._client.get, resource, name, namespace=namespace, metadata_only=True)
            if _of_job(there, entry):
                uid = there["metadata"]["uid"]
                await self._retrying(self._client.delete, resource, name, namespace=namespace, uid=uid)
        except (NotFound, Conflict):
            return  # gone, or gone and made anew by somebody


def _of_job(obj: JsonObject, entry: JobEntry) -> bool:
    """Whether an object that was found under one of the job's names is the job's."""
    return bool((obj["metadata"].get("labels") or {}).get(LABEL_JOB_UID) == entry.uid)
