"""Reads and writes of objects as plain JSON, one method for each verb of the API.

What a caller must know of the server's behaviour stands at the method. Bodies are dictionaries, encoded by
the standard library: of the CPU time of a pod's create that is a fifth, and a faster encoder would not be
worth a dependency. `metadata_only` asks the server for an answer of a few hundred bytes in place of the
object that was just sent.
"""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, TypedDict, Unpack
from urllib.parse import urlencode

from berth.api import names
from berth.kube.errors import Unavailable
from berth.kube.lean import lean
from berth.kube.resources import Resource
from berth.kube.transport import Request, Transport

JsonObject = dict[str, Any]
PatchKind = Literal["merge", "json", "strategic"]
Propagation = Literal["Background", "Foreground", "Orphan"]

_JSON = "application/json"
_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_APPLY = "application/apply-patch+yaml"
_PATCHES: Mapping[PatchKind, str] = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
}


class Selection(TypedDict, total=False):
    """Which objects a list holds (all if nothing is said), and how much of each."""

    namespace: str | None
    label_selector: str
    field_selector: str
    metadata_only: bool


class ApiClient(Transport):
    """The verbs of the API. All methods raise `ApiError`s.

    `metadata_only` asks for the metadata of the answer and nothing else. `dry_run` lets the server do
    everything but store, and refuses unknown fields (`fieldValidation=Strict`).
    """

    async def get(
        self,
        resource: Resource,
        name: str,
        *,
        namespace: str | None = None,
        subresource: str | None = None,
        metadata_only: bool = False,
    ) -> JsonObject:
        """One object."""
        return await self._json(
            _request("get", "GET", resource, namespace, name=name, subresource=subresource, accept=_one(metadata_only))
        )

    async def list(
        self,
        resource: Resource,
        *,
        limit: int | None = None,
        continue_token: str = "",
        **selection: Unpack[Selection],
    ) -> JsonObject:
        """One page of a list, at the newest state; `listing.list_all` goes through all pages.

        Without `metadata.managedFields`, which nobody reads.
        """
        request = list_request(resource, limit=limit, continue_token=continue_token, **selection)
        return listed(request, await self.request(request))

    async def create(
        self,
        resource: Resource,
        body: Mapping[str, Any],
        *,
        namespace: str | None = None,
        dry_run: bool = False,
        metadata_only: bool = False,
    ) -> JsonObject:
        """A new object; `apiVersion` and `kind` are filled in. A name that is taken is `AlreadyExists`."""
        request = _request(
            "create",
            "POST",
            resource,
            namespace,
            told=body.get("metadata", {}).get("name", ""),
            query=_writing(dry_run),
            accept=_one(metadata_only),
            body={"apiVersion": resource.api_version, "kind": resource.kind, **body},
        )
        return await self._json(request)

    async def update(
        self,
        resource: Resource,
        name: str,
        body: Mapping[str, Any],
        *,
        namespace: str | None = None,
        subresource: str | None = None,
        dry_run: bool = False,
    ) -> JsonObject:
        """The whole object, replaced. A resourceVersion in it that is not current is a `Conflict`."""
        query = _writing(dry_run)
        return await self._json(
            _request("update", "PUT", resource, namespace, name=name, subresource=subresource, query=query, body=body)
        )

    async def patch(
        self,
        resource: Resource,
        name: str,
        body: Mapping[str, Any] | Sequence[JsonObject],
        *,
        namespace: str | None = None,
        subresource: str | None = None,
        kind: PatchKind = "merge",
        dry_run: bool = False,
        metadata_only: bool = False,
    ) -> JsonObject:
        """Parts of an object. `json` takes a list of operations; `strategic` is not for custom resources."""
        request = _request(
            "patch",
            "PATCH",
            resource,
            namespace,
            name=name,
            subresource=subresource,
            query=_writing(dry_run),
            accept=_one(metadata_only),
            body=body,
            content_type=_PATCHES[kind],
        )
        return await self._json(request)

    async def apply(
        self,
        resource: Resource,
        name: str,
        body: Mapping[str, Any],
        *,
        namespace: str | None = None,
        subresource: str | None = None,
        resource_version: str | None = None,
        uid: str | None = None,
        field_manager: str = names.FIELD_MANAGER,
        force: bool = True,
        dry_run: bool = False,
        metadata_only: bool = False,
    ) -> JsonObject:
        """Server-side apply: the fields of `body` are ours, those that it no longer names are removed.

        `apiVersion`, `kind`, name and namespace are filled in. Two guards: with `resource_version`, an object
        that has changed meanwhile is a `Conflict`; with `uid`, one that is gone is a `Conflict` and one made
        anew is `Invalid`. Where no object of that name is there, an apply creates it, whatever
        `resource_version` says, unless `uid` is given; to a status, it is `NotFound`. Without `force`, a
        field that another manager has set to another value is a `Conflict`, whose causes name manager and
        field.
        """
        metadata = {**body.get("metadata", {}), "name": name}
        if namespace is not None:
            metadata["namespace"] = namespace
        metadata |= _given(resourceVersion=resource_version, uid=uid)
        owned = {"fieldManager": field_manager, "force": "true" if force else "false"}
        request = _request(
            "apply",
            "PATCH",
            resource,
            namespace,
            name=name,
            subresource=subresource,
            query=_writing(dry_run) | owned,
            accept=_one(metadata_only),
            body={"apiVersion": resource.api_version, "kind": resource.kind, **body, "metadata": metadata},
            content_type=_APPLY,
        )
        return await self._json(request)

    async def delete(
        self,
        resource: Resource,
        name: str,
        *,
        namespace: str | None = None,
        uid: str | None = None,
        resource_version: str | None = None,
        grace_seconds: int | None = None,
        propagation: Propagation | None = None,
        dry_run: bool = False,
    ) -> None:
        """Ask for the end of an object. `uid` and `resource_version` guard: another one is a `Conflict`.

        The object may live on for its grace period, or for as long as it has finalizers.
        """
        preconditions = _given(uid=uid, resourceVersion=resource_version)
        options = _given(
            preconditions=preconditions or None,
            gracePeriodSeconds=grace_seconds,
            propagationPolicy=propagation,
            # In the body: the server ignores the query of a delete that has a body, and would delete for real.
            dryRun=["All"] if dry_run else None,
        )
        await self.request(_request("delete", "DELETE", resource, namespace, name=name, body=_OPTIONS | options))

    async def delete_collection(
        self,
        resource: Resource,
        *,
        label_selector: str,
        namespace: str | None = None,
        grace_seconds: int | None = None,
        propagation: Propagation | None = None,
    ) -> None:
        """Ask for the end of all objects that `label_selector` selects; it may not be empty (ValueError)."""
        if not label_selector:
            raise ValueError(f"label_selector is empty, which selects all {resource.plural}: name the labels")
        options = _given(gracePeriodSeconds=grace_seconds, propagationPolicy=propagation)
        query = {"labelSelector": label_selector}
        await self.request(
            _request("deletecollection", "DELETE", resource, namespace, query=query, body=_OPTIONS | options)
        )

    def watch(
        self,
        resource: Resource,
        *,
        resource_version: str,
        seconds: int,
        stall: float,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The bytes of a watch with bookmarks that begins after `resource_version` and ends after `seconds`.

        One JSON event a line; chunks end anywhere. `stall` seconds without a byte end it as `Unreachable`.
        """
        query: dict[str, str | int | None] = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": seconds,
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
        }
        accept = _one(metadata_only)
        request = _request("watch", "GET", resource, namespace, query=query, accept=accept)
        return self.stream(request, stall=stall)

    async def text(self, path: str) -> str:
        """A page of the server that is no object, such as `/readyz` or `/version`."""
        headers = {"Accept": "*/*"}
        payload = await self.request(Request("get", "GET", path, path, f"get {path}", headers))
        return payload.decode("utf-8", "replace")

    async def _json(self, request: Request) -> JsonObject:
        return _object(request, await self.request(request))


def list_request(
    resource: Resource, *, limit: int | None = None, continue_token: str = "", **selection: Unpack[Selection]
) -> Request:
    """The request of one page of a list."""
    query = {
        "labelSelector": selection.get("label_selector", ""),
        "fieldSelector": selection.get("field_selector", ""),
        "limit": limit,
        "continue": continue_token,
    }
    accept = _METADATA_LIST if selection.get("metadata_only") else _JSON
    return _request("list", "GET", resource, selection.get("namespace"), query=query, accept=accept)


def listed(request: Request, payload: bytes) -> JsonObject:
    """The page that came as answer. Raises `Unavailable` if it is none."""
    answer = _object(request, lean(payload))
    if "resourceVersion" not in (answer.get("metadata") or {}):
        raise _no_object(request, "a list without a resourceVersion", payload)
    return answer


def _object(request: Request, payload: bytes) -> JsonObject:
    try:
        answer = json.loads(payload)
    except ValueError:
        answer = None
    except RecursionError:
        raise _no_object(request, "nested too deep to be read", payload) from None
    if not isinstance(answer, dict):
        raise _no_object(request, "no JSON object", payload)
    return answer


def _no_object(request: Request, found: str, payload: bytes) -> Unavailable:
    """Something on the way, a proxy's page of excuse, answers for the server with a 200."""
    shown = payload[:80].decode("utf-8", "replace")
    return Unavailable(request=request.told, status=200, reason="NotAnObject", message=f"{found}: {shown}")


_OPTIONS: JsonObject = {"apiVersion": "v1", "kind": "DeleteOptions"}


def _request(
    verb: str,
    method: str,
    resource: Resource,
    namespace: str | None,
    *,
    name: str | None = None,
    subresource: str | None = None,
    told: str = "",
    query: Mapping[str, str | int | None] | None = None,
    accept: str = _JSON,
    body: Mapping[str, Any] | Sequence[JsonObject] | None = None,
    content_type: str = _JSON,
) -> Request:
    target = resource.path(namespace=namespace, name=name, subresource=subresource)
    given = {key: value for key, value in (query or {}).items() if value is not None and value != ""}
    kind = f"{resource.plural}/{subresource}" if subresource else resource.plural
    where = "/".join(part for part in (namespace, name or told) if part)
    headers = {"Accept": accept}
    if body is not None:
        headers["Content-Type"] = content_type
    return Request(
        verb=verb,
        method=method,
        target=f"{target}?{urlencode(given)}" if given else target,
        resource=kind,
        told=f"{verb} {kind} {where}".rstrip(),
        headers=headers,
        body=None if body is None else json.dumps(body, separators=(",", ":")).encode(),
    )


def _one(metadata_only: bool) -> str:
    return _METADATA if metadata_only else _JSON


def _writing(dry_run: bool) -> dict[str, str]:
    return {"dryRun": "All", "fieldValidation": "Strict"} if dry_run else {}


def _given(**fields: Any) -> JsonObject:
    return {key: value for key, value in fields.items() if value is not None}
