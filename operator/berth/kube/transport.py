"""Requests over a pool of kept connections: slots, time limits, login, errors, and the count of it all.

Waiting for a free slot and waiting for the server are two things. aiohttp's own pool limit counts both
against the request's time limit, so a burst of 5,000 creates would time out in its own queue. Here a
semaphore holds the queue and the clock starts with the request. Watches take no slot: they would hold it for
minutes.

Idle connections are kept for less than the 90 s after which API servers close them, so that a write rarely
meets a connection that is just being closed.
"""

import asyncio
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from berth.kube.config import ConfigError, Connection
from berth.kube.errors import ApiError, Unauthorized, Unreachable, from_response

OnCall = Callable[[str, str, int, float], None]
"""Told of each request: verb (`dry-run-create` for a create that stores nothing), resource (`pods`,
`trainingjobs/status`), HTTP code (0: no answer), seconds.

The seconds end with the answer's headers."""

KEPT_SECONDS = 60.0
CONNECT_SECONDS = 10.0
READ_BYTES = 1 << 20
"""Bytes of an answer that may wait to be read. A page of a list comes in thousands of chunks: with the usual 64 KiB the
connection is stopped and started again at every other of them."""

_NO_ANSWER = (
    aiohttp.ClientConnectionError,
    aiohttp.ClientPayloadError,
    aiohttp.ClientResponseError,
    OSError,
)


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `target` is path and query, `told` is how errors name it: `create pods team-a/x`."""

    verb: str
    method: str
    target: str
    resource: str
    told: str
    headers: Mapping[str, str]
    body: bytes | None = None

    @property
    def counted_as(self) -> str:
        """Its verb for the count: a dry run stores nothing, and is told apart."""
        return f"dry-run-{self.verb}" if "dryRun=" in self.target else self.verb

    @property
    def writes(self) -> bool:
        """Whether it changes anything on the server."""
        return self.method != "GET" and "dryRun=" not in self.target


class Transport:
    """One API server, seen from one event loop. Open with `async with`, or close with `close()`.

    `limit` is the number of requests at a time, `timeout` the seconds for each of them, `write_timeout` for those that
    change something. `write_guard` is called with those seconds right before such a request is sent, and forbids it by
    raising.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        limit: int = 64,
        timeout: float = 30.0,
        write_timeout: float | None = None,
        write_guard: Callable[[float], None] | None = None,
        user_agent: str = "berth",
        on_call: OnCall | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.connection = connection
        self.timeout = timeout
        self._write_timeout = timeout if write_timeout is None else write_timeout
        self._write_guard = write_guard
        self._headers = {"User-Agent": user_agent, "Accept-Encoding": "identity"}
        self._on_call = on_call
        self._clock = clock
        self._slots = asyncio.Semaphore(limit)
        self._renewal = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None
        self._generation = -1
        self._closing: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections. Cancel what is under way first: aiohttp leaves it to its time limit."""
        for task in self._closing:
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def request(self, request: Request) -> bytes:
        """The answer's body. Raises an `ApiError` for every answer of 400 and above and for none at all."""
        seconds = self._write_timeout if request.writes else self.timeout
        limits = aiohttp.ClientTimeout(total=seconds, connect=CONNECT_SECONDS)
        async with self._slots:
            try:
                async with self._answer(request, limits) as response:
                    return await response.read()
            except _NO_ANSWER as error:
                raise _unreachable(request, error) from error

    @asynccontextmanager
    async def stream(self, request: Request, *, stall: float) -> AsyncIterator[AsyncIterator[bytes]]:
        """The answer's bytes as they come. `stall` seconds without one end it as `Unreachable`."""
        limits = aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS, sock_read=stall)
        async with AsyncExitStack() as stack:
            try:
                response = await stack.enter_async_context(self._answer(request, limits))
            except _NO_ANSWER as error:
                raise _unreachable(request, error) from error
            yield _chunks(request, response)

    @asynccontextmanager
    async def _answer(self, request: Request, limits: aiohttp.ClientTimeout) -> AsyncIterator[aiohttp.ClientResponse]:
        """An answer whose status is below 400, its body unread. A 401 is tried once more with a new login."""
        for last in (False, True):
            authorization = await self.connection.credentials.fresh()
            response = await self._send(request, authorization, limits)
            async with response:
                if response.status < 400:
                    try:
                        yield response
                    finally:
                        _drop_unfinished(response)
                    return
                payload = await response.read()
            error = from_response(
                request=request.told, status=response.status, headers=response.headers, payload=payload
            )
            if last or not isinstance(error, Unauthorized):
                raise error
            await self._renew(error)

    async def _send(
        self, request: Request, authorization: str | None, limits: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        headers = request.headers
        if authorization is not None:
            headers = {**headers, "Authorization": authorization}
        # Nothing is waited for between the guard and the request: the term that it vouches for could end meanwhile.
        if request.writes and self._write_guard is not None:
            self._write_guard(self._write_timeout)
        started, code = self._clock(), 0
        try:
            response = await self._open_session().request(
                request.method,
                URL(self.connection.base_url + request.target, encoded=True),
                data=request.body,
                headers=headers,
                timeout=limits,
                allow_redirects=False,
                server_hostname=self.connection.server_name,
            )
            code = response.status
        finally:
            if self._on_call is not None:
                self._on_call(request.counted_as, request.resource, code, self._clock() - started)
        return response

    async def _renew(self, refused: ApiError) -> None:
        """Load credentials anew, once for all the requests that were refused together."""
        async with self._renewal:
            try:
                await self.connection.credentials.renew()
            except ConfigError as error:
                raise refused from error

    def _open_session(self) -> aiohttp.ClientSession:
        """The session whose connections were made with the current client certificate."""
        generation = self.connection.credentials.generation
        if self._session is not None and generation == self._generation:
            return self._session
        if self._session is not None:
            # Open connections keep the old certificate: requests on them get the time of one request to end.
            task = asyncio.create_task(_close_later(self._session, self.timeout))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        self._generation = generation
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,
                ssl=self.connection.tls if self.connection.tls is not None else True,
                keepalive_timeout=KEPT_SECONDS,
                socket_factory=_socket,
            ),
            headers=self._headers,
            read_bufsize=READ_BYTES,
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=self.connection.proxy,
        )
        return self._session


async def _chunks(request: Request, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.content.iter_any():
            yield chunk
    except _NO_ANSWER as error:
        raise _unreachable(request, error) from error


async def _close_later(session: aiohttp.ClientSession, seconds: float) -> None:
    try:
        await asyncio.sleep(seconds)
    finally:
        await session.close()


def _socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """A socket that notices a dead peer within about 30 s; TCP alone takes a quarter of an hour or longer."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family=family, type=kind, proto=protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000)
    return made


def _drop_unfinished(response: aiohttp.ClientResponse) -> None:
    """Drop the connection of an answer that was not read to its end, as a watch that was left.

    It cannot be used again, and a farewell in TLS would keep its socket until the other side replies or 30 s pass.
    """
    if response.connection is not None and response.connection.transport is not None:
        response.connection.transport.abort()


def _unreachable(request: Request, error: BaseException) -> Unreachable:
    message = str(error) or "no answer in time"
    return Unreachable(request=request.told, status=0, reason=type(error).__name__, message=message)
