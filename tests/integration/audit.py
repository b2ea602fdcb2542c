"""What a user asked an API server for, from its audit log, and what roles grant: the two must be the same."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.ground.api import JsonObject


@dataclass(frozen=True, slots=True, order=True)
class Request:
    """One kind of request; `resource` with its subresource, `name` empty for lists, watches and creations."""

    group: str
    resource: str
    verb: str
    namespace: str
    name: str

    def __str__(self) -> str:
        where = f"{self.namespace}/{self.name}".strip("/")
        return f"{self.verb} {self.resource}.{self.group}".rstrip(".") + (f" {where}" if where else "")


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """One (rule, resource, verb) of a role. Without `namespace` it holds in all, without `names` for all."""

    role: str
    group: str
    resource: str
    verb: str
    namespace: str = ""
    names: tuple[str, ...] = ()

    def allows(self, request: Request) -> bool:
        """Whether it grants a request."""
        return (
            (self.group, self.resource, self.verb) == (request.group, request.resource, request.verb)
            and self.namespace in ("", request.namespace)
            and (not self.names or request.name in self.names)
        )


def policy(path: Path, user: str) -> list[str]:
    """Have the API server log what a user asks for; options of its command line."""
    log = path.with_suffix(".log")
    rules = [{"level": "Metadata", "users": [user], "omitStages": ["RequestReceived"]}, {"level": "None"}]
    path.write_text(json.dumps({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": rules}))
    return [f"--audit-policy-file={path}", f"--audit-log-path={log}"]


def requests(log: Path) -> Iterator[tuple[Request, int]]:
    """What was asked for about objects, and the code of the answer; discovery is open to everybody."""
    for line in log.read_text().splitlines():
        entry: dict[str, Any] = json.loads(line)
        about = entry.get("objectRef")
        if about is None or "resource" not in about:
            continue
        resource = "/".join(part for part in (about["resource"], about.get("subresource", "")) if part)
        verb = entry["verb"]
        # A list by a field selector of a name is about that object; none of Berth's is.
        name = about.get("name", "") if verb not in ("create", "list", "watch") else ""
        code = int(entry.get("responseStatus", {}).get("code", 0))
        yield Request(about.get("apiGroup", ""), resource, verb, about.get("namespace", ""), name), code


def grants(roles: Iterable[JsonObject]) -> Iterator[Grant]:
    """Everything that roles grant, verb by verb."""
    for role in roles:
        metadata = role["metadata"]
        for rule in role["rules"]:
            names = tuple(rule.get("resourceNames", ()))
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    for verb in rule["verbs"]:
                        yield Grant(metadata["name"], group, resource, verb, metadata.get("namespace", ""), names)


def rule(grant: Grant) -> JsonObject:
    """A rule of a role that grants just that."""
    names = {"resourceNames": list(grant.names)} if grant.names else {}
    return {"apiGroups": [grant.group], "resources": [grant.resource], "verbs": [grant.verb], **names}


def relying(taken: Grant, granted: Iterable[Grant], used: Iterable[Request]) -> list[Request]:
    """Requests that this grant allows, and no other one."""
    rest = [grant for grant in granted if grant != taken]
    return sorted({r for r in used if taken.allows(r) and not any(grant.allows(r) for grant in rest)})


def unneeded(granted: Iterable[Grant], used: Iterable[Request]) -> list[Grant]:
    """Grants that could be taken away and nothing would be refused: no request needs them, or another allows it too."""
    all_of_them = list(granted)
    needed = set()
    for request in set(used):
        allowing = [grant for grant in all_of_them if grant.allows(request)]
        if len(allowing) == 1:
            needed.add(allowing[0])
    return sorted(grant for grant in all_of_them if grant not in needed)


def ungranted(granted: Iterable[Grant], used: Iterable[Request]) -> list[Request]:
    """Requests that no grant allows."""
    all_of_them = list(granted)
    return sorted({request for request in used if not any(grant.allows(request) for grant in all_of_them)})
