"""An API server in memory, behind the real client's verbs, for tests of what is written in which order.

Only the transport is replaced: a request arrives here as it would go over the wire. Known are creates, gets, lists,
applies to a status and deletes, with resourceVersions, uids, preconditions and dry runs. A test may let calls fail
before or after they have taken effect, hold them, or have something happen just before one.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from berth.kube.client import ApiClient, JsonObject
from berth.kube.errors import ApiError, Unreachable, from_status
from berth.kube.transport import Request
from tests.unit.kube_wire import connection

Where = tuple[str, str, str]
"""(plural, namespace, name)."""


@dataclass(slots=True)
class Fault:
    """What goes wrong with the next `times` calls whose telling begins with `call`."""

    call: str
    error: ApiError
    times: int
    after: bool


@dataclass(slots=True)
class Hold:
    """Calls that begin with `call` wait for `release`; `arrived` is set when one does."""

    call: str
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)


def refusal(status: int, reason: str, message: str = "no", **body: Any) -> ApiError:
    """The error that an answer of the API server becomes."""
    return from_status(request="", status=status, body={"reason": reason, "message": message, **body})


def unreachable() -> ApiError:
    """No answer: the call may have taken effect."""
    return Unreachable(request="", status=0, reason="TimeoutError", message="no answer in time")


class SmallCluster(ApiClient):
    """`calls` tells every request as `create pods team/train-1-0`; dry runs begin with `try`."""

    def __init__(self) -> None:
        super().__init__(connection("http://small.invalid"))
        self.objects: dict[Where, JsonObject] = {}
        self.calls: list[str] = []
        self.requests: list[Request] = []
        self.version = 100
        self.reshape: Callable[[JsonObject], None] = lambda _: None
        """What admission does to a pod."""
        self._faults: list[Fault] = []
        self._holds: list[Hold] = []
        self._before: list[tuple[str, Callable[[], object]]] = []

    def fail(self, call: str, error: ApiError, *, times: int = 1, after: bool = False) -> None:
        """Let the next calls fail; `after` they have taken effect, as when an answer is lost."""
        self._faults.append(Fault(call, error, times, after))

    def heal(self) -> None:
        """Let no more calls fail."""
        self._faults.clear()

    def hold(self, call: str) -> Hold:
        """Let calls wait, after they were told and before they take effect."""
        self._holds.append(Hold(call))
        return self._holds[-1]

    def before(self, call: str, happens: Callable[[], object]) -> None:
        """Have something happen just before the next such call takes effect."""
        self._before.append((call, happens))

    def put(self, plural: str, obj: JsonObject) -> JsonObject:
        """Store an object as somebody else would; with a uid, if it has none, and a new resourceVersion."""
        metadata = obj["metadata"]
        self.version += 1
        metadata.setdefault("uid", f"uid-{self.version}")
        metadata["resourceVersion"] = str(self.version)
        self.objects[plural, metadata.get("namespace", ""), metadata["name"]] = obj
        return obj

    def names(self, plural: str) -> list[str]:
        """Names of what is there of one kind."""
        return sorted(name for kind, _, name in self.objects if kind == plural)

    def writes(self) -> list[str]:
        """Calls that were not reads, dry runs or events."""
        return [c for c in self.calls if not c.startswith(("get ", "list ", "try ")) and " events " not in c]

    async def request(self, request: Request) -> bytes:
        """Answer one request."""
        query = {key: values[0] for key, values in parse_qs(urlsplit(request.target).query).items()}
        told = f"try {request.told.partition(' ')[2]}" if "dryRun" in query else request.told
        self.calls.append(told)
        self.requests.append(request)
        await asyncio.sleep(0)
        for hold in self._holds:
            if told.startswith(hold.call):
                hold.arrived.set()
                await hold.release.wait()
        for entry in [entry for entry in self._before if told.startswith(entry[0])]:
            self._before.remove(entry)
            entry[1]()
        fault = next((f for f in self._faults if f.times and told.startswith(f.call)), None)
        if fault is not None:
            fault.times -= 1
            if not fault.after:
                raise fault.error
        answer = self._serve(request, query)
        if fault is not None:
            raise fault.error
        if "PartialObjectMetadata" in request.headers["Accept"] and request.method == "POST":
            answer = {"metadata": answer["metadata"]}
        return json.dumps(answer).encode()

    def _serve(self, request: Request, query: dict[str, str]) -> JsonObject:
        where = _where(request.target)
        body = json.loads(request.body) if request.body else {}
        match request.method:
            case "POST":
                return self._create((*where[:2], body["metadata"]["name"]), body, dry="dryRun" in query)
            case "GET" if where[2]:
                return self._there(where)
            case "GET":
                items = [obj for key, obj in sorted(self.objects.items()) if key[0] == where[0]]
                return {"metadata": {"resourceVersion": str(self.version)}, "items": items}
            case "PATCH" if where[0] == "pods":
                return self._add_conditions(where, body)
            case "PATCH":
                return self._apply_status(where, body)
            case "DELETE":
                return self._delete(where, body)
        raise AssertionError(f"no such call: {request.told}")

    def _there(self, where: Where) -> JsonObject:
        if where not in self.objects:
            raise refusal(404, "NotFound", f"{where[0]} {where[2]!r} not found")
        return self.objects[where]

    def _create(self, where: Where, body: JsonObject, *, dry: bool) -> JsonObject:
        if where in self.objects:
            raise refusal(409, "AlreadyExists", f"{where[0]} {where[2]!r} already exists")
        made = json.loads(json.dumps(body))
        made["metadata"]["namespace"] = where[1]
        if where[0] == "pods":
            self.reshape(made)
        if dry:
            return {**made, "metadata": {**made["metadata"], "uid": "dry", "resourceVersion": ""}}
        return self.put(where[0], made)

    def _apply_status(self, where: Where, body: JsonObject) -> JsonObject:
        there = self._there(where)
        metadata = there["metadata"]
        if body["metadata"].get("resourceVersion") not in (None, metadata["resourceVersion"]):
            raise refusal(409, "Conflict", "the object has been modified")
        if body["metadata"].get("uid") not in (None, metadata["uid"]):
            raise refusal(422, "Invalid", "uid: field is immutable")
        if there.get("status") == body["status"]:
            return there
        return self.put(where[0], {**there, "metadata": {**metadata}, "status": body["status"]})

    def _add_conditions(self, where: Where, body: JsonObject) -> JsonObject:
        there = self._there(where)
        if body["metadata"]["uid"] != there["metadata"]["uid"]:
            raise refusal(409, "Conflict", "the UID in the precondition does not match the UID in record")
        status = there.get("status") or {}
        conditions = {c["type"]: c for c in (*status.get("conditions", ()), *body["status"]["conditions"])}
        return self.put(where[0], {**there, "status": {**status, "conditions": list(conditions.values())}})

    def _delete(self, where: Where, body: JsonObject) -> JsonObject:
        metadata = self._there(where)["metadata"]
        if body.get("preconditions", {}).get("uid") not in (None, metadata["uid"]):
            raise refusal(409, "Conflict", "the UID in the precondition does not match the UID in record")
        self.version += 1
        return self.objects.pop(where)


def _where(target: str) -> Where:
    parts = urlsplit(target).path.strip("/").split("/")
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    namespace = ""
    if parts[0] == "namespaces":
        namespace, parts = parts[1], parts[2:]
    return parts[0], namespace, parts[1] if len(parts) > 1 else ""
