"""Requests to the API server are read as the calls that they are."""

import pytest

from e2e.faults.calls import Call, calls, own_writes, parse

JOBS = "/apis/berth.dev/v1alpha1"


@pytest.mark.parametrize(
    ("method", "path", "query", "content_type", "expected"),
    [
        ("GET", "/api/v1/nodes", {}, "", Call("list", "nodes")),
        ("GET", "/api/v1/nodes/n1", {}, "", Call("get", "nodes", name="n1")),
        (
            "GET",
            "/api/v1/pods",
            {"watch": "true", "labelSelector": "a=b", "resourceVersion": "7"},
            "",
            Call("watch", "pods", selector="a=b", position="7"),
        ),
        ("POST", "/api/v1/namespaces/x/pods", {}, "", Call("create", "pods", namespace="x")),
        (
            "POST",
            "/api/v1/namespaces/x/pods",
            {"dryRun": "All"},
            "",
            Call("create", "pods", namespace="x", dry_run=True),
        ),
        ("POST", "/api/v1/namespaces", {}, "", Call("create", "namespaces")),
        ("DELETE", "/api/v1/namespaces/x", {}, "", Call("delete", "namespaces", name="x")),
        ("DELETE", "/api/v1/namespaces/x/pods/p", {}, "", Call("delete", "pods", namespace="x", name="p")),
        ("DELETE", "/api/v1/namespaces/x/pods", {}, "", Call("deletecollection", "pods", namespace="x")),
        (
            "PATCH",
            f"{JOBS}/namespaces/x/trainingjobs/j/status",
            {},
            "application/apply-patch+yaml",
            Call("apply", "trainingjobs", "status", "x", "j"),
        ),
        (
            "PATCH",
            f"{JOBS}/acceleratorpools/p",
            {},
            "application/merge-patch+json",
            Call("patch", "acceleratorpools", name="p"),
        ),
        ("PUT", f"{JOBS}/acceleratorpools/p", {}, "", Call("update", "acceleratorpools", name="p")),
        ("GET", "/version", {}, "", Call("get", "/version")),
        ("GET", "/apis/berth.dev/v1alpha1", {}, "", Call("get", "/apis/berth.dev/v1alpha1")),
    ],
)
def test_a_request_line_is_read_as_verb_resource_and_object(
    method: str, path: str, query: dict[str, str], content_type: str, expected: Call
) -> None:
    """Each verb of the API, with and without namespace, name and subresource."""
    assert parse(method, path, query, content_type) == expected


def test_calls_are_chosen_by_their_fields() -> None:
    """Given values must all match; a collection allows any of its values."""
    call = Call("create", "pods", namespace="x")

    assert calls(verb="create", resource="pods")(call)
    assert calls(verb={"create", "delete"}, namespace=["x", "y"])(call)
    assert calls()(call)
    assert not calls(verb="delete")(call)
    assert not calls(verb="create", namespace="y")(call)


def test_a_field_that_calls_do_not_have_is_refused() -> None:
    """A misspelt field would choose nothing, and a test would wait in vain."""
    with pytest.raises(ValueError, match="kind: calls have no such field; they have dry_run, name, namespace"):
        calls(kind="Pod")


def test_writes_are_what_changes_something() -> None:
    """Reads and dry runs are not writes; events and statuses of pools are writes, but not those of jobs."""
    assert [call.write for call in (Call("get", "pods"), Call("watch", "pods"), Call("create", "pods"))] == [
        False,
        False,
        True,
    ]
    assert not Call("create", "pods", dry_run=True).write
    assert own_writes(Call("apply", "trainingjobs", "status"))
    assert not own_writes(Call("create", "events"))
    assert not own_writes(Call("apply", "acceleratorpools", "status"))


def test_a_call_reads_like_a_sentence() -> None:
    """For the messages of failing tests."""
    assert str(Call("apply", "trainingjobs", "status", "x", "j")) == "apply trainingjobs/status x/j"
    assert str(Call("list", "nodes")) == "list nodes"
