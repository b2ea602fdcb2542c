"""What a pool gives to every replica that lands in it, so that jobs need not know its fabric.

A job's own settings win: defaults fill what is left open, and nothing that a job has written is changed.
"""

from typing import Annotated

from pydantic import ConfigDict, Field

from berth.api.rules import QUANTITY, RESOURCE, Bounds, Matches, Rule, quoted, rules
from berth.api.wire import Wire

MOST = 16

_AMOUNT = Matches("[1-9][0-9]{0,8}", 9, 'must be a whole number from 1, in quotes, such as "8"')
_CAPABILITY = Matches(
    "[A-Z][A-Z0-9_]{0,62}", 63, "must be a capability of Linux in capitals and without CAP_, such as IPC_LOCK"
)
_VARIABLE = Matches(
    "[A-Za-z_][A-Za-z0-9_]{0,126}", 127, "must be the name of a variable: letters, digits and '_', no digit first"
)
_KEY = Matches(
    "[A-Za-z0-9]([-A-Za-z0-9_./]{0,315}[A-Za-z0-9])?", 317, "must be the key of a taint, such as nvidia.com/gpu"
)
_VALUE = Matches(
    "([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?",
    63,
    "must be the value of a taint: at most 63 of A-Z, a-z, 0-9, '-', '_' and '.'",
)
_EFFECT = Rule(
    "self in ['NoSchedule', 'PreferNoSchedule', 'NoExecute']",
    "must be NoSchedule, PreferNoSchedule or NoExecute; leave it out for all",
)
_OPERATOR = Rule("self in ['Equal', 'Exists']", "must be Equal or Exists")
_NOT_BERTHS = Rule("!self.startsWith('BERTH_')", "names that start with BERTH_ are set by Berth; choose another")
_RESOURCES = Rule(
    f"self.all(key, {RESOURCE.cel('key')})",
    f"every key {RESOURCE.message}",
    quoted(f"self.filter(key, !({RESOURCE.cel('key')}))[0]", RESOURCE.message),
)
_COMPARED = Rule(
    "has(self.key) || (has(self.operator) && self.operator == 'Exists')",
    "name a key; without one, operator must be Exists, which tolerates every taint",
    path=".key",
    required=True,
)


class DefaultToleration(Wire):
    """A toleration, as in a Pod."""

    model_config = ConfigDict(json_schema_extra=rules(_COMPARED))

    key: Annotated[str, _KEY] | None = None
    """Key of the taint. Absent: every taint, with operator `Exists`."""
    operator: Annotated[str, _OPERATOR] = "Equal"
    """`Equal`: the taint has this value. `Exists`: whatever its value."""
    value: Annotated[str, _VALUE] | None = None
    """Value of the taint, for `Equal`."""
    effect: Annotated[str, _EFFECT] | None = None
    """`NoSchedule`, `PreferNoSchedule` or `NoExecute`. Absent: all."""


class DefaultVariable(Wire):
    """A variable of the environment."""

    name: Annotated[str, _VARIABLE, _NOT_BERTHS]
    """Name of the variable."""
    value: Annotated[str, Field(max_length=1024)]
    """Its value; may refer to Berth's own variables, such as `$(BERTH_REPLICA)`."""


class PodDefaults(Wire):
    """What every replica gets that lands in the pool. A job's own settings win."""

    resources: Annotated[dict[str, Annotated[str, _AMOUNT]], Bounds(MOST), _RESOURCES] = Field(default_factory=dict)
    """Further extended resources of the container with the devices, such as `rdma/hca_shared_devices_a: "8"`."""
    shared_memory: Annotated[str, QUANTITY] | None = None
    """Size of a memory-backed `/dev/shm` in the container with the devices. It counts as that container's memory."""
    capabilities: Annotated[tuple[Annotated[str, _CAPABILITY], ...], Bounds(MOST, "set")] = ()
    """Capabilities of Linux for the container with the devices, such as `IPC_LOCK`. One that a job drops stays out."""
    tolerations: Annotated[tuple[DefaultToleration, ...], Bounds(MOST)] = ()
    """Tolerations of every replica, beside its own."""
    env: Annotated[tuple[DefaultVariable, ...], Bounds(64, "map", ("name",))] = ()
    """Variables of every container that does not set them itself."""
