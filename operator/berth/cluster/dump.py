"""The last cycle in a file: what it saw, when, and what it decided. Enough to run it again, anywhere.

It holds the heart's types and nothing else: names, counts, texts of statuses; no templates, so no environment, no
commands and no secrets of the jobs.
"""

import json
from dataclasses import dataclass
from typing import Any

from berth import __version__
from berth.cluster.codec import DumpError, decode, encode
from berth.core.cycle import Snapshot
from berth.core.plan import Plan

VERSION = 1
"""Counts up when a document of before can no longer be read, or would be read as something else."""


@dataclass(frozen=True, slots=True)
class Dump:
    """One cycle. `made_by`: the version of Berth that it ran in."""

    snapshot: Snapshot
    now: int
    plan: Plan
    made_by: str = __version__


def write(dump: Dump) -> bytes:
    """Write a dump as JSON, one line for each part."""
    parts = {"made_by": dump.made_by, "now": dump.now, "snapshot": encode(dump.snapshot), "plan": encode(dump.plan)}
    lines = ",\n".join(f'"{name}": {json.dumps(part, separators=(",", ":"))}' for name, part in parts.items())
    return f'{{"berth_dump": {VERSION},\n{lines}}}\n'.encode()


def read(text: bytes) -> Dump:
    """Read a dump. Raises DumpError, which names the place and what was expected there."""
    try:
        data: Any = json.loads(text)
    except ValueError as error:
        raise DumpError(f"is not JSON: {error}; take it anew from /debug/snapshot") from error
    if not isinstance(data, dict) or "berth_dump" not in data:
        raise DumpError("is not a dump of Berth: berth_dump is missing; take one from /debug/snapshot")
    if data["berth_dump"] != VERSION:
        made_by = f", made by Berth {data['made_by']}" if "made_by" in data else ""
        raise DumpError(
            f"berth_dump: is {data['berth_dump']!r}{made_by}; this is Berth {__version__}, which reads {VERSION}: "
            "use the version that made it"
        )
    missing = [name for name in ("made_by", "now", "snapshot", "plan") if name not in data]
    if missing:
        raise DumpError(f"{missing[0]}: is missing; take the dump anew from /debug/snapshot")
    return Dump(
        snapshot=decode(Snapshot, data["snapshot"], "snapshot"),
        now=decode(int, data["now"], "now"),
        plan=decode(Plan, data["plan"], "plan"),
        made_by=decode(str, data["made_by"], "made_by"),
    )
