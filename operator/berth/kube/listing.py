"""Whole lists, page by page, each object reduced at once to what is wanted of it.

All pages of one list show one moment: the server serves the later ones from the state of the first. When that
state has been compacted away in the middle, the server answers 410 and offers to go on at a newer state; such
a list could hold an object twice or miss one that was renamed into an earlier page, so it is begun anew. If
that happens again and again, the list is longer than the compaction interval lasts, and it is fetched as one
page.

The server makes the next page while the last one is read: where a page says at its beginning how the list goes on, as
those of Kubernetes' own kinds do, the next is asked for before this one is decoded.
"""

import asyncio
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar, Unpack

from berth.kube.client import ApiClient, JsonObject, Selection, list_request, listed
from berth.kube.errors import Gone
from berth.kube.resources import Resource
from berth.kube.transport import Request

log = logging.getLogger(__name__)

T = TypeVar("T")
Key = tuple[str, str]
"""(namespace, name); the namespace of cluster-scoped objects is empty."""

PAGE = 500
BEGINNINGS = 3
"""How often a list is begun in pages before it is fetched as one."""


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """What a list held, and the resourceVersion from which a watch goes on."""

    items: dict[Key, T]
    resource_version: str


def key_of(item: JsonObject) -> Key:
    """The key of an object as the API shows it."""
    metadata = item["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


_HEAD = re.compile(rb'\{"kind":"[^"\\]*","apiVersion":"[^"\\]*","metadata":\{[^{}]*?"continue":"([^"\\]+)"')


def next_page(payload: bytes) -> str:
    """How a list goes on after this page, read from its beginning; empty if it does not, or does not say so there."""
    found = _HEAD.match(payload)
    return found[1].decode() if found else ""


async def list_all(
    client: ApiClient,
    resource: Resource,
    *,
    project: Callable[[JsonObject], T | None],
    page_size: int = PAGE,
    **selection: Unpack[Selection],
) -> Listing[T]:
    """All objects at the newest state, as `project` sees them; those that it makes None of are left out.

    Raises `ApiError`. The items of a list carry no `apiVersion` and `kind` of their own.
    """

    async def fetch(limit: int | None, token: str) -> tuple[Request, bytes]:
        request = list_request(resource, limit=limit, continue_token=token, **selection)
        return request, await client.request(request)

    async def pages(limit: int | None) -> Listing[T]:
        items: dict[Key, T] = {}
        coming = asyncio.create_task(fetch(limit, ""))
        try:
            while True:
                request, payload = await coming
                ahead = next_page(payload)
                if ahead:
                    coming = asyncio.create_task(fetch(limit, ahead))
                    await asyncio.sleep(0)  # so that it is on its way before this page takes the processor
                page = listed(request, payload)
                for item in page.get("items") or ():
                    value = project(item)
                    if value is not None:
                        items[key_of(item)] = value
                token = page["metadata"].get("continue", "")
                if not token:
                    return Listing(items=items, resource_version=page["metadata"]["resourceVersion"])
                if token != ahead:
                    coming.cancel()
                    coming = asyncio.create_task(fetch(limit, token))
        finally:
            coming.cancel()

    for _ in range(BEGINNINGS):
        try:
            return await pages(page_size)
        except Gone as error:
            log.info("List of %s begins anew: %s", resource.plural, error.message)
    return await pages(None)


async def uids(
    client: ApiClient,
    resource: Resource,
    *,
    namespace: str | None = None,
    label_selector: str = "",
    field_selector: str = "",
    page_size: int = PAGE,
) -> dict[Key, str]:
    """Who is there: the uid by key, from metadata-only pages; to audit what others have mirrored."""
    listing = await list_all(
        client,
        resource,
        project=lambda item: str(item["metadata"]["uid"]),
        namespace=namespace,
        label_selector=label_selector,
        field_selector=field_selector,
        metadata_only=True,
        page_size=page_size,
    )
    return listing.items
