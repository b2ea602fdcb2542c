"""The proxy: plain HTTP on loopback in front, TLS with the login of a kubeconfig behind.

It runs in a thread and an event loop of its own, so that tests stay plain code; its methods may be called from any
thread. A call passes the rules in this order: the dead send nothing; refusals; holds; then, one write at a time while
a crash is armed, crash before, the API server, crash after; then refusals and holds of answers. Watches pass line by
line, and rules that come while one is open apply to it.
"""

import asyncio
import threading
import time
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp
from aiohttp import web

from e2e.faults.calls import Call, Match, parse
from e2e.faults.rules import Crash, Duplication, Expiry, Hold, Moment, Refusal, Rule, Victim
from e2e.faults.streams import EXPIRED, Stream, refused
from e2e.faults.upstream import Upstream, kubeconfig_of, passed

T = TypeVar("T")
R = TypeVar("R", bound=Rule)

_START_S = 10.0
_ORDER_S = 10.0
_CLOSE_S = 0.5
_ANSWER_S = 1.0
_POLL_S = 0.002
_LOST = (aiohttp.ClientError, TimeoutError, OSError)


@dataclass(frozen=True, slots=True)
class Write:
    """A write that the API server was asked for, in order of its answers. ``code`` 0: it gave none."""

    call: Call
    code: int


class FaultProxy:
    """A proxy before the API server of ``kubeconfig``, which has its user's certificate or token in it.

    ``directory`` gets the kubeconfig that leads to the proxy.
    """

    def __init__(self, kubeconfig: Path, directory: Path) -> None:
        self._upstream = Upstream(kubeconfig)
        directory.mkdir(parents=True, exist_ok=True)
        self.kubeconfig = directory / "faults.kubeconfig"
        self._rules: tuple[Rule, ...] = ()
        self._writes: list[Write] = []
        self._asked = 0  # writes that the API server has not answered yet
        self._dead: tuple[Victim, int] | None = None
        self._open: dict[int, tuple[web.BaseRequest, Call]] = {}
        self._streams: set[Stream] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="faults", daemon=True)
        self._closing = AsyncExitStack()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Listen on a free port, and write the kubeconfig that leads there."""
        self._thread.start()
        port = self._order(self._start(), _START_S)
        self.kubeconfig.write_text(kubeconfig_of(f"http://127.0.0.1:{port}"))

    def stop(self) -> None:
        """Cut everything and end."""
        self.clear()
        self._order(self._stop(), _START_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_START_S)
        self._loop.close()

    # What was written

    def writes(self, on: Match | None = None) -> list[Write]:
        """Writes that were answered since the start or the last ``forget``, dry runs left out."""
        return [write for write in tuple(self._writes) if on is None or on(write.call)]

    def all_writes(self, on: Match | None = None) -> list[Write]:
        """The same, once those under way have their answers: what was seen in the API server is among them."""
        end = time.monotonic() + _ANSWER_S
        while self._asked and time.monotonic() < end:
            time.sleep(_POLL_S)
        return self.writes(on)

    def forget(self) -> None:
        """Count writes that come from here on; one on its way already, and perhaps seen before its answer, is not."""
        self._writes = []

    def told(self, on: Match, kind: str) -> int:
        """How many events of a type (``DELETED``) the watches that are open now have told."""

        async def count() -> int:
            return sum(stream.told[kind] for stream in self._streams if on(stream.call))

        return self._order(count())

    # Faults

    def crash(self, victim: Victim, *, on: Match, nth: int = 1, moment: Moment = Moment.BEFORE) -> Crash:
        """Kill ``victim`` at the ``nth`` call of those chosen; they should be writes."""
        return self._add(Crash(victim, on, nth=nth, moment=moment, lift=self._drop))

    def refuse(
        self,
        on: Match,
        *,
        status: int,
        retry_after: int | None = None,
        times: int | None = None,
        moment: Moment = Moment.BEFORE,
    ) -> Refusal:
        """Answer with ``status`` (0: cut the connection) in place of the API server, ``times`` times or for ever."""
        return self._add(
            Refusal(on, status=status, retry_after=retry_after, times=times, moment=moment, lift=self._drop)
        )

    def hold(self, on: Match, *, moment: Moment = Moment.BEFORE) -> Hold:
        """Hold back calls, or the events of watches, until the rule is lifted."""
        return self._add(Hold(on, moment=moment, lift=self._drop))

    def duplicate(self, on: Match) -> Duplication:
        """Tell every event of these watches twice."""
        return self._add(Duplication(on, self._drop))

    def expire(self, on: Match) -> Expiry:
        """End open watches with an ERROR event of code 410, and answer those that would go on with the same.

        What a ``Hold`` of theirs has kept back is lost; lift it afterwards. Until the rule is lifted, each kind must
        be listed before it can be watched again.
        """
        rule = self._add(Expiry(on, self._drop))
        self._order(self._end(on, EXPIRED))
        return rule

    def cut(self, on: Match, *, half_line: bool = False) -> int:
        """Break the connections of calls that are open now; how many. ``half_line``: in the middle of an event."""
        return self._order(self._cut(on, half_line))

    def clear(self) -> None:
        """Lift all rules."""
        for rule in self._rules:
            rule.lift()

    # Rules, from any thread

    def _add(self, rule: R) -> R:
        async def add() -> None:
            self._rules = (*self._rules, rule)

        self._order(add())
        return rule

    def _drop(self, rule: Rule) -> None:
        async def drop() -> None:
            self._rules = tuple(known for known in self._rules if known is not rule)
            if isinstance(rule, Hold):
                rule.open()

        self._order(drop())

    def _order(self, work: Coroutine[Any, Any, T], timeout_s: float = _ORDER_S) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)

    # In the loop

    async def _start(self) -> int:
        self._one_write = asyncio.Lock()
        await self._closing.enter_async_context(self._upstream)
        runner = web.ServerRunner(web.Server(self._handle, access_log=None), shutdown_timeout=_CLOSE_S)
        await runner.setup()
        self._closing.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return int(runner.addresses[0][1])

    async def _stop(self) -> None:
        await self._cut(lambda _: True, half_line=False)
        await self._closing.aclose()

    async def _cut(self, on: Match, half_line: bool) -> int:
        chosen = [(request, call) for request, call in self._open.values() if on(call)]
        streaming = {id(stream.request) for stream in self._streams}
        await self._end(on, b'{"type":"MODIFIED","object":{"kind":' if half_line else b"", whole=False)
        for request, _ in chosen:
            if id(request) not in streaming:
                _abort(request)
        return len(chosen)

    async def _end(self, on: Match, last: bytes, *, whole: bool = True) -> None:
        for stream in [stream for stream in self._streams if on(stream.call)]:
            await stream.end(last, whole=whole)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        call = parse(request.method, request.path, request.query, request.headers.get("Content-Type", ""))
        self._open[id(request)] = request, call
        try:
            return await self._pass(request, call)
        except _LOST:
            return _abort(request)
        finally:
            del self._open[id(request)]

    async def _pass(self, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        body = await request.read()
        answer = self._refusal(request, call, Moment.BEFORE)
        if answer is not None:
            return answer
        if call.verb == "watch":
            return await self._watch(request, call)
        await self._held(call, Moment.BEFORE)
        if call.write and any(isinstance(rule, Crash) for rule in self._rules):
            async with self._one_write:
                answer = await self._forward_or_die(request, call, body)
        elif self._is_dead():
            return _abort(request)
        else:
            answer = await self._forward(request, call, body)
        replaced = self._refusal(request, call, Moment.AFTER)
        await self._held(call, Moment.AFTER)
        return replaced or answer

    async def _forward_or_die(self, request: web.BaseRequest, call: Call, body: bytes) -> web.StreamResponse:
        """Forward a write unless a crash is due at it."""
        if self._is_dead():
            return _abort(request)
        due = [rule for rule in self._rules if isinstance(rule, Crash) and rule.due(call)]
        for crash in due:
            if crash.moment is Moment.BEFORE:
                self._dead = crash.strike(call)
                return _abort(request)
        answer = await self._forward(request, call, body)
        for crash in due:
            self._dead = crash.strike(call)
            return _abort(request)
        return answer

    async def _forward(self, request: web.BaseRequest, call: Call, body: bytes) -> web.StreamResponse:
        code = 0
        writes = self._writes
        self._asked += call.write
        try:
            async with self._upstream.ask(request, body) as answer:
                content = await answer.read()
            code = answer.status
        finally:
            if call.write:
                writes.append(Write(call, code))
                self._asked -= 1
        for rule in self._rules:
            if isinstance(rule, Expiry):
                rule.note(call)
        return web.Response(status=code, body=content, headers=passed(answer.headers))

    async def _watch(self, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        if self._is_dead():
            return _abort(request)
        if any(isinstance(rule, Expiry) and rule.refuses(call) for rule in self._rules):
            # As the API server does it: the answer is well, and its first event is the error.
            return web.Response(body=EXPIRED, content_type="application/json")
        async with self._upstream.ask(request, b"") as answer:
            response = web.StreamResponse(status=answer.status, headers=passed(answer.headers))
            await response.prepare(request)
            stream = Stream(call, request, response)
            self._streams.add(stream)
            try:
                await stream.relay(answer.content, lambda: self._rules)
            finally:
                self._streams.discard(stream)
        return response

    def _refusal(self, request: web.BaseRequest, call: Call, moment: Moment) -> web.StreamResponse | None:
        """The answer in place of the API server's, if there is to be one."""
        for rule in self._rules:
            if isinstance(rule, Refusal) and rule.applies(call, moment):
                return refused(rule.status, rule.retry_after) if rule.status else _abort(request)
        return None

    async def _held(self, call: Call, moment: Moment) -> None:
        for rule in self._rules:
            if isinstance(rule, Hold):
                await rule.passage(call, moment)

    def _is_dead(self) -> bool:
        """Whether whoever sends this was killed: what it had sent before is still on its way through the sockets."""
        return self._dead is not None and self._dead[0].pid == self._dead[1]


def _abort(request: web.BaseRequest) -> web.StreamResponse:
    """Break the connection; what is returned goes nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
