"""Plain text for people, wherever it is printed: clean lines in a terminal's columns, tables, durations like kubectl's.

Texts come from whoever names a job or writes a container's last words: whatever is not printable is left out, so that
none of them can command the terminal of who reads it.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

_MINUTE, _HOUR, _DAY, _YEAR = 60, 3_600, 86_400, 365 * 86_400
_GAP = "  "


def age(span: int) -> str:
    """A duration in at most two units, as in kubectl's column AGE: `45s`, `3m20s`, `25m`, `5h10m`, `3d4h`."""
    span = max(0, span)
    if span < 2 * _MINUTE:
        return f"{span}s"
    if span < 10 * _MINUTE:
        return _two(span, _MINUTE, "m", 1, "s")
    if span < 3 * _HOUR:
        return f"{span // _MINUTE}m"
    if span < 8 * _HOUR:
        return _two(span, _HOUR, "h", _MINUTE, "m")
    if span < 2 * _DAY:
        return f"{span // _HOUR}h"
    if span < 8 * _DAY:
        return _two(span, _DAY, "d", _HOUR, "h")
    if span < 2 * _YEAR:
        return f"{span // _DAY}d"
    return _two(span, _YEAR, "y", _DAY, "d")


def _two(span: int, large: int, large_name: str, small: int, small_name: str) -> str:
    whole, rest = divmod(span, large)
    return f"{whole}{large_name}{rest // small}{small_name}" if rest // small else f"{whole}{large_name}"


def clean(text: str) -> str:
    """A text on one line, without what is not printable."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


@cache
def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def width(text: str) -> int:
    """Columns of a terminal that a text takes."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def cut(text: str, most: int) -> str:
    """A text in at most so many columns, an ellipsis in the place of the rest."""
    if width(text) <= most:
        return text
    kept, left = "", most - 1
    for character in text:
        left -= _columns(character)
        if left < 0:
            break
        kept += character
    return f"{kept.rstrip()}…" if most > 0 else ""


def wrapped(text: str, most: int) -> list[str]:
    """A text in lines of at most so many columns, broken at blanks; a word that is longer than a line is broken."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        if line and width(line) + 1 + width(word) <= most:
            line = f"{line} {word}"
            continue
        if line:
            lines.append(line)
        while width(word) > most:
            head = cut(word, most + 1).removesuffix("…") if most > 1 else word[:1]
            lines.append(head)
            word = word[len(head) :]  # noqa: PLW2901  # what is left of it
        line = word
    return [*lines, line] if line or not lines else lines


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
