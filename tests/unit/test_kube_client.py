"""Reads and writes: what goes over the wire for each verb."""

import json
from typing import Any

import pytest
from aiohttp import web

from berth.kube.client import ApiClient
from berth.kube.errors import Unavailable
from berth.kube.resources import PODS, TRAINING_JOBS
from tests.unit.kube_wire import answer, connection, serving


class Wire:
    """Answers everything with an object of no content and remembers the last request."""

    method = ""
    path = ""
    query: dict[str, str]
    headers: dict[str, str]
    body: Any = None

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        self.method, self.path = request.method, request.path
        self.query, self.headers = dict(request.query), dict(request.headers)
        payload = await request.read()
        self.body = json.loads(payload) if payload else None
        return answer({"metadata": {"resourceVersion": "1"}})


async def test_apply_is_guarded_and_owned() -> None:
    """Kind, name and guard stand in the body, owner and force in the query, as server-side apply wants it."""
    wire = Wire()
    async with serving(wire) as url, ApiClient(connection(url)) as client:
        await client.apply(
            TRAINING_JOBS,
            "j",
            {"status": {"state": "Running"}},
            namespace="team",
            subresource="status",
            resource_version="17",
        )
    assert wire.path == "/apis/berth.dev/v1alpha1/namespaces/team/trainingjobs/j/status"
    assert wire.query == {"fieldManager": "berth", "force": "true"}
    assert (wire.method, wire.headers["Content-Type"]) == ("PATCH", "application/apply-patch+yaml")
    expected = {
        "apiVersion": "berth.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": "j", "namespace": "team", "resourceVersion": "17"},
        "status": {"state": "Running"},
    }
    assert expected == wire.body


async def test_apply_leaves_the_callers_body_alone() -> None:
    """A body is often a value that is kept to compare with the next one."""
    body = {"metadata": {"labels": {"a": "b"}}}
    async with serving(Wire()) as url, ApiClient(connection(url)) as client:
        await client.apply(PODS, "x", body, namespace="team", resource_version="1")
    assert body == {"metadata": {"labels": {"a": "b"}}}


async def test_a_dry_run_is_strict() -> None:
    """It is made to find mistakes, so a misspelt field must be one."""
    wire = Wire()
    async with serving(wire) as url, ApiClient(connection(url)) as client:
        await client.create(PODS, {"metadata": {"name": "x"}}, namespace="team", dry_run=True)
        assert wire.query == {"dryRun": "All", "fieldValidation": "Strict"}
        await client.create(PODS, {"metadata": {"name": "x"}}, namespace="team")
        assert wire.query == {}
    assert wire.body == {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}}


async def test_delete_names_what_it_means() -> None:
    """Preconditions keep a delete from hitting another object of that name."""
    wire = Wire()
    async with serving(wire) as url, ApiClient(connection(url)) as client:
        await client.delete(PODS, "x", namespace="team", uid="u", grace_seconds=0, propagation="Background")
        assert wire.method == "DELETE"
        expected = {"uid": "u"}, 0, "Background"
        assert expected == tuple(wire.body[key] for key in ("preconditions", "gracePeriodSeconds", "propagationPolicy"))
        await client.delete(PODS, "x", namespace="team")
        assert wire.body == {"apiVersion": "v1", "kind": "DeleteOptions"}


async def test_a_delete_on_trial_says_so_in_its_body() -> None:
    """API servers do not look at the query of a delete that has a body: there it would be a delete in earnest."""
    wire = Wire()
    async with serving(wire) as url, ApiClient(connection(url)) as client:
        await client.delete(PODS, "x", namespace="team", dry_run=True)
    assert (wire.body["dryRun"], wire.query) == (["All"], {})


async def test_a_collection_is_never_deleted_without_a_selector() -> None:
    """An empty selector would be the whole namespace."""
    wire = Wire()
    async with serving(wire) as url, ApiClient(connection(url)) as client:
        with pytest.raises(ValueError, match="label_selector is empty, which selects all pods"):
            await client.delete_collection(PODS, namespace="team", label_selector="")
        assert wire.method == ""
        await client.delete_collection(PODS, namespace="team", label_selector="berth.dev/job=j")
    assert wire.query == {"labelSelector": "berth.dev/job=j"}


@pytest.mark.parametrize(
    ("kind", "content_type"),
    [
        ("merge", "application/merge-patch+json"),
        ("json", "application/json-patch+json"),
        ("strategic", "application/strategic-merge-patch+json"),
    ],
)
async def test_patches_say_of_which_kind_they_are(kind: Any, content_type: str) -> None:
    """The same body means different things by its type."""
    wire = Wire()
    async with serving(wire) as url, ApiClient(connection(url)) as client:
        await client.patch(PODS, "x", {"a": None}, namespace="team", kind=kind)
    assert content_type == wire.headers["Content-Type"]


async def test_metadata_alone_is_asked_for_by_the_accept_header() -> None:
    """For objects and lists the server has a kind each."""
    wire = Wire()
    async with serving(wire) as url, ApiClient(connection(url)) as client:
        await client.get(PODS, "x", namespace="team", metadata_only=True)
        assert wire.headers["Accept"] == "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
        await client.list(PODS, metadata_only=True, limit=500, field_selector="status.phase!=Failed")
    assert wire.headers["Accept"] == "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    assert wire.query == {"limit": "500", "fieldSelector": "status.phase!=Failed"}


async def test_an_update_sends_the_whole_object() -> None:
    """The body goes as it is, its resourceVersion included."""
    wire = Wire()
    async with serving(wire) as url, ApiClient(connection(url)) as client:
        await client.update(PODS, "x", {"metadata": {"resourceVersion": "3"}}, namespace="team")
    assert (wire.method, wire.body) == ("PUT", {"metadata": {"resourceVersion": "3"}})


async def test_pages_that_are_no_objects_come_as_text() -> None:
    """`/readyz` says `ok`."""

    async def ready(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text=f"ok {request.path}")

    async with serving(ready) as url, ApiClient(connection(url)) as client:
        assert await client.text("/readyz") == "ok /readyz"


async def test_what_is_nested_too_deep_is_an_error_of_the_request() -> None:
    """And not one of the program, that would end it; with `nesting.allow` the API server sends nothing so deep."""

    async def deep(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=b"[" * 100_000, content_type="application/json")

    async with serving(deep) as url, ApiClient(connection(url)) as client:
        with pytest.raises(Unavailable, match="list pods: 200 NotAnObject: nested too deep to be read"):
            await client.list(PODS)
