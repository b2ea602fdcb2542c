"""A real HTTP server on loopback that says what a test tells it to, for faults that a sound API server never shows.

It knows nothing of Kubernetes' meaning: a test gives the handler, and the handler gives bytes, codes and cuts.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from berth.kube.config import Connection
from berth.kube.credentials import Credentials, Login
from berth.kube.listing import Key

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Step = web.Response | Handler
"""What a server does with one request: the same answer, or whatever the handler does."""
CONFIG_MAP = {"kind": "ConfigMap", "apiVersion": "v1"}


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """Serves `handler` for all requests; yields the base URL."""
    runner = web.ServerRunner(web.Server(handler, access_log=None), shutdown_timeout=0.05)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def connection(url: str, login: Login | None = None, load: Callable[[], Awaitable[Login]] | None = None) -> Connection:
    """A connection to `url`; `load` gives the logins that follow `login`."""

    async def none_other() -> Login:
        raise AssertionError("no other login was expected to be loaded")

    credentials = Credentials(login or Login(), load=load or none_other)
    return Connection(base_url=url, credentials=credentials)


def answer(body: Any, status: int = 200, **headers: str) -> web.Response:
    """A JSON answer."""
    return web.json_response(body, status=status, headers=headers)


def refusal(code: int, reason: str, message: str, *, details: Any = None, **headers: str) -> web.Response:
    """An answer with a Status object."""
    return answer(status_object(code, reason, message, details), code, **headers)


def status_object(code: int, reason: str, message: str, details: Any = None) -> dict[str, Any]:
    """A Status as the API server writes it."""
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason}
    return {**body, "message": message, "details": details or {}}


def config_map(name: str, version: int, **data: str) -> dict[str, Any]:
    """One object as the API shows it; its uid follows from name and version."""
    metadata = {"name": name, "namespace": "team", "resourceVersion": str(version), "uid": f"uid-{name}"}
    return {**CONFIG_MAP, "metadata": metadata, "data": data}


def page(*items: dict[str, Any], version: int, token: str = "") -> web.Response:
    """One page of a list; `token` says that another follows."""
    return answer({"metadata": {"resourceVersion": str(version), "continue": token}, "items": list(items)})


def event(kind: str, item: Mapping[str, Any]) -> bytes:
    """One line of a watch."""
    return json.dumps({"type": kind, "object": item}).encode() + b"\n"


def bookmark(version: int) -> bytes:
    """A line that only moves the position."""
    return event("BOOKMARK", {**CONFIG_MAP, "metadata": {"resourceVersion": str(version)}})


def stream(*chunks: bytes, then: str = "hold") -> Handler:
    """A watch that sends `chunks` and then holds on in silence, ends regularly (`end`), or is cut (`cut`)."""

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
            await asyncio.sleep(0)
        if then == "hold":
            await asyncio.Event().wait()
        if then == "cut":
            assert request.transport is not None
            request.transport.abort()
        return response

    return handler


@dataclass(slots=True)
class Script:
    """Answers lists and watches from two queues; a watch beyond the last one holds on in silence."""

    lists: deque[Step]
    watches: deque[Step]
    queries: list[dict[str, str]] = field(default_factory=list)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        query = dict(request.query)
        self.queries.append(query)
        steps = self.watches if "watch" in query else self.lists
        step = steps.popleft() if steps or steps is self.lists else stream()
        return step if isinstance(step, web.Response) else await step(request)

    def positions(self) -> list[str]:
        """The resourceVersions from which watches were asked for, with `list` for each page asked for."""
        return [query["resourceVersion"] if "watch" in query else "list" for query in self.queries]


class Mirror:
    """A sink that keeps what it is told and how it was told."""

    def __init__(self) -> None:
        self.items: dict[Key, str] = {}
        self.calls: list[str] = []

    def replace(self, items: Mapping[Key, str], resource_version: str) -> None:
        self.items = dict(items)
        self.calls.append(f"replace at {resource_version}")

    def upsert(self, key: Key, value: str) -> None:
        self.items[key] = value
        self.calls.append(f"upsert {key[1]}")

    def remove(self, key: Key) -> None:
        self.items.pop(key, None)
        self.calls.append(f"remove {key[1]}")

    def names(self) -> list[str]:
        """Names of what is there, sorted."""
        return sorted(name for _, name in self.items)


async def until(true: Callable[[], object], seconds: float = 5.0) -> None:
    """Waits until `true()` holds."""
    for _ in range(round(seconds / 0.002)):
        if true():
            return
        await asyncio.sleep(0.002)
    raise TimeoutError(f"not within {seconds} s")
