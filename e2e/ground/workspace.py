"""The directory of a control plane, and who owns it.

``ground.json`` marks a directory as one of ours and names the process that runs the control plane in it.  By it a
second start in the same directory is refused, ``down`` finds whom to stop, and the temporary directories of owners
that were SIGKILLed are found and removed by the next start.
"""

import os
import shutil
import tempfile
from pathlib import Path

from e2e.ground.processes import Identity

_RECORD = "ground.json"
_TEMPORARY_PREFIX = "berth-ground-"


class DirectoryInUseError(RuntimeError):
    """The directory belongs to a running control plane, or holds something else."""


def claim(directory: Path | None) -> Path:
    """An empty directory that is marked as this process's: the given one, or a temporary one.

    What an earlier control plane left in it is removed.  DirectoryInUseError when one runs there, or when the
    directory holds anything that is not of a control plane.
    """
    if directory is None:
        _remove_orphans(Path(tempfile.gettempdir()))
        root = Path(tempfile.mkdtemp(prefix=_TEMPORARY_PREFIX))
    else:
        root = directory.absolute()
        _clear(root)
        root.mkdir(parents=True, exist_ok=True)
    mine = Identity.of(os.getpid())
    if mine is None:
        raise RuntimeError("/proc does not know this process; the ground needs Linux")
    mine.write(root / _RECORD)
    return root


def release(root: Path) -> None:
    """Say that no process runs a control plane here any more; the directory stays one of ours."""
    (root / _RECORD).write_text("{}\n")


def owner(directory: Path) -> Identity | None:
    """The process that runs a control plane in this directory, None when none does."""
    identity = Identity.read(directory / _RECORD)
    return identity if identity is not None and identity.alive else None


def _clear(root: Path) -> None:
    if not root.exists():
        return
    running = owner(root)
    if running is not None:
        raise DirectoryInUseError(
            f"{root}: process {running.pid} runs a control plane there; stop it, or choose another directory"
        )
    if any(root.iterdir()):
        if not (root / _RECORD).exists():
            raise DirectoryInUseError(f"{root} is not empty and holds no control plane; choose another directory")
        shutil.rmtree(root)


def _remove_orphans(parent: Path) -> None:
    for root in parent.glob(f"{_TEMPORARY_PREFIX}*"):
        # Without a record it is another start's, which is about to write it.
        if root.stat().st_uid == os.getuid() and (root / _RECORD).exists() and owner(root) is None:
            # Another start may be removing it as well.
            shutil.rmtree(root, ignore_errors=True)
