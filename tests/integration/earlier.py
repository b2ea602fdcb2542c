"""An earlier version of Berth, out of the history of this repository: what a cluster runs before an upgrade."""

import io
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e.chart.generate import CHART, ROOT

COMMIT = "9d74cb7"
"""One with a chart, but without five of the policies and with an older kind of TrainingJob. As soon as there are
releases that people have installed, the last one belongs here."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """Chart and source of that version, unpacked."""

    root: Path

    @property
    def chart(self) -> Path:
        return self.root / CHART

    @property
    def source(self) -> Path:
        """What `PYTHONPATH` has to be for its operator."""
        return self.root / "operator"

    def check(self) -> None:
        """The operator that Python finds there is that one, and not an installed one."""
        command = [sys.executable, "-c", "import berth; print(berth.__file__)"]
        env = {"PYTHONPATH": str(self.source)}
        found = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.strip()
        assert Path(found).is_relative_to(self.source), f"{found} is not of {COMMIT}"


def unpack(directory: Path) -> Earlier:
    """Unpack it. Without the history it is not to be had: that fails the test, and says what helps."""
    if not (ROOT / ".git").exists():
        pytest.fail(f"needs commit {COMMIT}, and this is no git repository: clone it")
    if _git("rev-parse", "--is-shallow-repository").strip() == b"true" and not _known():
        pytest.fail(f"needs commit {COMMIT}, which a shallow clone does not have: git fetch --unshallow")
    if not _known():
        pytest.fail(f"commit {COMMIT} is not in the history: COMMIT in {__name__} has to name one that is")
    with tarfile.open(fileobj=io.BytesIO(_git("archive", COMMIT, "operator", CHART))) as archive:
        archive.extractall(directory, filter="data")
    made = Earlier(directory)
    made.check()
    return made


def _known() -> bool:
    done = subprocess.run(["git", "cat-file", "-e", f"{COMMIT}^{{commit}}"], cwd=ROOT, capture_output=True, check=False)
    return done.returncode == 0


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=True).stdout
