"""A request to the API server as a test names it: verb, resource, object.

The verbs are those of the operator's own metrics, so that a test can compare what was sent with what was counted.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any

READS = frozenset({"get", "list", "watch"})

_VERBS = {"POST": "create", "PUT": "update", "DELETE": "delete", "GET": "get"}
_APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True, slots=True)
class Call:
    """One request. ``namespace`` and ``name`` are empty where the path has none, as ``name`` in a creation.

    ``position`` is the resourceVersion that a watch begins after, ``selector`` its label selector.
    """

    verb: str
    resource: str
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    selector: str = ""
    position: str = ""
    dry_run: bool = False

    @property
    def write(self) -> bool:
        """Whether the request would change something."""
        return self.verb not in READS and not self.dry_run

    def __str__(self) -> str:
        kind = f"{self.resource}/{self.subresource}" if self.subresource else self.resource
        return f"{self.verb} {kind} {'/'.join(filter(None, (self.namespace, self.name)))}".rstrip()


Match = Callable[[Call], bool]
"""Chooses calls."""


def calls(**wanted: str | bool | Collection[str]) -> Match:
    """Calls whose fields have these values; a collection allows any of its values.

    ``calls(verb={"create", "delete"}, resource="pods")``, ``calls(write=True)``. ValueError for a field that calls do
    not have.
    """
    known = {field.name for field in fields(Call)} | {"write"}
    unknown = sorted(wanted.keys() - known)
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: calls have no such field; they have {', '.join(sorted(known))}")

    def match(call: Call) -> bool:
        return all(_is(getattr(call, field), value) for field, value in wanted.items())

    return match


def own_writes(call: Call) -> bool:
    """Writes by which jobs move on: no dry runs, no events, no statuses of pools, which any moment may add."""
    return call.write and call.resource in ("trainingjobs", "pods", "services")


def parse(method: str, path: str, query: Mapping[str, str], content_type: str) -> Call:
    """Read a request line. A path outside the API, such as /version, is a ``get`` of that path."""
    parts = path.strip("/").split("/")
    if parts[0] == "api" and len(parts) > 2:
        rest = parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        rest = parts[3:]
    else:
        return Call(_VERBS.get(method, method.lower()), path)
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    resource, name, subresource = (*rest, "", "")[:3]
    return Call(
        verb=_verb(method, name, query, content_type),
        resource=resource,
        subresource=subresource,
        namespace=namespace,
        name=name,
        selector=query.get("labelSelector", ""),
        position=query.get("resourceVersion", ""),
        dry_run="dryRun" in query,
    )


def _verb(method: str, name: str, query: Mapping[str, str], content_type: str) -> str:
    if method == "GET" and query.get("watch") in ("true", "1"):
        return "watch"
    if method == "GET" and not name:
        return "list"
    if method == "DELETE" and not name:
        return "deletecollection"
    if method == "PATCH":
        return "apply" if content_type.startswith(_APPLY) else "patch"
    return _VERBS.get(method, method.lower())


def _is(found: Any, wanted: Any) -> bool:
    return found in wanted if isinstance(wanted, Collection) and not isinstance(wanted, str) else found == wanted
