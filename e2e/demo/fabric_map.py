"""The network as a map of cells: a row of leaves for each spine, a cell for each host, a mark for each gang.

Two sizes. `letters`: a host is a letter on its gang's colour; needs no colour to be read. `blocks`: two hosts share
one character, the left half of a leaf in its upper half; needs colour, and half the room. There the rows of leaves are
laid like bricks, or leaves above each other would look like one.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from rich.text import Text

from berth.core.topology import natural
from e2e.demo.stage import Fabric

SYMBOLS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
COLOURS = (
    "#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#2aa5a0", "#b8860b", "#f032e6",
    "#6b8e23", "#008080", "#9a6324", "#800000", "#1f77b4", "#808000", "#c71585", "#5f5fd7",
    "#d2691e", "#2e8b57", "#8b4789", "#4682b4", "#cd5c5c", "#228b22", "#7b68ee", "#b03060",
)  # fmt: skip
_SHARED = ("+", "#9e9e9e")
_FREE = ("·", "#303030")
_LABEL_WIDTH = 4
_BRICK = 2


@dataclass(frozen=True, slots=True)
class Mark:
    """How a gang is shown."""

    symbol: str
    colour: str


class Marks:
    """Gives each gang a mark for as long as it holds devices: the one that was given up longest ago."""

    def __init__(self) -> None:
        self._given: dict[str, int] = {}
        self._next = 0

    def update(self, holding: Iterable[str]) -> None:
        """Take marks from gangs that hold nothing any more, and give marks to those that are new."""
        now = list(holding)
        self._given = {name: number for name, number in self._given.items() if name in set(now)}
        taken = {number % len(SYMBOLS) for number in self._given.values()}
        for name in reversed(now):  # the latest placed stand first
            if name in self._given:
                continue
            for _ in SYMBOLS:
                if self._next % len(SYMBOLS) not in taken:
                    break
                self._next += 1
            self._given[name] = self._next
            taken.add(self._next % len(SYMBOLS))
            self._next += 1

    def __getitem__(self, name: str) -> Mark:
        number = self._given[name]
        return Mark(SYMBOLS[number % len(SYMBOLS)], COLOURS[number % len(COLOURS)])


class FabricMap:
    """Draws the hosts of a fabric with two levels, spine and leaf."""

    def __init__(self, fabric: Fabric) -> None:
        hosts = sorted(fabric.hosts, key=lambda host: (*map(natural, host.domains), natural(host.node)))
        self._spines = {
            spine: [[host.node for host in leaf] for _, leaf in groupby(below, key=lambda host: host.domains)]
            for spine, below in groupby(hosts, key=lambda host: host.domains[0])
        }
        self._leaf_width = max(len(leaf) for leaves in self._spines.values() for leaf in leaves)

    def height(self, width: int, *, blocks: bool) -> int:
        """Lines that the map takes."""
        return sum(-(-len(leaves) // self._in_row(width, blocks)) for leaves in self._spines.values())

    def draw(
        self, holders: Mapping[str, Mapping[str, int]], marks: Marks, width: int, *, blocks: bool
    ) -> Iterator[Text]:
        """The lines; `holders` tells devices by node and gang."""
        in_row = self._in_row(width, blocks)
        for spine, leaves in self._spines.items():
            for first in range(0, len(leaves), in_row):
                line = Text(f"{spine if not first else '':<{_LABEL_WIDTH}}", style="bold", no_wrap=True)
                line.append(" " * (_BRICK if blocks and first // in_row % 2 else 0))
                for leaf in leaves[first : first + in_row]:
                    cells = [_cell(holders.get(host, {}), marks) for host in leaf]
                    self._leaf(line, cells, blocks)
                    line.append(" ")
                yield line

    def _in_row(self, width: int, blocks: bool) -> int:
        taken = _LABEL_WIDTH + (_BRICK if blocks else 0)
        return max(1, (width - taken + 1) // (self._columns(blocks) + 1))

    def _columns(self, blocks: bool) -> int:
        return -(-self._leaf_width // 2) if blocks else self._leaf_width

    def _leaf(self, line: Text, cells: list[tuple[str, str]], blocks: bool) -> None:
        columns = self._columns(blocks)
        if not blocks:
            for symbol, colour in cells:
                line.append(symbol, style="#606060" if symbol == _FREE[0] else f"#ffffff on {colour}")
            line.append(" " * (columns - len(cells)))
            return
        for column in range(columns):
            upper = cells[column][1] if column < len(cells) else None
            lower = cells[column + columns][1] if column + columns < len(cells) else None
            if upper is None:
                line.append(" ")
            elif lower is None:
                line.append("▀", style=upper)
            else:
                line.append("▀", style=f"{upper} on {lower}")


def _cell(taken: Mapping[str, int], marks: Marks) -> tuple[str, str]:
    if not taken:
        return _FREE
    if len(taken) > 1:
        return _SHARED
    mark = marks[next(iter(taken))]
    return mark.symbol, mark.colour
