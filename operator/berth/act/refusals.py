"""What the API server has against a replica, told in the words of the job's own fields.

The server checks a pod, the user wrote a job's template, and some of the server's sentences name neither field nor
value. Nothing is checked here: a sentence is only put right after the server has refused.
"""

import re
from collections.abc import Iterator
from typing import Any

from berth.api.wire import cut
from berth.cluster.quantities import amount
from berth.kube.errors import ApiError, TooManyRequests, Transient

_POD_FIELD = re.compile(r"\b(?:spec|metadata)\.(?=[a-zA-Z])")
_PREAMBLE = re.compile(
    r'^(Pod|pods) "[^"]*" is (invalid|forbidden): |'
    r'^Pod in version "v1" cannot be handled as a Pod: (strict decoding error: )?'
)
_WRONG_TYPE = re.compile(r"^json: cannot unmarshal (\w+) into Go struct field \w+\.(\S+) of type (\S+)$")
_AWAY = (0, 503, 504)
_TYPES = {"[]string": "a list of strings", "string": "a string", "bool": "true or false"}


def told(error: ApiError, pod: dict[str, Any] | None = None) -> str:
    """Say what the API server finds wrong with a pod that was made of a template.

    With the pod itself, a quantity that cannot be read is told by field and value, too.
    """
    if error.causes:
        found = "; ".join(f"{_in_template(cause.field)}: {cause.message}" for cause in error.causes[:3])
        more = f"; and {len(error.causes) - 3} more" if len(error.causes) > 3 else ""
        return f"{found}{more}: correct the template"
    message = _PREAMBLE.sub("", error.message)
    if error.status == 400:
        return f"{_decoding(message, pod['spec'] if pod else {})}: correct the template"
    return f"{_POD_FIELD.sub(_prefixed, message)}: correct the template, or what refuses it"


def away(error: Transient) -> bool:
    """Whether a fault is over when the API server is back, or this operator's term is renewed.

    Else it is one of what the server asks, such as a webhook. Without an answer there is no such fault.
    """
    return isinstance(error, TooManyRequests) or error.status in _AWAY


def taken(name: str) -> str:
    """Say that a replica's name belongs to somebody else's pod."""
    return f"a pod {name} is there already and is not this job's; delete it, or rename the job"


def _decoding(message: str, spec: dict[str, Any]) -> str:
    """A pod that cannot even be read."""
    if message.startswith("quantities must match"):
        # The server says neither which quantity nor where.
        wrong = next(_no_quantities(spec), None)
        return wrong or f"spec.template.spec: {message}"
    wrong_type = _WRONG_TYPE.match(message)
    if wrong_type:
        found, field, wanted = wrong_type.groups()
        return f"{_in_template(field)}: must be {_TYPES.get(wanted, f'of type {wanted}')}, not {found}"
    return _POD_FIELD.sub(_prefixed, message)


def _no_quantities(spec: dict[str, Any]) -> Iterator[str]:
    """Requests and limits that are no quantities."""
    for kind in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(kind) or ()):
            for what, quantities in (container.get("resources") or {}).items():
                for name, quantity in quantities.items() if isinstance(quantities, dict) else ():
                    try:
                        amount(name, str(quantity))
                    except (ValueError, ArithmeticError):
                        field = f"spec.template.spec.{kind}[{index}].resources.{what}[{name}]"
                        yield f"{field}: {cut(repr(quantity), 100)} is not a quantity; write it like 500m, 8 or 64Gi"


def _in_template(field: str) -> str:
    return f"spec.template.{field}" if field else "spec.template"


def _prefixed(match: re.Match[str]) -> str:
    return f"spec.template.{match.group()}"
