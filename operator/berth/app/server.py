"""`/healthz`, `/readyz`, `/metrics` and `/debug/snapshot`.

Healthy: the loop has run a cycle lately and every reflector has heard from the API server or is trying; unhealthy means
that a restart may help, so an API server that is away does not make the operator unhealthy. Ready: the mirror is
complete and cycles run. The snapshot is the last cycle for `berth replay`; it is written in a thread, because it may be
megabytes, and the operator goes on meanwhile.
"""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

Check = Callable[[], list[str]]
"""Says what is wrong, one sentence each; nothing when all is well."""


class Server:
    """A small HTTP server. `address` is known once it has started.

    `dumped` gives what writes the last cycle; None before the first.
    """

    def __init__(
        self,
        *,
        listen: str,
        healthy: Check,
        ready: Check,
        leading: Check,
        registry: CollectorRegistry,
        dumped: Callable[[], Callable[[], bytes] | None] = lambda: None,
    ) -> None:
        host, _, port = listen.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)
        self._registry = registry
        self._dumped = dumped
        app = web.Application()
        app.router.add_get("/healthz", _checked(healthy))
        app.router.add_get("/readyz", _checked(ready))
        app.router.add_get("/leadz", _checked(leading))
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/debug/snapshot", self._snapshot)
        self._runner = web.AppRunner(app, access_log=None)
        self.address = ""

    async def start(self) -> None:
        """Listen. Raises OSError naming the address if it is taken."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.address = f"{host}:{port}"

    async def stop(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    async def _metrics(self, _request: web.Request) -> web.Response:
        body = generate_latest(self._registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _snapshot(self, _request: web.Request) -> web.Response:
        write = self._dumped()
        if write is None:
            return web.Response(status=503, text="no cycle has run yet\n")
        return web.Response(body=await asyncio.to_thread(write), content_type="application/json")


def _checked(check: Check) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(_request: web.Request) -> web.StreamResponse:
        wrong = check()
        if wrong:
            return web.Response(status=503, text="\n".join(wrong) + "\n")
        return web.Response(text="ok\n")

    return answer
