"""What a job's template must be like before a pod can be made of it, and the refusal of one that is not.

The schema declares few fields of a pod and keeps the others as they were written, so a template may hold any JSON. The
API server judges nearly all of it, in a dry run; here is judged what Berth itself has to read and complete.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from berth.act import affinity
from berth.api.wire import cut

logger = logging.getLogger(__name__)

_SHOWN = 100
"""Characters of a wrong value that are told."""
_MOST_DIGITS = 9
"""More devices than that no replica has, and Python refuses to read numbers of some thousand digits."""


class TemplateError(ValueError):
    """A template that cannot be made a replica of; the sentence names field, value and remedy."""


@contextmanager
def refusing() -> Iterator[None]:
    """Refuse a template for whatever goes wrong with it.

    The API server stores any JSON in fields that the schema does not declare, and what nobody has thought of is that
    job's trouble, not the operator's.
    """
    try:
        yield
    except TemplateError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        logger.warning("no pod can be made of a template", exc_info=True)
        found = cut(f"{type(error).__name__}: {error}", 2 * _SHOWN)
        raise TemplateError(
            f"spec.template: no pod can be made of it ({found}); write its fields as in a Pod, and not nested deeper"
        ) from error


def check_shape(spec: dict[str, Any]) -> None:
    """Raise TemplateError for what cannot be completed: the schema keeps what it does not declare, whatever it is."""
    for kind in ("containers", "initContainers"):
        for index, container in enumerate(_objects(spec.get(kind), kind)):
            field = f"{kind}[{index}]"
            for number, variable in enumerate(_objects(container.get("env"), f"{field}.env")):
                _string(variable.get("name"), f"{field}.env[{number}].name")
            resources = _object(container.get("resources") or {}, f"{field}.resources")
            for what in ("limits", "requests"):
                _object(resources.get(what) or {}, f"{field}.resources.{what}")
    of_nodes = _object((spec.get("affinity") or {}).get("nodeAffinity") or {}, "affinity.nodeAffinity")
    field = f"affinity.nodeAffinity.{affinity.REQUIRED}"
    required = _object(of_nodes.get(affinity.REQUIRED) or {}, field)
    for index, term in enumerate(_objects(required.get("nodeSelectorTerms"), f"{field}.nodeSelectorTerms")):
        for kind in ("matchExpressions", "matchFields"):
            _objects(term.get(kind), f"{field}.nodeSelectorTerms[{index}].{kind}")


def _objects(value: Any, field: str) -> list[dict[str, Any]]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise TemplateError(
            f"spec.template.spec.{field}: {shown(value)}: must be a list of objects; write it as in a Pod"
        )
    return [_object(entry, f"{field}[{index}]") for index, entry in enumerate(value)]


def _object(value: Any, field: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TemplateError(f"spec.template.spec.{field}: {shown(value)}: must be an object; write it as in a Pod")
    return value


def _string(value: Any, field: str) -> None:
    """Refuse what is no string; that it is left out, or empty, the API server says itself."""
    if value is not None and not isinstance(value, str):
        raise TemplateError(f"spec.template.spec.{field}: {shown(value)}: must be a string; write it as in a Pod")


def shown(value: Any) -> str:
    """A wrong value, as it is told."""
    return cut(repr(value), _SHOWN)


def count(value: str) -> int:
    """A number of devices as a container may write it; -1 if it is none."""
    return int(value) if value.isdecimal() and len(value) <= _MOST_DIGITS else -1


def give_devices(containers: list[dict[str, Any]], resource: str, devices: int) -> None:
    """Ask for the devices in the first container, unless some container already asks for them. Raises TemplateError."""
    asking = [
        (index, kind, value)
        for index, container in enumerate(containers)
        for kind in ("limits", "requests")
        if (value := ((container.get("resources") or {}).get(kind) or {}).get(resource)) is not None
    ]
    if not asking:
        resources = containers[0]["resources"] = containers[0].get("resources") or {}
        resources["limits"] = {**(resources.get("limits") or {}), resource: str(devices)}
        if resources.get("requests"):
            resources["requests"][resource] = str(devices)
        return
    per_container = {index: str(value) for index, _, value in asking}
    if sum(map(count, per_container.values())) != devices:
        index, kind, value = asking[0]
        field = f"spec.template.spec.containers[{index}].resources.{kind}[{resource}]"
        raise TemplateError(
            f"{field}: {cut(str(value), _SHOWN)}: the containers of a replica must ask for spec.devicesPerReplica "
            f"({devices}) in all; leave it out, and the first container gets them"
        )
