"""Files that a command writes: whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from berth.cli.cluster import CommandError


def writable(path: Path, option: str) -> Path:
    """A path that can be written to. Raises CommandError before any work is done for it."""
    if path.is_dir():
        raise CommandError(f"{option} {path}: is a directory; name a file in it")
    if not path.parent.is_dir():
        raise CommandError(f"{option} {path}: there is no directory {path.parent}; create it, or correct the path")
    if not os.access(path.parent, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise CommandError(f"{option} {path}: you may not write there; name another file")
    return path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path beside this one to write to; it takes this one's place once all is written, and is gone after an error."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield beside
        beside.replace(path)
    except OSError as error:
        raise CommandError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        with suppress(FileNotFoundError):
            beside.unlink()
