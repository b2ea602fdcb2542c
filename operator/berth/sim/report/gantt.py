"""Gangs over domains and time: who sat where, and how wide.

A cell is one row in one part of the run. Where a row or a part is too small for its own, several are drawn as one: the
cell then shows the width that had most of its device-seconds, pale where less than half of the cell was held at all.
Neighbouring cells have another shade where another gang had most, so that gangs can be told apart.
"""

from dataclasses import dataclass
from itertools import groupby

from berth.sim.measures.ground import Ground
from berth.sim.measures.seconds import Outages
from berth.sim.measures.series import Parts
from berth.sim.record import Run
from berth.sim.report import svg
from berth.sim.report.charts import boxes

_ROWS = 128
_COLUMNS = 240
_WIDE, _LEFT, _TOP = 900, 124, 6
_DOWN = -1


@dataclass(frozen=True, slots=True)
class Grid:
    """Rows of a pool: `row[p]` of node p, names of those rows' domains, devices in each, rows where a spine begins.

    `merged`: domains in one row, at most.
    """

    level: str
    row: tuple[int, ...]
    names: tuple[str, ...]
    devices: tuple[int, ...]
    begins: tuple[int, ...]
    merged: int

    @classmethod
    def of(cls, ground: Ground, most: int = _ROWS) -> "Grid":
        """Rows are nodes where there are few, else domains of the narrowest level, several in a row if need be."""
        depth = len(ground.levels) - 1 if len(ground.devices) <= most // 2 else max(1, len(ground.levels) - 2)
        number = ground.domains[depth]
        merged = -(-number // most)
        row = tuple(domain // merged for domain in ground.domain[depth])
        rows = max(row, default=-1) + 1
        names, devices, spines = [""] * rows, [0] * rows, [-1] * rows
        for position, where in enumerate(row):
            node = ground.fleet.nodes[position]
            name = "/".join(node.path[:depth]) if depth <= len(node.path) else node.name
            names[where] = names[where] or name
            devices[where] += ground.devices[position]
            spines[where] = ground.domain[1][position]
        last = [name.rpartition("/")[2] for name in names]
        if len(set(last)) == rows:
            names = last
        begins = tuple(i for i in range(rows) if i and spines[i] != spines[i - 1] and depth > 1)
        return cls(ground.levels[depth], row, tuple(names), tuple(devices), begins, merged)


@dataclass(slots=True)
class _Cell:
    """Device-seconds by width (number of the narrowest level that holds the gang; -1: down), and who has the most."""

    amounts: dict[int, int]
    most: int = 0
    who: int = 0

    def add(self, width: int, who: int, amount: int) -> None:
        self.amounts[width] = self.amounts.get(width, 0) + amount
        if amount > self.most:
            self.most, self.who = amount, who


def drawn(run: Run, ground: Ground, down: Outages, name: str) -> tuple[str, Grid]:
    """The picture, and its rows. Widths are classes `w0` (the whole pool) to the node's, `wd`: down."""
    grid, parts = Grid.of(ground), Parts.of(run.end, _COLUMNS)
    cells = _cells(run, ground, down, grid, parts)
    rows, columns = len(grid.names), len(parts.edges) - 1
    high = max(3.0, min(14.0, 460 / max(1, rows)))
    picture = svg.Picture(_WIDE, _TOP + rows * high + 24, name)
    x = svg.linear(0, max(1, columns), _LEFT, _WIDE - 8)
    paths: dict[str, list[tuple[float, float, float, float]]] = {}
    picture.add(svg.rectangle(_LEFT, _TOP, _WIDE - 8 - _LEFT, rows * high, "free"))
    for row in range(rows):
        kinds = [_kind(cells.get((row, c)), grid.devices[row] * span) for c, span in enumerate(parts.spans)]
        column = 0
        for kind, run_of in groupby(kinds):
            length = len(list(run_of))
            if kind:
                box = (x(column), _TOP + row * high, x(column + length) - x(column), high - (0.5 if high > 4 else 0))
                paths.setdefault(kind, []).append(box)
            column += length
    picture.add(*(f'<path class="{kind}" d="{boxes(found)}"/>' for kind, found in sorted(paths.items())))
    picture.add(*(svg.line(_LEFT - 118, _TOP + b * high, _WIDE - 8, _TOP + b * high, "border") for b in grid.begins))
    every = max(1, round(12 / high))
    starts = {0, *grid.begins}
    for row, label in enumerate(grid.names):
        if row in starts or (row % every == 0 and all(abs(row - s) >= every for s in starts)):
            shown = svg.shortened(label, 22)
            picture.add(svg.text(_LEFT - 6, _TOP + (row + 0.5) * high + 3.5, shown, "tick", "end"))
    for moment in svg.times(run.end, 10):
        where = x(moment / max(1, run.end) * columns)
        picture.add(svg.text(where, _TOP + rows * high + 15, svg.duration(moment), "tick", "middle"))
    return picture.told(), grid


def _cells(run: Run, ground: Ground, down: Outages, grid: Grid, parts: Parts) -> dict[tuple[int, int], _Cell]:
    found: dict[tuple[int, int], _Cell] = {}
    edges, columns = parts.edges, len(parts.edges) - 1

    def add(row: int, start: int, end: int, devices: int, width: int, who: int) -> None:
        column = min(columns - 1, start * columns // max(1, run.end))
        while column and edges[column] > start:
            column -= 1
        while column < columns and edges[column] < end:
            overlap = min(end, edges[column + 1]) - max(start, edges[column])
            if overlap > 0:
                found.setdefault((row, column), _Cell({})).add(width, who, devices * overlap)
            column += 1

    pool = ground.fleet.name
    for number, life in enumerate(run.lives):
        each = life.task.gang.devices
        for stint in life.stints:
            if stint.pool == pool and stint.start < stint.end:
                width = _width(ground, stint.nodes)
                rows: dict[int, int] = {}
                for position in stint.nodes:
                    rows[grid.row[position]] = rows.get(grid.row[position], 0) + each
                for row, devices in rows.items():
                    add(row, stint.start, stint.end, devices, width, number)
    for position, spans in down[pool].items():
        for start, end in spans:
            add(grid.row[position], start, end, ground.devices[position], _DOWN, -1)
    return found


def _width(ground: Ground, nodes: tuple[int, ...]) -> int:
    """Number of the narrowest level with one domain that holds them all."""
    hosts = set(nodes)
    return max(level for level, domain in enumerate(ground.domain) if len({domain[h] for h in hosts}) == 1)


def _kind(cell: _Cell | None, whole: int) -> str:
    """Classes of a cell: the width of most of what is held, one of two shades by gang, pale where it is not much."""
    if cell is None:
        return ""
    held = sum(cell.amounts.values())
    if held * 20 < whole:
        return ""
    width = max(sorted(cell.amounts), key=lambda w: cell.amounts[w])
    name = "wd" if width == _DOWN else f"w{width} s{cell.who % 2}"
    return f"{name} pale" if held * 2 < whole else name
