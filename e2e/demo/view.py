"""The picture on the terminal: counters, the map, what runs where, what waits and why; drawn anew for each size.

The map comes first and takes what it needs; the two tables share what is left, beside each other where the terminal is
wide, else one below the other.
"""

from collections.abc import Callable, Iterable, Sequence

from rich.console import Group
from rich.text import Text

from berth.core.explain import count
from berth.core.topology import NODE_LEVEL
from e2e.demo.board import Board, Seen
from e2e.demo.fabric_map import FabricMap, Marks

_WIDE = 130
_RUNNING_WIDTH = 50
_GAP = 3
_TABLE_LINES = 12
"""The map is drawn in letters where that leaves so many lines."""


class View:
    """Draws a board. `total` gangs are to be submitted; `rule` is told at the foot of a tall screen."""

    def __init__(self, board: Board, total: int, rule: str) -> None:
        self._board = board
        self._total = total
        self._rule = rule
        self._map = FabricMap(board.fabric)
        self._marks = Marks()

    def draw(self, width: int, height: int, *, colour: bool) -> Group:
        """All lines of a screen of this size."""
        board = self._board
        self._marks.update(seen.name for seen in board.holding())
        lines = [self._title(width), Text(fit(counters(board, self._total), width)), Text("")]
        letters = not colour or height - len(lines) - self._map.height(width, blocks=False) >= _TABLE_LINES
        lines += self._map.draw(board.holders, self._marks, width, blocks=not letters)
        lines.append(Text(""))
        foot = [Text(fit(self._rule, width), style="dim")] if height >= 30 else []
        lines += self._tables(width, height - len(lines) - len(foot), letters)
        return Group(*lines[: height - len(foot)], *foot)

    def _title(self, width: int) -> Text:
        board = self._board
        spines, leaves = len(board.fabric.sizes(0)), len(board.fabric.sizes(1))
        told = f"Berth  {len(board.fabric.hosts)} hosts, {board.fabric.devices} H800, {spines} spines, {leaves} leaves"
        right = f"{board.devices_held() / board.fabric.devices:.0%} held  {elapsed(board.clock() - board.started)}"
        title = Text(fit(told, width - len(right) - 1), style="bold", no_wrap=True)
        title.append(f" {right}")
        return title

    def _tables(self, width: int, height: int, letters: bool) -> list[Text]:
        running, waiting = self._board.holding(), self._board.waiting()
        if width >= _WIDE:
            left = self._table("runs", running, self._running, _RUNNING_WIDTH, height, letters)
            beside = width - _RUNNING_WIDTH - _GAP
            right = self._table("waits", waiting, self._waiting, beside, height, letters)
            return _beside(left, right, _RUNNING_WIDTH + _GAP)
        # Each gets half of the lines, and what the other does not need.
        lower = min(max(height // 2, height - len(running) - 2), len(waiting) + 1)
        left = self._table("runs", running, self._running, width, height - lower, letters)
        return [*left, *self._table("waits", waiting, self._waiting, width, lower, letters)]

    def _table(
        self,
        title: str,
        seen: Sequence[Seen],
        row: Callable[[Seen, int, bool], Text],
        width: int,
        height: int,
        letters: bool,
    ) -> list[Text]:
        head = _HEADS[title].format(len(seen))
        shown = seen[: max(0, height - 1)]
        if len(shown) < len(seen) and shown:
            head += f" ({len(seen) - len(shown)} more)"
        lines = [Text(fit(head, width), style="bold underline", no_wrap=True)]
        lines += [row(one, width, letters) for one in shown]
        return lines + [Text(" " * width)] * (height - len(lines))

    def _running(self, seen: Seen, width: int, letters: bool) -> Text:
        mark = self._marks[seen.name]
        line = Text(no_wrap=True)
        line.append(mark.symbol if letters else " ", style=f"#ffffff on {mark.colour}")
        times = self._board.times[seen.name]
        since = "starts" if times.running is None else f"{self._board.clock() - times.running:.0f} s"
        line.append(fit(f" {seen.name:<10}{size(seen):<6} {since:>6}  {place(seen)}", width - 1))
        return line

    def _waiting(self, seen: Seen, width: int, _letters: bool) -> Text:
        since = f"{self._board.clock() - self._board.times[seen.name].submitted:.0f} s"
        return Text(fit(f"  {seen.name:<10}{size(seen):<6} {since:>6}  {why(seen)}", width), no_wrap=True)


_HEADS = {"runs": "{} gangs have a berth", "waits": "{} gangs wait"}


def counters(board: Board, total: int) -> str:
    """One line of counters, at most 80 characters wide."""
    return (
        f"submitted {len(board.times)}/{total}  placed {board.count('placed')}  running {len(board.holding())}  "
        f"waiting {len(board.waiting())}  done {board.count('finished')}  {board.pods_per_s():.0f} pods/s"
    )


def size(seen: Seen) -> str:
    """`64x8`: replicas, and devices of each."""
    return f"{seen.replicas}x{seen.devices}"


def why(seen: Seen) -> str:
    """Why it waits, in Berth's words."""
    return seen.why or "Berth has not looked at it yet"


def place(seen: Seen) -> str:
    """Where it sits: `P10-S14` alone, or the narrowest domain and what it touches below."""
    domain = seen.domain.rpartition("/")[2]
    wide = breadth(seen)
    if seen.spans.get(seen.domain_level) != 1:
        return wide
    return f"{domain}, {wide}" if wide else domain


def breadth(seen: Seen) -> str:
    """`2 spines, 16 leaves`: how many domains it touches, of the levels at which it is not in one alone."""
    wide = sorted((n, level) for level, n in seen.spans.items() if n > 1 and level != NODE_LEVEL)
    return ", ".join(count(n, level) for n, level in wide)


def elapsed(seconds: float) -> str:
    """`1:05`."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def fit(text: str, width: int) -> str:
    """The text in exactly this width, cut with an ellipsis."""
    return f"{text[: max(0, width - 1)]}…" if len(text) > width else text.ljust(width)


def _beside(left: Iterable[Text], right: Iterable[Text], start: int) -> list[Text]:
    lines = []
    for one, other in zip(left, right, strict=True):
        line = one.copy()
        line.append(" " * (start - line.cell_len))
        line.append_text(other)
        lines.append(line)
    return lines
