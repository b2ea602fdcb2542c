"""One kind cluster with Berth in it for the whole suite."""

import os
from collections.abc import Iterator

import pytest

from e2e.ground.progress import Progress
from e2e.kind import doctor, install
from e2e.kind.cluster import Cluster, delete
from e2e.kind.daemon import start
from tests.kind.scene import Scene

_NAME = "berth-e2e"
_STOCK = os.environ.get("BERTH_KIND_NODE", "assembled") == "stock"


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Three nodes, two with eight accelerators each; Berth runs from its image. KEEP=1 leaves it up."""
    missing = doctor.lacking(doctor.examine(os.environ))
    if missing:
        pytest.fail("kind cannot start here: " + "; ".join(map(str, missing)), pytrace=False)
    docker = start(os.environ, progress=Progress())
    made = Cluster.create(_NAME, stock=_STOCK)
    try:
        made.accelerate(install.LABELS)
        install.install(made, progress=Progress())
        yield made
    finally:
        made.api.close()
        if not os.environ.get("KEEP"):
            delete(_NAME, docker, made.programs["kind"])


@pytest.fixture
def scene(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Scene]:
    """A namespace for one test, gone with all that is in it afterwards; what happened is told when the test fails."""
    made = Scene(cluster, request.node.name.removeprefix("test_").replace("_", "-")[:50].rstrip("-"))
    made.open()
    yield made
    made.close()
