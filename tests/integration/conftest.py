"""Fixtures of the tests that run against a real control plane.

One control plane serves the whole session; each test gets a namespace and the nodes it asks for, and both are gone
after it.  A test that breaks the control plane itself starts its own.  The programs must be there before
(``python -m e2e.ground build``): a build takes longer than any test may.
"""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator

import pytest

from e2e.ground import nodes
from e2e.ground.api import Api, ApiError, JsonObject
from e2e.ground.binaries import Binaries, Origin
from e2e.ground.components import PROGRAMS
from e2e.ground.controlplane import ControlPlane
from e2e.ground.waiting import until

AddNodes = Callable[[Iterable[JsonObject]], list[str]]

_counter = itertools.count(1)


@pytest.fixture(scope="session")
def programs() -> Binaries:
    """The control plane's programs; an error with the remedy when they are not built."""
    binaries = Binaries()
    absent = [name for name in PROGRAMS if binaries.find(name).origin is Origin.ABSENT]
    if absent:
        raise RuntimeError(f"{', '.join(absent)} not built; run `python -m e2e.ground build` first")
    return binaries


@pytest.fixture(scope="session")
def control_plane(programs: Binaries) -> Iterator[ControlPlane]:
    """The session's control plane, with all of its components."""
    with ControlPlane(binaries=programs) as plane:
        yield plane


@pytest.fixture
def api(control_plane: ControlPlane) -> Api:
    """Requests to the session's control plane as administrator."""
    return control_plane.api


@pytest.fixture
def namespace(api: Api, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace named after the test, in which pods can be created; deleted with its pods after the test."""
    words = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower().removeprefix("test_")).strip("-")
    name = f"{words[:50].strip('-')}-{next(_counter)}"
    api.create("/api/v1/namespaces", {"metadata": {"name": name}})
    until(lambda: _has_service_account(api, name), f"the service account of namespace {name}", timeout_s=30)
    yield name
    api.delete(f"/api/v1/namespaces/{name}/pods?gracePeriodSeconds=0")
    api.delete(f"/api/v1/namespaces/{name}")


@pytest.fixture
def add_nodes(api: Api) -> Iterator[AddNodes]:
    """Adds simulated nodes (from ``nodes.manifest`` or ``ClusterModel.manifests``), gone after the test."""
    added: list[str] = []

    def add(manifests: Iterable[JsonObject]) -> list[str]:
        wanted = list(manifests)
        added.extend(str(node["metadata"]["name"]) for node in wanted)
        return nodes.add(api, wanted)

    yield add
    nodes.remove(api, added)


def _has_service_account(api: Api, namespace: str) -> bool:
    try:
        api.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/default")
    except ApiError as error:
        if error.status != 404:
            raise
        return False
    return True
