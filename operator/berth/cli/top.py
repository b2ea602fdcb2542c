"""`top`: the pools, and their devices by state, as their statuses count them."""

from collections.abc import Sequence
from typing import Any

from berth.cli.screen import Screen
from berth.text import Column, table

JsonObject = dict[str, Any]

_PLAIN = (
    Column("NAME", least=8),
    Column("NODES", right=True),
    Column("DEVICES", right=True),
    Column("FREE", right=True),
    Column("USED", right=True),
    Column("UNAVAILABLE", right=True),
    Column("READY"),
    Column("LARGEST FREE", least=12),
)
_WIDE = (
    *_PLAIN,
    Column("PROFILE"),
    Column("OPEN", right=True),
    Column("SPARE", right=True),
    Column("RESOURCE"),
    Column("WHY", least=12),
)


def rows(pools: Sequence[JsonObject], screen: Screen, *, wide: bool) -> list[str]:
    """Lines of the table; none if there is no pool."""
    ordered = sorted(pools, key=lambda pool: str(pool["metadata"]["name"]))
    cells = [_cells(pool, wide=wide) for pool in ordered]
    return table(_WIDE if wide else _PLAIN, cells, screen.columns)


def _cells(pool: JsonObject, *, wide: bool) -> list[str]:
    status = pool.get("status") or {}
    nodes, devices = status.get("nodes") or {}, status.get("devices") or {}
    ready: JsonObject = next((c for c in status.get("conditions") or () if c.get("type") == "Ready"), {})
    levels = [
        f"{level['level']} {level['largestFree']}" for level in status.get("levels") or () if "largestFree" in level
    ]
    cells = [
        pool["metadata"]["name"],
        _number(nodes.get("total")),
        *(_number(devices.get(key)) for key in ("total", "free", "used", "unavailable")),
        str(ready.get("status") or "Unknown"),
        ", ".join(levels),
    ]
    if wide:
        cells += [
            str((pool.get("spec") or {}).get("profile") or ""),
            _number(nodes.get("ready")),
            _number(nodes.get("spare")),
            str(status.get("resourceName") or ""),
            str(ready.get("message") or ""),
        ]
    return cells


def _number(value: object) -> str:
    return "" if value is None else str(value)
