"""One kind cluster with Berth in it for the whole suite."""

import os
from collections.abc import Iterator

import pytest

from e2e.ground.progress import Progress
from e2e.kind import daemon, doctor, install
from e2e.kind.cluster import Cluster
from tests.kind.operators import Operators
from tests.kind.scene import Scene

_NAME = "berth-e2e"
_STOCK = bool(os.environ.get("BERTH_KIND_STOCK"))


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Three nodes, two with eight accelerators each; Berth runs from its image.

    KEEP=1 leaves it up, and the next run takes it with REUSE=1: the images that are there, the chart as it is now.
    """
    if os.environ.get("REUSE"):
        with Cluster.attach(_NAME, stock=_STOCK) as left:
            install.upgrade(left, {"settings": dict(install.SETTINGS)})
            yield left
        return
    missing = doctor.lacking(doctor.examine(os.environ))
    if missing:
        pytest.fail("kind cannot start here: " + "; ".join(map(str, missing)), pytrace=False)
    keep = bool(os.environ.get("KEEP"))
    progress = Progress()
    with daemon.borrowed(os.environ, progress=progress, keep=keep), Cluster.create(_NAME, stock=_STOCK) as made:
        try:
            made.accelerate(install.LABELS)
            install.install(made, progress=progress)
            yield made
        finally:
            if not keep:
                made.delete()


@pytest.fixture(scope="session")
def operators(cluster: Cluster) -> Operators:
    """The operator's pods, with the logs of those that are gone."""
    return Operators(cluster)


@pytest.fixture
def scene(cluster: Cluster, operators: Operators, request: pytest.FixtureRequest) -> Iterator[Scene]:
    """A namespace for one test, gone with all that is in it afterwards; what happened is told when the test fails."""
    made = Scene(cluster, operators, request.node.name.removeprefix("test_").replace("_", "-")[:50].rstrip("-"))
    made.open()
    yield made
    operators.gather()
    made.close()
