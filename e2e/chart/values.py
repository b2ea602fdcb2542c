"""The chart's values: one model, from which `values.yaml`, `values.schema.json` and the reference are written.

Every field has a description, and no field is legal that is not here: a misspelt value is refused by Helm, not ignored.
The operator's settings are the fields of its own model, so that chart and operator cannot disagree about them.
"""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.alias_generators import to_camel

from berth.app.settings import Settings
from e2e.chart.policies import OTHERS, Policy

Strings = dict[str, str]
Quantity = str | int | float
Objects = list[dict[str, Any]]
Name = Annotated[str, Field(pattern=r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?$")]
Port = Annotated[int, Field(ge=1, le=65535)]


class Values(BaseModel):
    """A group of values."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", use_attribute_docstrings=True
    )


class PullPolicy(StrEnum):
    """When the kubelet fetches an image."""

    IF_NOT_PRESENT = "IfNotPresent"
    ALWAYS = "Always"
    NEVER = "Never"


class LogLevel(StrEnum):
    """The least level that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Action(StrEnum):
    """What the API server does with what a policy refuses."""

    DENY = "Deny"
    WARN = "Warn"
    AUDIT = "Audit"


class Image(Values):
    """The operator's image."""

    repository: Annotated[str, Field(min_length=1)] = "berth"
    """Registry and repository of the image."""
    tag: str = ""
    """Tag of the image; empty: the chart's appVersion."""
    digest: Annotated[str, Field(pattern="^(sha256:[0-9a-f]{64})?$")] = ""
    """Digest of the image (`sha256:...`); if given, it decides and not the tag."""
    pull_policy: PullPolicy = PullPolicy.IF_NOT_PRESENT
    """When the kubelet fetches it. Tags of releases never move, so `IfNotPresent` is enough."""
    pull_secrets: list[Name] = []
    """Names of Secrets in the release's namespace with which the image is fetched."""


class ServiceAccount(Values):
    """The operator's identity."""

    create: bool = True
    """Create the ServiceAccount."""
    name: Name = ""
    """Its name; empty: that of the release's objects."""
    annotations: Strings = {}
    """Annotations of it."""


class Rbac(Values):
    """Rights."""

    create: bool = True
    """Create the operator's roles and bindings."""
    aggregate: bool = True
    """Let Kubernetes' own roles `view`, `edit` and `admin` include TrainingJobs."""
    device_health: bool = True
    """Let the operator read all ConfigMaps of `kube-system`, where Ascend's tools tell which devices are broken.
    Without it, an Ascend node that reports fewer devices than it has takes nothing."""
    block_owner_deletion: bool = False
    """Needed where the API server runs the admission plugin OwnerReferencesPermissionEnforcement, as OpenShift does."""


class Crds(Values):
    """Berth's kinds."""

    install: bool = True
    """Install and upgrade the CRDs with the release. They stay on uninstall, and all TrainingJobs with them."""


class Service(Values):
    """The Service of the metrics."""

    enabled: bool = True
    """Create it."""
    annotations: Strings = {}
    """Annotations of it."""


class ServiceMonitor(Values):
    """A ServiceMonitor of the Prometheus Operator."""

    enabled: bool = False
    """Create it. The CRD must be there."""
    interval: Annotated[str, Field(pattern="^([0-9]+(ms|s|m|h))+$")] = "30s"
    """How often the operator is scraped."""
    labels: Strings = {}
    """Labels of it, by which a Prometheus selects it."""


class Rules(Values):
    """A PrometheusRule with the alerts of the monitoring guide."""

    enabled: bool = False
    """Create it. The CRD must be there."""
    labels: Strings = {}
    """Labels of it, by which a Prometheus selects it."""


class Metrics(Values):
    """Metrics."""

    service: Service = Service()
    """The Service through which they are scraped."""
    service_monitor: ServiceMonitor = ServiceMonitor()
    """For the Prometheus Operator."""
    rules: Rules = Rules()
    """Alerts."""


class NetworkPolicy(Values):
    """Who may reach the operator, and whom it may reach."""

    enabled: bool = True
    """Create it."""
    scrapers: Objects = []
    """Peers (`namespaceSelector`, `podSelector`, `ipBlock`) that may reach the port of the metrics. It also serves
    `/debug/snapshot`, with the names of all jobs: nobody may by default. Probes of the kubelet always pass."""
    api_server_ports: Annotated[list[Port], Field(min_length=1)] = [443, 6443]
    """Ports on which the operator may reach the API server: the Service's, and the one behind it."""
    extra_egress: Objects = []
    """Further egress rules, such as DNS where the API server is known by name."""


class Budget(Values):
    """A PodDisruptionBudget over the operator's pods."""

    enabled: bool = True
    """Create it, if there are two replicas or more: drains leave one of them."""


class PriorityClass(Values):
    """The PriorityClass of the operator's pods."""

    create: bool = True
    """Create it."""
    name: Name = "berth-operator"
    """Its name; of one that exists, if `create` is false. Empty: the cluster's default class."""
    value: Annotated[int, Field(ge=-2147483648, le=1000000000)] = 1000000000
    """Its value: above all gangs, so that a full cluster does not keep the operator out."""


class FlowSchema(Values):
    """A FlowSchema: the operator's share of the API server."""

    enabled: bool = False
    """Create it."""
    priority_level: Name = "workload-high"
    """The PriorityLevelConfiguration that its requests belong to."""
    matching_precedence: Annotated[int, Field(ge=1, le=10000)] = 900
    """Its precedence: below 1000, so that it is taken before those that Kubernetes brings for ServiceAccounts."""


class Amounts(Values):
    """Amounts of resources."""

    cpu: Quantity | None = None
    """Processor."""
    memory: Quantity | None = None
    """Memory."""
    ephemeral_storage: Annotated[Quantity | None, Field(alias="ephemeral-storage")] = None
    """Disk, for the log."""


class Resources(Values):
    """Resources of each replica."""

    requests: Amounts = Amounts(cpu="250m", memory="256Mi", **{"ephemeral-storage": "64Mi"})
    """What the operator needs."""
    limits: Amounts = Amounts(memory="1Gi", **{"ephemeral-storage": "256Mi"})
    """What it may use at most. No processor limit: throttling would delay the renewal of the Lease."""


class Pod(Values):
    """The operator's pods."""

    labels: Strings = {}
    """Further labels."""
    annotations: Strings = {}
    """Further annotations."""
    node_selector: Strings = {}
    """Labels of the nodes they may be on."""
    tolerations: Objects = []
    """Taints that they tolerate."""
    affinity: dict[str, Any] = {}
    """Affinity. Replicas are spread over nodes and zones without it."""
    env: Objects = []
    """Further environment variables, such as `HTTPS_PROXY`."""
    resources: Resources = Resources()
    """What they ask for; sizes are told in the guide on operating."""
    termination_grace_period_seconds: Annotated[int, Field(ge=30, le=600)] = 45
    """On a stop, decisions under way are finished (10 s), events posted (5 s) and the Lease given back."""


class Switch(Values):
    """One file of the policies."""

    enabled: bool = True
    """Install it."""


class PolicySwitch(Switch):
    """One admission policy."""

    validation_actions: Annotated[list[Action], Field(min_length=1, max_length=2)]
    """What happens to what it refuses: Deny, Warn, Audit; Deny and Warn exclude each other."""


def _operator_settings() -> type[BaseModel]:
    """The operator's settings, less `identity`: two replicas must not share one, so it is the pod's name."""
    fields: dict[str, Any] = {
        name: (Annotated[field.rebuild_annotation(), Field(description=field.description)], field.default)
        for name, field in Settings.model_fields.items()
        if name != "identity"
    }
    return create_model("OperatorSettings", __base__=Values, **fields)


def _parameters(policies: tuple[Policy, ...]) -> type[BaseModel]:
    """Entries of the ConfigMaps that policies go by; unknown ones are refused unless a ConfigMap takes any."""
    groups: dict[str, Any] = {}
    for found in (parameters for policy in policies for parameters in policy.parameters):
        keys = sorted(found.entries)
        extra: dict[str, Any] = {} if OTHERS in found.entries else {"propertyNames": {"enum": keys}}
        says = f"Entries of the ConfigMap `{found.name}`: {', '.join(f'`{key}`' for key in keys)}."
        field: Any = Field({}, alias=found.name, description=says, json_schema_extra=extra)
        groups[found.name.replace("-", "_")] = (Strings, field)
    return create_model("PolicyParameters", __base__=Values, __doc__="What the policies go by.", **groups)


def model(policies: tuple[Policy, ...]) -> type[BaseModel]:
    """All values; there is one switch for each policy."""
    switches: dict[str, Any] = {}
    for policy in policies:
        switch = PolicySwitch(validation_actions=list(map(Action, policy.actions))) if policy.actions else Switch()
        switches[policy.key] = (type(switch), Field(default=switch, alias=policy.key, description=policy.says))
    group = create_model("Policies", __base__=Values, __doc__="The admission policies.", **switches)
    parameters = _parameters(policies)
    settings = _operator_settings()
    fields: dict[str, Any] = {
        "name_override": (Name, Field("", description="Name of the release's objects; empty: from the release.")),
        "image": (Image, Field(Image(), description="The operator's image.")),
        "replicas": (
            Annotated[int, Field(ge=1, le=9)],
            Field(2, description="Operators. One leads, the others stand by and take over within a term."),
        ),
        "log_level": (LogLevel, Field(LogLevel.INFO, description="The least level that is logged.")),
        "settings": (
            settings,
            Field(settings(), description="The operator's settings. Those that can change at run time are taken in "
                  "without a restart; the others start new pods."),
        ),
        "service_account": (ServiceAccount, Field(ServiceAccount(), description="The operator's identity.")),
        "rbac": (Rbac, Field(Rbac(), description="Rights of the operator and of users.")),
        "crds": (Crds, Field(Crds(), description="Berth's kinds.")),
        "policies": (group, Field(group(), description="The admission policies, by name.")),
        "policy_parameters": (
            parameters,
            Field(parameters(), description="What the policies go by: entries of their ConfigMaps in kube-system, in "
                  "place of the default ones. Lists have one entry a line."),
        ),
        "metrics": (Metrics, Field(Metrics(), description="How the operator is scraped.")),
        "network_policy": (NetworkPolicy, Field(NetworkPolicy(), description="Who may reach the operator.")),
        "pod_disruption_budget": (Budget, Field(Budget(), description="What drains leave of it.")),
        "priority_class": (PriorityClass, Field(PriorityClass(), description="The priority of the operator's pods.")),
        "flow_schema": (FlowSchema, Field(FlowSchema(), description="The operator's share of the API server.")),
        "pod": (Pod, Field(Pod(), description="The operator's pods.")),
        "global_": (
            dict[str, Any],
            Field({}, alias="global", description="Values of an umbrella chart; Berth reads none of them."),
        ),
    }  # fmt: skip
    return create_model("BerthValues", __base__=Values, __doc__="Values of the chart `berth`.", **fields)
