"""The tree of Berth's image is enough: with nothing else to import from, an operator leads a job through its life.

What the image leaves out of its packages is a list (`e2e.images.tree.LEFT_OUT`); this is the proof that nobody needs
what is on it.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.ground.controlplane import ControlPlane
from e2e.images import berth, tree
from e2e.running import OperatorProcess
from tests.integration.scene import QUICK, Scene

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]
pytest_plugins = ("tests.integration.operating",)


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree, as the image gets it."""
    made = tmp_path_factory.mktemp("image") / "tree"
    tree.fill(berth.ROOT, made)
    return made


@pytest.fixture
def operator(crds: None, control_plane: ControlPlane, content: Path, tmp_path: Path) -> Iterator[OperatorProcess]:
    """An operator that can import from the tree and the standard library alone."""
    with OperatorProcess(control_plane.kubeconfig, tmp_path, settings=QUICK, tree=content) as running:
        yield running


def test_the_tree_holds_no_typed_client_and_half_of_what_was_installed(content: Path) -> None:
    """Sizes are told in docs/design/image.md; here is what must not come back unseen."""
    models = [path.name for path in content.glob("kubernetes/**/models/*.py")]
    size = sum(path.stat().st_size for path in content.rglob("*") if path.is_file())

    assert set(models) == {"__init__.py"}
    assert size < 60e6


def test_an_operator_of_the_tree_runs_a_job_from_submission_to_its_end(scene: Scene, operator: OperatorProcess) -> None:
    """Watches, decides, creates pods, reads their ends, writes events: nothing that is left out is missed."""
    scene.cluster([2])
    scene.submit("train", replicas=2, sim={"run": 0.5})

    scene.wait("train", "Succeeded")

    assert len(scene.placed("train")) == 2
    assert [line for line in operator.logged() if line["level"] in ("ERROR", "CRITICAL")] == []


def test_all_commands_of_the_tree_can_be_imported(content: Path) -> None:
    """Every module of Berth, as a command may import it later than the start does."""
    names = [
        ".".join(path.relative_to(content).with_suffix("").parts).removesuffix(".__init__")
        for path in content.glob("berth/**/*.py")
    ]
    code = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]"

    command = [sys.executable, "-S", "-c", code, *names]
    done = subprocess.run(command, env={"PYTHONPATH": str(content)}, capture_output=True, text=True, check=False)

    assert done.stderr == ""
    assert done.returncode == 0
