"""What a mirror is filled with: which objects, by which selectors, reduced to what.

The operator watches them for as long as it lives; a command of the plugin lists them once. Both go by this file, so
that what a command plans with is what the operator decides with.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from berth.accel.catalogue import Catalogue
from berth.api import names
from berth.api.job import TrainingJob
from berth.api.pool import AcceleratorPool
from berth.cluster import project
from berth.cluster.pool_facts import facts
from berth.cluster.pools import PoolFacts
from berth.cluster.project import ForeignPod, NodeFacts, OwnPod
from berth.kube import resources
from berth.kube.client import JsonObject
from berth.kube.resources import Resource

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Source(Generic[T]):
    """One kind, narrowed by selectors; `project` makes None of what is of no interest. `name`: where it is told of."""

    resource: Resource
    project: Callable[[JsonObject], T | None]
    name: str = ""
    label_selector: str = ""
    field_selector: str = ""


NODES: Source[NodeFacts] = Source(resources.NODES, project.node)

OWN_PODS: Source[OwnPod] = Source(resources.PODS, project.own_pod, name="own-pods", label_selector=names.LABEL_JOB_UID)
"""Berth's own pods, in all phases: exit codes and last words arrive last."""

FOREIGN_PODS: Source[ForeignPod] = Source(
    resources.PODS,
    project.foreign_pod,
    name="foreign-pods",
    label_selector=f"!{names.LABEL_JOB_UID}",
    field_selector="spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed",
)
"""Of other pods those that sit on a node and have not ended."""

PRIORITY_CLASSES: Source[tuple[int, bool]] = Source(resources.PRIORITY_CLASSES, project.priority_class)


def read_job(obj: dict[str, Any]) -> TrainingJob:
    """A TrainingJob as the API server tells it. Raises pydantic's ValidationError, or RecursionError."""
    return TrainingJob.model_validate(_complete(obj, names.JOB_KIND))


def read_pool(obj: dict[str, Any], catalogue: Catalogue) -> PoolFacts:
    """An AcceleratorPool as the API server tells it, resolved. Raises pydantic's ValidationError."""
    return facts(AcceleratorPool.model_validate(_complete(obj, names.POOL_KIND)), catalogue)


def _complete(obj: dict[str, Any], kind: str) -> dict[str, Any]:
    """An object of a list lacks the two fields that its list has."""
    return {"apiVersion": names.API_VERSION, "kind": kind, **obj}
