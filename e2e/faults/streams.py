"""Watches on their way through the proxy: line by line, held back, told twice, or ended before their time."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable

import aiohttp
from aiohttp import web

from e2e.faults.calls import Call
from e2e.faults.rules import Duplication, Hold, Rule

_REASONS = {410: "Expired", 429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable"}


def status(code: int, message: str) -> dict[str, object]:
    """A failure as the API server words it."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": _REASONS.get(code, ""),
        "code": code,
    }


def refused(code: int, retry_after: int | None = None) -> web.Response:
    """An answer that refuses."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return web.json_response(status(code, "the fault proxy refuses"), status=code, headers=headers)


EXPIRED = json.dumps({"type": "ERROR", "object": status(410, "too old resource version")}).encode() + b"\n"


class Stream:
    """One open watch."""

    def __init__(self, call: Call, request: web.BaseRequest, response: web.StreamResponse) -> None:
        self.call = call
        self.request = request
        self._response = response
        self.told: Counter[str] = Counter()
        """Events passed on, by type."""
        self._pump: asyncio.Task[None] | None = None
        self._ending: asyncio.Event | None = None

    async def relay(self, source: aiohttp.StreamReader, rules: Callable[[], tuple[Rule, ...]]) -> None:
        """Pass lines on until either side ends, or ``end`` does."""
        self._pump = asyncio.create_task(self._pass_on(source, rules))
        try:
            await asyncio.wait({self._pump})
            if self._ending is not None:
                await self._ending.wait()
        finally:
            self._pump.cancel()
        if not self._pump.cancelled():
            error = self._pump.exception()
            if error is not None:
                raise error

    async def end(self, last: bytes, *, whole: bool) -> None:
        """End it with these last bytes; ``whole``: in good order, else by a broken connection."""
        if self._pump is None or self._ending is not None:
            return
        # Whoever relays would end the answer as soon as the pump stands still.
        self._ending = asyncio.Event()
        self._pump.cancel()
        await asyncio.wait({self._pump})
        try:
            with contextlib.suppress(ConnectionError):
                await self._response.write(last)
            transport = self.request.transport
            if not whole and transport is not None:
                # Closing sends what was written first; aborting would throw it away.
                transport.close()
        finally:
            self._ending.set()

    # Every event begins with {"type":"…": the API server writes its fields in that order.
    async def _pass_on(self, source: aiohttp.StreamReader, rules: Callable[[], tuple[Rule, ...]]) -> None:
        async for line in _lines(source):
            for rule in rules():
                if isinstance(rule, Hold):
                    await rule.passage(self.call, None)
            twice = any(isinstance(rule, Duplication) and rule.on(self.call) for rule in rules())
            await self._response.write(line * 2 if twice else line)
            self.told[line[9 : line.index(b'"', 9)].decode()] += 1


async def _lines(source: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length: aiohttp's own reader limits them."""
    rest = b""
    async for chunk in source.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line + b"\n"
