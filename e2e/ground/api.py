"""A small client of the API server: JSON over TLS connections that are kept and shared.

The ground needs a handful of verbs, thousands of times in a second; a generated client would spend more time on
its models than on the wire.
"""

import base64
import contextlib
import http.client
import json
import select
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import yaml

_T = TypeVar("_T")
_R = TypeVar("_R")

_TIMEOUT_S = 30.0
_IDLE_S = 60.0
_WORKERS = 8

JsonObject = dict[str, Any]


class ApiError(RuntimeError):
    """The API server refused a request; ``status`` is the HTTP status and ``reason`` Kubernetes' word for it."""

    def __init__(self, method: str, path: str, status: int, body: bytes) -> None:
        self.status = status
        try:
            answer = json.loads(body)
            self.reason, message = str(answer["reason"]), str(answer["message"])
        except (ValueError, KeyError, TypeError):
            self.reason, message = "", body.decode(errors="replace")[:500]
        super().__init__(f"{method} {path}: {status} {self.reason} {message}".rstrip())


class Stream:
    """An answer that goes on, such as a watch, line by line. ``close`` may be called from another thread."""

    def __init__(self, connection: http.client.HTTPSConnection, response: http.client.HTTPResponse) -> None:
        self._connection = connection
        self._response = response

    def lines(self) -> Iterator[bytes]:
        """Lines as they come; OSError or ValueError once it is closed."""
        while line := self._response.readline():
            yield line

    def close(self) -> None:
        """Cut it: a thread that waits for a line wakes up."""
        if self._connection.sock is not None:
            with contextlib.suppress(OSError):  # cut by the server already
                self._connection.sock.shutdown(socket.SHUT_RDWR)
        self._connection.close()


class Api:
    """Requests to one API server as one user.

    May be used from several threads: a request takes an idle connection, or opens one, and gives it back.
    """

    def __init__(self, server: str, context: ssl.SSLContext, *, token: str = "", timeout_s: float = _TIMEOUT_S) -> None:
        address = urlsplit(server)
        if address.hostname is None or address.port is None:
            raise ValueError(f"server {server!r} is not an address like https://127.0.0.1:6443")
        self._host, self._port = address.hostname, address.port
        self._context = context
        self._timeout_s = timeout_s
        self._token = token
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._idle: list[tuple[http.client.HTTPSConnection, float]] = []
        self._lock = threading.Lock()

    @classmethod
    def from_kubeconfig(cls, path: Path, *, timeout_s: float = _TIMEOUT_S) -> "Api":
        """The server and user of a kubeconfig that embeds its certificates, as ``pki.kubeconfig`` writes it."""
        content = yaml.safe_load(path.read_text())
        cluster, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
        context = tls_context(
            base64.b64decode(cluster["certificate-authority-data"]),
            base64.b64decode(user["client-certificate-data"]),
            base64.b64decode(user["client-key-data"]),
        )
        return cls(cluster["server"], context, timeout_s=timeout_s)

    @classmethod
    def with_token(cls, kubeconfig: Path, token: str) -> "Api":
        """The server of a kubeconfig, as whoever the token says, such as a service account."""
        cluster = yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        return cls(cluster["server"], ssl.create_default_context(cadata=authority), token=token)

    def at(self, server: str) -> "Api":
        """The same user at another server."""
        return Api(server, self._context, token=self._token, timeout_s=self._timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the idle connections; later requests open new ones."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection, _ in idle:
            connection.close()

    def gone(self, path: str) -> bool:
        """Whether an object is not there; ApiError where that cannot be told."""
        try:
            self.get(path)
        except ApiError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            return True
        return False

    def get(self, path: str) -> JsonObject:
        """GET; ApiError on refusal, OSError when the server cannot be reached."""
        return self._json("GET", path)

    def create(self, path: str, body: JsonObject) -> JsonObject:
        """POST to a collection."""
        return self._json("POST", path, body)

    def patch(self, path: str, body: JsonObject, *, kind: str = "merge") -> JsonObject:
        """PATCH with a ``merge`` or ``strategic-merge`` patch."""
        return self._json("PATCH", path, body, content_type=f"application/{kind}-patch+json")

    def replace(self, path: str, body: JsonObject) -> JsonObject:
        """PUT an object in the place of the one that is there."""
        return self._json("PUT", path, body)

    def delete(self, path: str, body: JsonObject | None = None) -> JsonObject:
        """DELETE an object, or a whole collection."""
        return self._json("DELETE", path, body)

    def text(self, path: str) -> str:
        """GET an answer that is no JSON, such as ``/readyz``."""
        return self._request("GET", path, None, "application/json").decode()

    def stream(self, path: str, *, timeout_s: float = 3600.0) -> Stream:
        """GET an answer that goes on; ApiError on refusal. ``timeout_s``: it is cut after so long a silence."""
        connection = http.client.HTTPSConnection(self._host, self._port, timeout=timeout_s, context=self._context)
        connection.request("GET", path, headers={"Accept": "application/json", **self._headers})
        response = connection.getresponse()
        if response.status >= http.client.BAD_REQUEST:
            answer = response.read()
            connection.close()
            raise ApiError("GET", path, response.status, answer)
        return Stream(connection, response)

    def each(self, work: Callable[[_T], _R], items: Iterable[_T], *, workers: int = _WORKERS) -> list[_R]:
        """Results of ``work`` for every item, done by several threads; the first exception is raised."""
        with ThreadPoolExecutor(workers, thread_name_prefix="api") as pool:
            return list(pool.map(work, items))

    def _json(
        self, method: str, path: str, body: JsonObject | None = None, content_type: str = "application/json"
    ) -> JsonObject:
        answer: JsonObject = json.loads(self._request(method, path, body, content_type))
        return answer

    def _request(self, method: str, path: str, body: JsonObject | None, content_type: str) -> bytes:
        connection = self._take()
        content = None if body is None else json.dumps(body).encode()
        try:
            headers = {"Content-Type": content_type, "Accept": "application/json", **self._headers}
            connection.request(method, path, content, headers)
            response = connection.getresponse()
            answer = response.read()
        except BaseException:
            # A connection that broke, or was left in the middle of an answer, must not serve the next request.
            connection.close()
            raise
        with self._lock:
            self._idle.append((connection, time.monotonic()))
        if response.status >= http.client.BAD_REQUEST:
            raise ApiError(method, path, response.status, answer)
        return answer

    def _take(self) -> http.client.HTTPSConnection:
        while True:
            with self._lock:
                connection, used = self._idle.pop() if self._idle else (None, 0.0)
            if connection is None:
                break
            # The server closes what was idle for 90 s, perhaps just as the next request is on its way. A connection
            # with something to read was closed by the server, as by one that was restarted.
            fresh = time.monotonic() - used < _IDLE_S
            if fresh and connection.sock is not None and not select.select([connection.sock], [], [], 0)[0]:
                return connection
            connection.close()
        return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout_s, context=self._context)


def tls_context(authority: bytes, certificate: bytes, key: bytes) -> ssl.SSLContext:
    """A client's TLS settings from PEM contents; nobody but ``authority`` is trusted."""
    context = ssl.create_default_context(cadata=authority.decode())
    # The ssl module reads a client's key from files only.
    with tempfile.TemporaryDirectory(prefix="berth-tls-") as directory:
        bundle = Path(directory) / "client.pem"
        bundle.touch(mode=0o600)
        bundle.write_bytes(certificate + key)
        context.load_cert_chain(bundle)
    return context
