"""The way from the proxy to the API server: its address, a certificate or a token, and kept connections."""

import asyncio
import base64
import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import yaml
from aiohttp import web
from yarl import URL

from e2e.ground.api import tls_context

_CONNECT_S = 10.0
_GOODBYE_S = 0.5
_OWN = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "host", "accept-encoding", "date"})
"""Headers that are the two ends' own business."""


class Upstream:
    """Asks the API server of ``kubeconfig`` what somebody else has asked the proxy. Open with ``async with``."""

    def __init__(self, kubeconfig: Path) -> None:
        content = yaml.safe_load(kubeconfig.read_text())
        cluster, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
        self._server = str(cluster["server"])
        authority = base64.b64decode(cluster["certificate-authority-data"])
        self._login: dict[str, str] = {}
        if "token" in user:
            self._tls = ssl.create_default_context(cadata=authority.decode())
            self._login = {"Authorization": f"Bearer {user['token']}"}
        else:
            certificate, key = (base64.b64decode(user[f"client-{part}-data"]) for part in ("certificate", "key"))
            self._tls = tls_context(authority, certificate, key)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self._tls),
            timeout=aiohttp.ClientTimeout(total=None, connect=_CONNECT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()
        # TLS connections say goodbye to each other; aiohttp does not wait for that, and offers nothing to wait for.
        await asyncio.sleep(_GOODBYE_S)

    def ask(self, request: web.BaseRequest, body: bytes) -> Any:
        """The answer to a request, as an asynchronous context manager; never compressed, so that lines can be seen."""
        return self._session.request(
            request.method,
            URL(self._server + request.raw_path, encoded=True),
            data=body or None,
            headers={**passed(request.headers), **self._login, "Accept-Encoding": "identity"},
            allow_redirects=False,
        )


def passed(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that go through."""
    return {name: value for name, value in headers.items() if name.lower() not in _OWN}


def kubeconfig_of(server: str) -> str:
    """A kubeconfig for a server that asks for no login."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "faults", "cluster": {"server": server}}],
            "users": [{"name": "admin", "user": {}}],
            "contexts": [{"name": "faults", "context": {"cluster": "faults", "user": "admin"}}],
            "current-context": "faults",
        }
    )
