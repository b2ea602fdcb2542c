"""Trying a replica before planning it: would the API server take such a pod, and what would it make of it?

The pod is planned as it will be, not as it was written. LimitRanges, defaulting and injecting webhooks change what a
replica requests, quotas and Pod Security refuse some: one replica is created with server-side dry-run for each
generation of a job. What comes back is what the cycle counts with; what is refused is the job's condition.
"""

import re
from collections.abc import Callable, Iterable

from berth.act.pods import Replicas, TemplateError
from berth.cluster.jobs import JobEntry, Replica
from berth.cluster.pools import PoolFacts
from berth.cluster.requests import of_pod
from berth.core.model import Hindrance, Toleration
from berth.core.plan import Reason
from berth.kube.client import ApiClient
from berth.kube.errors import ApiError, Transient
from berth.kube.resources import PODS

Find = Callable[[JobEntry], PoolFacts | None]

_POD_FIELD = re.compile(r"\b(?:spec|metadata)\.(?=[a-zA-Z])")
_PREAMBLE = re.compile(r'^(Pod|pods) "[^"]*" is (invalid|forbidden): ')


async def try_replica(client: ApiClient, entry: JobEntry, pool: PoolFacts | None) -> Replica:
    """Try rank 0 of the job's next attempt. Raises Transient if the API server could not be asked."""
    generation = entry.generation
    resource = pool.resource if pool else None
    try:
        pod = Replicas(entry.manifest, entry.believed.attempt + 1, resource).pod(0, None)
        made = await client.create(PODS, pod, namespace=entry.key.namespace, dry_run=True)
    except TemplateError as error:
        return Replica(generation, hindrance=Hindrance(Reason.TEMPLATE_REFUSED, str(error)))
    except Transient:
        raise
    except ApiError as error:
        return Replica(generation, hindrance=Hindrance(Reason.TEMPLATE_REFUSED, told(error)))
    spec = made["spec"]
    return Replica(
        generation=generation,
        requests=tuple(r for r in of_pod(spec) if r[0] != resource),
        selector=tuple(sorted((spec.get("nodeSelector") or {}).items())),
        tolerations=tuple(_tolerations(spec.get("tolerations") or ())),
    )


def told(error: ApiError) -> str:
    """What the API server finds wrong with a replica, in the words of the job's own fields."""
    if error.causes:
        found = "; ".join(f"{_in_template(cause.field)}: {cause.message}" for cause in error.causes[:3])
        more = f"; and {len(error.causes) - 3} more" if len(error.causes) > 3 else ""
        return f"{found}{more}: correct the template"
    return f"{_POD_FIELD.sub(_prefixed, _PREAMBLE.sub('', error.message))}: correct the template, or what refuses it"


def _in_template(field: str) -> str:
    return f"spec.template.{field}" if field else "spec.template"


def _prefixed(match: re.Match[str]) -> str:
    return f"spec.template.{match.group()}"


def _tolerations(wire: Iterable[dict[str, str]]) -> Iterable[Toleration]:
    for entry in wire:
        yield Toleration(
            key=entry.get("key") or "",
            operator=entry.get("operator") or "Equal",
            value=entry.get("value") or "",
            effect=entry.get("effect") or "",
        )
