"""Kubeconfigs that say all themselves, read without the official package.

Its import takes longer than everything else that a command for people does. What is read here is the plain case: one
file, a context, a server, and a token or a client certificate, inline or in files. All else (login plugins, several
files, passwords, anything that is not known here or looks wrong) is `None`, and is read, or refused, by the official
package. A test holds that both read the same.
"""

import atexit
import base64
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_CLUSTER = {
    "server",
    "certificate-authority",
    "certificate-authority-data",
    "insecure-skip-tls-verify",
    "tls-server-name",
    "proxy-url",
    "extensions",
}
_USER = {"client-certificate", "client-certificate-data", "client-key", "client-key-data", "token", "tokenFile"}


@dataclass(frozen=True, slots=True)
class Plain:
    """What a context says; the names are those of the official package's Configuration. `context`: its entry."""

    host: str
    context: Mapping[str, Any]
    ssl_ca_cert: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    verify_ssl: bool = True
    tls_server_name: str | None = None
    proxy: str | None = None
    api_key: Mapping[str, str] = field(default_factory=dict, repr=False)


def read(paths: str, context: str | None) -> Plain | None:
    """The settings of one context; None where the official package has to read it."""
    if os.pathsep in paths:
        return None
    path = Path(paths).expanduser()
    try:
        config = yaml.load(path.read_text(), _LOADER)  # noqa: S506  # a safe loader, in C where there is one
        entry = _named(config["contexts"], context or config["current-context"])
        cluster = _named(config["clusters"], entry["context"]["cluster"])["cluster"]
        user = _named(config["users"], entry["context"]["user"])["user"]
        return _plain(path.parent, entry, cluster, user)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, yaml.YAMLError):
        return None


_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _plain(directory: Path, entry: dict[str, Any], cluster: dict[str, Any], user: dict[str, Any]) -> Plain | None:
    host = cluster["server"].strip()
    if cluster.keys() - _CLUSTER or user.keys() - _USER or not host.startswith("https://"):
        return None
    skip = cluster.get("insecure-skip-tls-verify", False)
    token = (
        user.get("token") or (directory / user["tokenFile"]).read_text() if user.keys() & {"token", "tokenFile"} else ""
    )
    certificate, key = (_file(directory, user, f"client-{kind}") for kind in ("certificate", "key"))
    if not isinstance(skip, bool) or not isinstance(token, str) or not (token or (certificate and key)):
        return None
    return Plain(
        host=host,
        context=entry,
        ssl_ca_cert=_file(directory, cluster, "certificate-authority"),
        cert_file=certificate,
        key_file=key,
        verify_ssl=not skip,
        tls_server_name=cluster.get("tls-server-name"),
        proxy=cluster.get("proxy-url"),
        api_key={"BearerToken": f"Bearer {token.strip()}"} if token else {},
    )


def _named(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """The only entry of a name. Raises LookupError, which leaves the file to the official package."""
    found = [entry for entry in entries if entry["name"] == name]
    if len(found) != 1:
        raise LookupError(name)
    return found[0]


def _file(directory: Path, settings: dict[str, Any], name: str) -> str | None:
    """The file that a setting names or holds; what it holds is kept in a file until the process ends."""
    data = settings.get(f"{name}-data")
    if data:
        handle, path = tempfile.mkstemp(prefix="berth-")
        atexit.register(Path(path).unlink, missing_ok=True)
        with os.fdopen(handle, "wb") as file:
            file.write(base64.b64decode(data, validate=True))
        return path
    named = settings.get(name)
    if not named:
        return None
    path = str(directory / named)
    if not Path(path).is_file():
        raise LookupError(path)
    return path
