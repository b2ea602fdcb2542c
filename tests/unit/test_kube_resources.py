"""Paths of kinds: what is asked of the API server."""

import pytest

from berth.kube.resources import NODES, PODS, TRAINING_JOBS


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (PODS.path(), "/api/v1/pods"),
        (PODS.path(namespace="a"), "/api/v1/namespaces/a/pods"),
        (PODS.path(namespace="a", name="x"), "/api/v1/namespaces/a/pods/x"),
        (NODES.path(name="n1"), "/api/v1/nodes/n1"),
        (
            TRAINING_JOBS.path(namespace="a", name="j", subresource="status"),
            "/apis/berth.dev/v1alpha1/namespaces/a/trainingjobs/j/status",
        ),
        (NODES.path(name="a/../b?c"), "/api/v1/nodes/a%2F..%2Fb%3Fc"),
    ],
)
def test_a_kind_knows_the_paths_of_its_lists_and_objects(path: str, expected: str) -> None:
    """Group, namespace, name and subresource stand where the API wants them, and a name never leaves its place."""
    assert expected == path


def test_an_object_in_a_namespace_is_not_asked_for_without_it() -> None:
    """The mistake is named before a request is made."""
    with pytest.raises(ValueError, match="pods 'x' lives in a namespace: give namespace="):
        PODS.path(name="x")
    with pytest.raises(ValueError, match="nodes are cluster-scoped: leave out namespace='a'"):
        NODES.path(namespace="a")


def test_the_api_version_is_what_manifests_say() -> None:
    """The core group has no name in `apiVersion`."""
    assert PODS.api_version == "v1"
    assert TRAINING_JOBS.api_version == "berth.dev/v1alpha1"
