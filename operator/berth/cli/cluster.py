"""The cluster as a command sees it: one connection, and errors in words that say what to do."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from berth import __version__
from berth.kube import nesting
from berth.kube.client import ApiClient
from berth.kube.config import load
from berth.kube.errors import ApiError, Forbidden, NotFound
from berth.kube.listing import list_all
from berth.kube.resources import Resource

JsonObject = dict[str, Any]

_CONNECTIONS = 8
_SECONDS = 30.0


class CommandError(Exception):
    """A command cannot do what it was asked; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Target:
    """Which cluster and which namespace; None: as the kubeconfig says. `everywhere`: all namespaces."""

    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None
    everywhere: bool = False

    def scope(self, client: ApiClient) -> str | None:
        """Namespace to look into; None for all."""
        return None if self.everywhere else self.namespace or client.connection.namespace


@asynccontextmanager
async def connected(target: Target) -> AsyncIterator[ApiClient]:
    """A client. Raises ConfigError, and CommandError for what the API server refuses inside."""
    nesting.allow()
    connection = await load(kubeconfig=target.kubeconfig, context=target.context, quick=True)
    agent = f"kubectl-berth/{__version__}"
    async with ApiClient(connection, limit=_CONNECTIONS, timeout=_SECONDS, user_agent=agent) as client:
        try:
            yield client
        except ApiError as error:
            raise CommandError(told(error)) from error


async def listed(client: ApiClient, resource: Resource, namespace: str | None) -> list[JsonObject]:
    """All objects of a kind, by namespace and name. Raises ApiError."""
    found = await list_all(client, resource, project=lambda item: item, namespace=namespace)
    return [found.items[key] for key in sorted(found.items)]


async def named(client: ApiClient, resource: Resource, name: str, namespace: str | None) -> JsonObject:
    """One object. Raises CommandError if it is not there, ApiError."""
    try:
        return await client.get(resource, name, namespace=namespace)
    except NotFound as error:
        if f'"{name}"' not in error.message:
            raise
        where = f"{namespace}/{name}" if namespace else name
        scope = f" -n {namespace}" if namespace else ""
        text = f"there is no {resource.kind} {where}; `kubectl get {resource.plural}{scope}` lists what there is"
        raise CommandError(text) from error


def told(error: ApiError) -> str:
    """An error of the API server with what a user can do about it."""
    if isinstance(error, NotFound) and "could not find the requested resource" in error.message:
        return f"{error}; Berth's CRDs are not installed in this cluster: kubectl apply -f crds/"
    return str(error)


def missing(refused: Iterable[Forbidden]) -> CommandError:
    """The error of a command that lacks rights, all of them told at once."""
    found = "\n".join(dict.fromkeys(f"  {error.request}: {error.message}" for error in refused))
    return CommandError(
        "this command looks at the whole cluster, and you lack rights for that; ask for a role that grants them:\n"
        f"{found}"
    )
