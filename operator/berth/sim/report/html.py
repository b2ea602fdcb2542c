"""The page: one HTML file with everything in it, which opens without a network, in the dark and on a telephone."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from berth.sim.comparison import BASELINE
from berth.sim.quality import Result
from berth.sim.report.page import page


def write(path: Path, results: Sequence[Result], *, baseline: str = BASELINE) -> None:
    """Write the page, whole or not at all. Raises OSError if it cannot be written."""
    told = page(results, baseline)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    part = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(told)
        part.chmod(0o644)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
