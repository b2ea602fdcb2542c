"""What is printed to a terminal: tables that fit its width, labelled lines with wrapped text, colours.

A table is cut only where it would not fit: the last of the columns that may be cut first. Where output is not a
terminal and COLUMNS is not set, nothing is cut, as grep and awk want it. Colours say what the words say already; they
are left out where output is not a terminal, or NO_COLOR is set.
"""

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from berth.cli.words import clean, cut, width, wrapped

_GAP = "  "
_PROSE = 100
"""Columns of wrapped text where the width is not known."""
_LABEL = 18
"""Columns of the labels before wrapped text."""

_COLOURS = {
    "Running": "32",
    "Succeeded": "32",
    "Starting": "36",
    "Pending": "33",
    "Requeued": "33",
    "Suspended": "33",
    "Failed": "31",
}
"""Of a job's states: SGR codes."""


@dataclass(frozen=True, slots=True)
class Screen:
    """Where lines go. `columns`: None where nothing is to be cut."""

    columns: int | None = None
    colour: bool = False

    @classmethod
    def found(cls) -> "Screen":
        """The one that this process prints to."""
        terminal = sys.stdout.isatty()
        known = terminal or os.environ.get("COLUMNS", "").isdecimal()
        columns = shutil.get_terminal_size().columns if known else None
        return cls(columns, terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb")

    @property
    def prose(self) -> int:
        """Columns of wrapped text."""
        return _PROSE if self.columns is None else max(40, self.columns)

    def state(self, word: str) -> str:
        """A job's state in its colour."""
        code = _COLOURS.get(word)
        return f"\x1b[{code}m{word}\x1b[0m" if self.colour and code else word


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. `least`: it may be cut down to so many columns; 0: it is never cut."""

    title: str
    right: bool = False
    least: int = 0


def table(columns: Sequence[Column], rows: Iterable[Sequence[str]], most: int | None) -> list[str]:
    """Lines of a table, its header first; of a table without rows, nothing."""
    cells = [[_cell(text) for text in row] for row in rows]
    if not cells:
        return []
    widths = [max(width(c.title), *(width(row[i]) for row in cells)) for i, c in enumerate(columns)]
    if most is not None:
        _fit(columns, widths, most)
    titles = [column.title for column in columns]
    return [_line(columns, widths, row) for row in (titles, *cells)]


def labelled(label: str, text: str, most: int) -> list[str]:
    """A label and its text, wrapped beside it."""
    first, *more = wrapped(clean(text), most - _LABEL - 2)
    head = f"  {label:<{_LABEL}}"
    return [f"{head}{first}".rstrip(), *(f"{'':{_LABEL + 2}}{line}" for line in more)]


def _cell(text: str) -> str:
    """Clean, but the blanks that indent it are kept."""
    inner = clean(text)
    return text[: len(text) - len(text.lstrip(" "))] + inner if inner else "-"


def _fit(columns: Sequence[Column], widths: list[int], most: int) -> None:
    """Narrow the columns that may be cut until the table fits, or nothing is left to cut."""
    over = sum(widths) + len(_GAP) * (len(widths) - 1) - most
    for i, column in reversed(list(enumerate(columns))):
        if column.least and over > 0:
            narrower = max(min(widths[i], column.least, widths[i]), widths[i] - over, width(column.title))
            over -= widths[i] - narrower
            widths[i] = narrower


def _line(columns: Sequence[Column], widths: Sequence[int], row: Sequence[str]) -> str:
    parts = []
    for column, room, text in zip(columns, widths, row, strict=True):
        shown = cut(text, room)
        blanks = " " * (room - width(shown))
        parts.append(f"{blanks}{shown}" if column.right else f"{shown}{blanks}")
    return _GAP.join(parts).rstrip()
