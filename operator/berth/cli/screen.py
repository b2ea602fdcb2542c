"""The terminal that commands print to: its width, labelled lines with wrapped text, colours.

Where output is not a terminal and COLUMNS is not set, nothing is cut, as grep and awk want it. Colours say what the
words say already; they are left out where output is not a terminal, or NO_COLOR is set.
"""

import os
import shutil
import sys
from dataclasses import dataclass

from berth.text import clean, wrapped

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


def labelled(label: str, text: str, most: int) -> list[str]:
    """A label and its text, wrapped beside it."""
    first, *more = wrapped(clean(text), most - _LABEL - 2)
    head = f"  {label:<{_LABEL}}"
    return [f"{head}{first}".rstrip(), *(f"{'':{_LABEL + 2}}{line}" for line in more)]
