"""Where the API server is and how to log in, from a kubeconfig or from inside a pod.

Kubeconfigs are read by the official package: merging of several files, inline certificates, token files,
login plugins, OIDC. It is imported inside the functions that use it, because that import costs 0.2 s and 15
MB on top of aiohttp's, which `berth --help` should not pay.

Order, as kubectl and controllers have it: the argument, $KUBECONFIG, the pod's service account,
~/.kube/config. A place that was named and does not work is an error; it never falls through to the next.
"""

# The official package annotates its models, not its loaders.
# mypy: allow-untyped-calls

import datetime
import os
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import yaml

from berth.kube.credentials import Credentials, Login
from berth.kube.plain import Plain
from berth.kube.plain import read as read_plain

if TYPE_CHECKING:
    from kubernetes.aio.client import Configuration

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TOKEN_FILE_LIFETIME = 60.0
"""Seconds for which a service account's token is taken from memory; the kubelet rewrites the file."""

PLUGIN_EARLY = datetime.timedelta(minutes=5)
PLUGIN_LEAST = 10.0
"""A login plugin is asked 5 minutes before its answer ends, yet never more often than once in 10 s."""


class ConfigError(ValueError):
    """No usable connection; the text names the file, the context, what is wrong and what to do."""


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach one API server. `source` says in words where this was found.

    `ca_file`, `cert_file`, `key_file` and `verify` repeat what `tls` was made of, for libraries that build
    their own.
    """

    base_url: str
    credentials: Credentials
    tls: ssl.SSLContext | None = None
    server_name: str | None = None
    proxy: str | None = None
    namespace: str = "default"
    source: str = ""
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    verify: bool = True


async def load(
    *,
    kubeconfig: str | None = None,
    context: str | None = None,
    quick: bool = False,
    environ: Mapping[str, str] = os.environ,
    service_account: Path = SERVICE_ACCOUNT,
) -> Connection:
    """The connection that a user or a pod expects. Raises ConfigError.

    `kubeconfig` is a path, or several with the system's path separator; `context` one of its contexts. `quick`: a
    plain one is read without the official package, for a process that is to end soon.
    """
    named = kubeconfig or environ.get("KUBECONFIG")
    if not named and environ.get("KUBERNETES_SERVICE_HOST") and context is None:
        return await _from_pod(environ, service_account)
    return await _from_kubeconfig(_existing(named), context, quick=quick)


def _existing(named: str | None) -> str:
    """The paths to read; of several, those that exist, as kubectl does."""
    paths = (named or str(Path.home() / ".kube" / "config")).split(os.pathsep)
    existing = [path for path in paths if path and Path(path).expanduser().is_file()]
    if not existing:
        remedy = "correct the path" if named else "give --kubeconfig or set KUBECONFIG"
        raise ConfigError(f"kubeconfig {os.pathsep.join(paths)}: there is no such file; {remedy}")
    return os.pathsep.join(existing)


async def _from_kubeconfig(paths: str, context: str | None, *, quick: bool) -> Connection:
    where = f"kubeconfig {paths}"
    plain = read_plain(paths, context) if quick else None
    configuration: Configuration | Plain
    if plain is not None:
        login = Login(authorization=_header(plain), cert_file=plain.cert_file, key_file=plain.key_file)
        configuration, current = plain, plain.context
    else:
        configuration, login, current = await _read(paths, context, where)
    name, namespace = current["name"], current["context"].get("namespace") or "default"

    async def again() -> Login:
        return (await _read(paths, name, where))[1]

    return _connection(configuration, login, load=again, namespace=namespace, source=f"{where}, context {name}")


async def _read(paths: str, context: str | None, where: str) -> tuple["Configuration", Login, Mapping[str, Any]]:
    """One reading of a kubeconfig: settings, login, and the entry of the context in use."""
    from kubernetes.aio.client import Configuration  # see the module's docstring
    from kubernetes.aio.config import ConfigException, load_kube_config

    where = f"{where}, context {context or '(current)'}"
    configuration = Configuration()
    try:
        loader = await load_kube_config(
            config_file=paths, context=context, client_configuration=configuration, persist_config=False
        )
    except (
        ConfigException,
        yaml.YAMLError,
        OSError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        aiohttp.ClientError,
    ) as error:
        raise ConfigError(f"{where}: {error}; `kubectl config get-contexts` lists what is there") from error
    expiry = getattr(loader, "exec_plugin_expiry", None)
    login = Login(
        authorization=_header(configuration),
        cert_file=configuration.cert_file,
        key_file=configuration.key_file,
        lifetime=None if expiry is None else _seconds_until(expiry),
    )
    if configuration.host.startswith("https") and login.authorization is None and login.cert_file is None:
        raise ConfigError(
            f"{where}: its user gives neither a token nor a client certificate; if it has a login plugin "
            "(exec), that failed: run `kubectl get namespaces` with this context to see why"
        )
    return configuration, login, loader.current_context


async def _from_pod(environ: Mapping[str, str], directory: Path) -> Connection:
    from kubernetes.aio.client import Configuration  # see the module's docstring
    from kubernetes.aio.config import ConfigException
    from kubernetes.aio.config.incluster_config import InClusterConfigLoader

    configuration = Configuration()

    async def read() -> Login:
        loader = InClusterConfigLoader(
            token_filename=str(directory / "token"), cert_filename=str(directory / "ca.crt"), environ=environ
        )
        try:
            loader.load_and_set(configuration)
        except (ConfigException, OSError) as error:
            raise ConfigError(
                f"service account in {directory}: {error} Is automountServiceAccountToken off for this pod?"
            ) from error
        return Login(authorization=_header(configuration), lifetime=TOKEN_FILE_LIFETIME)

    login = await read()
    namespace_file = directory / "namespace"
    namespace = namespace_file.read_text().strip() if namespace_file.is_file() else "default"
    source = f"service account in {directory}"
    return _connection(configuration, login, load=read, namespace=namespace, source=source)


def _connection(
    configuration: "Configuration | Plain",
    login: Login,
    *,
    load: Callable[[], Awaitable[Login]],
    namespace: str,
    source: str,
) -> Connection:
    verify = bool(configuration.verify_ssl)
    try:
        tls = trust(configuration.ssl_ca_cert, verify=verify) if configuration.host.startswith("https") else None
        credentials = Credentials(login, load=load, tls=tls)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"{source}: its certificates cannot be used: {error}") from error
    return Connection(
        base_url=configuration.host.rstrip("/"),
        credentials=credentials,
        tls=tls,
        server_name=configuration.tls_server_name,
        proxy=configuration.proxy,
        namespace=namespace,
        source=source,
        ca_file=configuration.ssl_ca_cert,
        cert_file=configuration.cert_file,
        key_file=configuration.key_file,
        verify=verify,
    )


def trust(ca_file: str | None, *, verify: bool) -> ssl.SSLContext:
    """A TLS context that trusts `ca_file`, the system's authorities when it is None, or anybody without `verify`."""
    context = ssl.create_default_context(cafile=ca_file)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _header(configuration: "Configuration | Plain") -> str | None:
    """The Authorization header; a token file's last newline would make it one that HTTP does not allow."""
    value = configuration.api_key.get("BearerToken")
    return value.strip() if value else None


def _seconds_until(expiry: datetime.datetime) -> float:
    left = expiry - PLUGIN_EARLY - datetime.datetime.now(tz=datetime.UTC)
    return max(PLUGIN_LEAST, left.total_seconds())
