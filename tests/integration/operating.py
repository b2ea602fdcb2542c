"""Fixtures of the tests that run the operator as a process: the operator, the fault proxy before it, and a scene.

A pytest plugin, named by the modules that want it. One operator serves all of them, from the first test that asks for
it to the session's end: it talks through a proxy, so any test may cut, count or kill. Each test gets a scene: a pool
with nodes, network and namespace of its own, so that jobs of one test never compete with those of another.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator

import pytest

from e2e.faults.proxy import FaultProxy
from e2e.ground.api import Api, JsonObject
from e2e.ground.controlplane import ControlPlane
from e2e.running import OperatorProcess
from tests.integration.scene import QUICK, Scene, install

_scenes = itertools.count(1)


@pytest.fixture(scope="session")
def crds(control_plane: ControlPlane) -> None:
    """Berth's kinds, served by the session's control plane."""
    install(control_plane)


@pytest.fixture(scope="session")
def session_proxy(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultProxy]:
    """The proxy between the operator and the API server."""
    with FaultProxy(control_plane.kubeconfig, tmp_path_factory.mktemp("faults")) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def session_operator(
    crds: None, session_proxy: FaultProxy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatorProcess]:
    """The session's operator."""
    with OperatorProcess(session_proxy.kubeconfig, tmp_path_factory.mktemp("operator"), settings=QUICK) as running:
        yield running


@pytest.fixture
def proxy(session_proxy: FaultProxy) -> Iterator[FaultProxy]:
    """The proxy without rules, counting writes from the test's beginning; its rules are lifted after the test."""
    session_proxy.forget()
    yield session_proxy
    session_proxy.clear()


@pytest.fixture
def operator(session_operator: OperatorProcess, proxy: FaultProxy) -> Iterator[OperatorProcess]:
    """The operator, running and ready. One that ended by itself meanwhile, or logged an error, fails the test."""
    if not session_operator.alive:
        session_operator.start()
    before = len(session_operator.logged(all_starts=True))
    yield session_operator
    session_operator.resume()  # a test that failed may have left it frozen
    lines = session_operator.logged(all_starts=True)[before:]
    # kopf calls it an error when it tries again.
    own = [line for line in lines if line["logger"].startswith("berth")]
    assert [line for line in own if line["level"] in ("ERROR", "CRITICAL")] == []
    assert session_operator.alive or session_operator.returncode in (0, -9), session_operator.log.read_text()[-3000:]


@pytest.fixture
def scene(
    api: Api, namespace: str, add_nodes: Callable[[Iterable[JsonObject]], list[str]], operator: OperatorProcess
) -> Iterator[Scene]:
    """A corner of the cluster for one test; its jobs and pools are gone after it."""
    made = Scene(api, namespace, add_nodes, number=next(_scenes), watched=lambda: operator.alive)
    yield made
    made.clear()
