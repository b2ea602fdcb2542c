"""Numbers and texts as commands print them: ages like kubectl's, moments as statuses have them, clean lines.

Statuses hold the last words of containers, and names that anybody may choose: whatever is not printable is left out, so
that no text of a job can command the terminal of who reads it.
"""

import unicodedata
from datetime import datetime
from functools import cache

_MINUTE, _HOUR, _DAY, _YEAR = 60, 3_600, 86_400, 365 * 86_400


def seconds(moment: str | None) -> int | None:
    """An RFC 3339 time in unix seconds; None for none, or for what is no time."""
    try:
        return int(datetime.fromisoformat(moment).timestamp()) if moment else None
    except ValueError:
        return None


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


def since(moment: str | None, now: int) -> str:
    """The age of something; `-` if its time is not known."""
    at = seconds(moment)
    return "-" if at is None else age(now - at)


def until(moment: str | None, now: int) -> str:
    """How far away a moment is: `25m`, `due` if it is over; `-` if there is none."""
    at = seconds(moment)
    if at is None:
        return "-"
    return age(at - now) if at > now else "due"


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
