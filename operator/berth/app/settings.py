"""The operator's settings: one validated file, every field with a default that suits a cluster.

A file with a mistake is refused as a whole, with the field, the value and what is legal; nothing is guessed.
"""

import re
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema
from pydantic.alias_generators import to_camel

from berth.api.rules import PriorityClassName
from berth.core.faults import Waits
from berth.core.model import Mode

FIXED = frozenset(
    {"listen", "lease_namespace", "lease_name", "lease_seconds", "identity", "connections", "pod_priority_class"}
)
"""Settings that cannot change while the operator runs: what it listens on, how it leads, and what all pods of a gang
have in common. All others are taken in when the file changes."""

_DNS_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


class SettingsError(ValueError):
    """The settings file cannot be used; the text names file, field, value and remedy."""


def _address(listen: str) -> str:
    _, colon, port = listen.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise ValueError("must be an address and a port of at most 65535, such as 0.0.0.0:8080")
    return listen


def _name(name: str) -> str:
    if not _DNS_NAME.fullmatch(name):
        raise ValueError("must be a name as Kubernetes knows them: lower case letters, digits, `-` and `.`")
    return name


Address = Annotated[str, AfterValidator(_address), WithJsonSchema({"type": "string", "pattern": "^.*:[0-9]{1,5}$"})]
DnsName = Annotated[str, AfterValidator(_name), WithJsonSchema({"type": "string", "pattern": f"^{_DNS_NAME.pattern}$"})]


class Settings(BaseModel):
    """Settings of the operator. Durations are in seconds."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, use_attribute_docstrings=True
    )

    mode: Mode = Mode.ACTIVE
    """`Active` acts; `Observe` decides and reports and writes no pod: the safe first day beside another scheduler."""
    listen: Address = "0.0.0.0:8080"
    """Address and port of `/healthz`, `/readyz` and `/metrics`; port 0 takes a free one."""
    quiet_seconds: Annotated[float, Field(strict=True, ge=0, le=5)] = 0.05
    """A batch of changes is closed after so much quiet."""
    batch_seconds: Annotated[float, Field(strict=True, gt=0, le=60)] = 1.0
    """A batch is closed after this at the latest."""
    report_seconds: Annotated[float, Field(strict=True, ge=0, le=3600)] = 10.0
    """A status in which only numbers in sentences changed is written at most this often."""
    pool_report_seconds: Annotated[float, Field(strict=True, ge=0.1, le=3600)] = 2.0
    """A pool's status is written at most this often."""
    refused_seconds: Annotated[float, Field(strict=True, ge=1, le=3600)] = 60.0
    """A template that the API server refused is tried again this often: what refused it may lie outside the job."""
    backfill_depth: Annotated[int, Field(strict=True, ge=0, le=100)] = 8
    """For so many waiting gangs of each pool a place is kept, which nobody behind them may delay; 0: whoever fits
    starts."""
    assumed_seconds: Annotated[int, Field(strict=True, ge=60, le=31_536_000)] = 86_400
    """For so long a gang is expected to run that has no `spec.maxDuration`."""
    patience_percent: Annotated[int, Field(strict=True, ge=0, le=100)] = 20
    """A gang that could only start apart waits for a place in one domain that is foreseen: at most so many percent of
    its `spec.maxDuration`, times the share of its pairs of replicas that would lie apart, and 4 h; 0: it never does."""
    audit_seconds: Annotated[float, Field(strict=True, gt=0, le=86400)] = 300.0
    """How often objects that arrive as events are compared with a list of what is there."""
    lease_namespace: DnsName = "kube-system"
    """Namespace of the Lease that one of several operators holds. One Lease for the whole cluster: operators that look
    at different ones all act."""
    lease_name: DnsName = "berth-operator"
    """Name of that Lease, and of the ConfigMap beside it that keeps the newest epoch for the policy `berth-fence`."""
    lease_seconds: Annotated[float, Field(strict=True, ge=1, le=300)] = 15.0
    """A leader that has not renewed the Lease for so long is replaced."""
    identity: str = ""
    """Who holds the Lease. Empty: `$POD_NAME`, or the host's name and a random part. An operator that finds its own
    identity in the Lease takes it over at once, so no two that run may share one."""
    node_grace_seconds: Annotated[int, Field(strict=True, ge=0, le=3600)] = 20
    """A node may be not ready for so long before its gangs are stopped: a kubelet that restarts is back by then."""
    charge_window_seconds: Annotated[int, Field(strict=True, ge=0, le=3600)] = 90
    """A gang's own failure is not charged if one of its nodes turns bad within this time: nodes die slowly."""
    unconfirmed_pod_seconds: Annotated[int, Field(strict=True, ge=0, le=86400)] = 300
    """Pods on a node without contact are waited for so long before their gang goes on without them."""
    unschedulable_seconds: Annotated[int, Field(strict=True, ge=1, le=3600)] = 60
    """kube-scheduler may keep a replica off its node for so long before the gang is taken back."""
    avoid_seconds: Annotated[int, Field(strict=True, ge=1, le=3600)] = 600
    """A job avoids nodes on which its replicas did not come up for so long; each further time doubles it, to 1 h."""
    pod_priority_class: PriorityClassName | None = None
    """PriorityClass of the pods of every gang; none: the cluster's default. Jobs are ordered by their own class."""
    connections: Annotated[int, Field(strict=True, ge=1, le=1000)] = 64
    """Requests to the API server at one time."""

    def waits(self) -> Waits:
        """How long doubts about gangs are waited out, as a cycle takes it."""
        return Waits(
            node_grace=self.node_grace_seconds,
            charge_window=self.charge_window_seconds,
            unconfirmed=self.unconfirmed_pod_seconds,
            unschedulable=self.unschedulable_seconds,
            avoid=self.avoid_seconds,
        )


def load(path: Path | None, **overrides: Any) -> Settings:
    """Read settings from a YAML file (none: defaults); `overrides` that are not None win.

    Raises SettingsError.
    """
    found: Any = {}
    if path is not None:
        try:
            found = yaml.safe_load(path.read_text()) or {}
        except OSError as error:
            raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise SettingsError(f"{path}: is not YAML: {error}") from error
        if not isinstance(found, dict):
            raise SettingsError(f"{path}: must be a mapping of settings, such as `mode: Observe`")
    try:
        return Settings.model_validate({**found, **{to_camel(k): v for k, v in overrides.items() if v is not None}})
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            field = ".".join(map(str, problem["loc"]))
            if problem["type"] == "extra_forbidden":
                known = ", ".join(sorted(to_camel(name) for name in Settings.model_fields))
                lines.append(f"{field}: there is no such setting; there are {known}")
            else:
                text = problem["msg"].removeprefix("Value error, ")
                lines.append(f"{field}: {problem['input']!r}: {text}")
        raise SettingsError(f"{path or 'settings'}: " + "; ".join(lines)) from error
