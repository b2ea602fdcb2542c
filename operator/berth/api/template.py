"""The pod template of a job: partly declared, on purpose.

The whole of a pod's schema would be thousands of lines that age with every release of Kubernetes, so everything is
kept as it was written, and only what Berth must see is declared: the containers, and the closed list of fields that
a template may not set, because Berth sets them or because they would break the gang. Whatever else is wrong in a
template, the API server finds when a replica is created with dry-run, and the job's condition says it.

The list is closed so that the operator lends nobody its power: it creates pods on behalf of users. What is not on the
list is governed by the namespace's Pod Security and ServiceAccount rules, as for any Job.
"""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from berth.api.names import RESERVED_PREFIX
from berth.api.rules import PRESERVE, RULES, Between, Bounds, LabelName, Rule, quoted
from berth.api.wire import Wire

LONGEST_GRACE = 3600
"""A replica that may take for ever to stop would keep its devices from whoever they were taken back for."""

_STRING = {"type": "string"}
_INTEGER = {"type": "integer", "format": "int64"}
_BOOLEAN = {"type": "boolean"}
_OBJECT = {"type": "object", PRESERVE: True}
_LIST = {"type": "array", "items": _OBJECT, "x-kubernetes-list-type": "atomic"}


@dataclass(frozen=True, slots=True)
class Refused:
    """A field that a template may not set: its type, and why and what to do instead."""

    field: str
    schema: dict[str, Any]
    remedy: str

    def wire(self) -> dict[str, Any]:
        """Return the field's schema: its rule is false whenever the field is there."""
        return {
            **self.schema,
            "description": f"Refused: {self.remedy}.",
            RULES: [Rule("false", f"cannot be set: {self.remedy}").wire()],
        }


_HOSTNAME = "Berth names the replicas so that they find each other; remove it"
_PRIORITY = "Berth orders jobs, not pods; remove it, and set spec.priorityClassName"
_PLACE = "Berth decides the nodes; remove it, and use spec.topology, or nodeSelector for a property of the nodes"

REFUSED: tuple[Refused, ...] = (
    Refused("activeDeadlineSeconds", _INTEGER, "it would end one replica and so break the gang; remove it"),
    Refused(
        "ephemeralContainers", _LIST, "Kubernetes takes them on running pods only; remove it, and use kubectl debug"
    ),
    Refused("hostname", _STRING, _HOSTNAME),
    Refused("hostnameOverride", _STRING, _HOSTNAME),
    Refused("nodeName", _STRING, _PLACE),
    Refused("preemptionPolicy", _STRING, _PRIORITY),
    Refused("priority", _INTEGER, _PRIORITY),
    Refused("priorityClassName", _STRING, _PRIORITY),
    Refused(
        "resourceClaims",
        _LIST,
        "devices from resource claims are not supported; remove it, and set spec.devicesPerReplica",
    ),
    Refused("schedulerName", _STRING, "the scheduler that Berth works with is fixed; remove it"),
    Refused("schedulingGates", _LIST, "Berth creates pods when their places are free; remove it, and use spec.suspend"),
    Refused("schedulingGroup", _OBJECT, "the gang is Berth's to schedule; remove it"),
    Refused("setHostnameAsFQDN", _BOOLEAN, _HOSTNAME),
    Refused("subdomain", _STRING, _HOSTNAME),
    Refused("topologySpreadConstraints", _LIST, _PLACE),
)

REFUSED_IN_CONTAINERS: tuple[Refused, ...] = (
    Refused("restartPolicyRules", _LIST, "a container that restarts alone breaks the gang; remove it"),
)

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_OF_PODS = "Berth plans without it and kube-scheduler would hold the gang back; use spec.topology, or prefer it"

REFUSED_IN_POD_AFFINITY: tuple[Refused, ...] = (Refused(_REQUIRED, _LIST, _OF_PODS),)

_NEVER = Rule(
    "self == 'Never'",
    "must be Never, or left out: a replica that restarts alone breaks the gang; "
    "spec.backoffLimit says how often the whole gang starts again",
)

_OURS = f"must be removed: labels and annotations that start with {RESERVED_PREFIX} are Berth's own"
_FOREIGN_KEYS = Rule(
    f"self.all(key, !key.startsWith('{RESERVED_PREFIX}'))",
    f"no key may start with {RESERVED_PREFIX}: those labels and annotations are Berth's own",
    quoted(f"self.filter(key, key.startsWith('{RESERVED_PREFIX}'))[0]", _OURS),
)

_AS_WRITTEN = ConfigDict(extra="allow", validate_by_name=False, validate_by_alias=True)
"""Keeps unknown fields, and never takes `node_selector` for `nodeSelector`: the template is passed on as it is."""


def _declares(refused: tuple[Refused, ...]) -> ConfigDict:
    def add(schema: dict[str, Any]) -> None:
        schema["properties"] |= {entry.field: entry.wire() for entry in refused}
        schema[PRESERVE] = True

    return ConfigDict(**_AS_WRITTEN, json_schema_extra=add)


class TemplateMetadata(Wire):
    """Labels and annotations of every replica."""

    labels: Annotated[dict[str, str], Bounds(64), _FOREIGN_KEYS] = Field(default_factory=dict)
    """Labels of every replica, besides those that Berth sets (`berth.dev/…`)."""
    annotations: Annotated[dict[str, str], Bounds(64), _FOREIGN_KEYS] = Field(default_factory=dict)
    """Annotations of every replica, besides those that Berth sets (`berth.dev/…`)."""


class Container(Wire):
    """A container: its name is declared, the rest is kept as it was written."""

    model_config = _declares(REFUSED_IN_CONTAINERS)

    name: LabelName
    """Name of the container, unique in the pod."""
    restart_policy: Annotated[str, _NEVER] | None = None
    """When this container starts again: never. An init container may say `Always`, and is then a sidecar."""


class PodAffinity(Wire):
    """Affinity to other pods: what is preferred is passed on."""

    model_config = _declares(REFUSED_IN_POD_AFFINITY)


class Affinity(Wire):
    """Which nodes, as in a Pod."""

    model_config = _declares(())

    pod_affinity: PodAffinity | None = None
    """Nearness to other pods: only preferred; use `spec.topology` for the gang itself."""
    pod_anti_affinity: PodAffinity | None = None
    """Distance from other pods: only preferred."""


class PodSpec(Wire):
    """A pod's spec as Kubernetes defines it, without the fields that are refused."""

    model_config = _declares(REFUSED)

    containers: Annotated[
        tuple[Container, ...], Bounds(32, "map", ("name",), nonempty="must have at least one container, the trainer")
    ]
    """Containers of a replica, as in a Pod. The first one gets the devices, unless one already asks for them."""
    affinity: Affinity | None = None
    """Which nodes, as in a Pod: required node affinity is kept when the gang is placed."""
    restart_policy: Annotated[str, _NEVER] | None = None
    """When the containers of a replica start again: never, which is also what is set where this is left out."""
    termination_grace_period_seconds: (
        Annotated[int, Between(1, LONGEST_GRACE, "seconds that a replica has to stop, and keeps its devices meanwhile")]
        | None
    ) = None
    """Seconds that the containers of a replica have to stop, such as for a last checkpoint. Absent: 30, as in a Pod."""


class PodTemplate(Wire):
    """What every replica of the job is made of."""

    metadata: TemplateMetadata | None = None
    """Labels and annotations of every replica. Nothing else of a pod's metadata may be set."""
    spec: PodSpec
    """Spec of every replica, as in a Pod, and kept as it is written."""

    def manifest(self) -> dict[str, Any]:
        """Return the template as it was written, field by field, ready to be made a pod of."""
        return self.model_dump(mode="json", exclude_unset=True)
