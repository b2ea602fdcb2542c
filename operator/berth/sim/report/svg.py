"""Small pieces of SVG: scales with round ticks, axes, lines, stacked areas, and text that is always escaped.

Colours are classes, which the page's style sheet fills in for light and dark; coordinates have one digit after the
point, so that a page with hundreds of curves stays small.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from math import ceil, floor, log10

from berth.text import clean, width

MINUTE, HOUR, DAY = 60, 3_600, 86_400
_FINE = (1, 2, 5, 10, 30, MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 6 * HOUR, 12 * HOUR)
_STEPS = (*_FINE, DAY, 2 * DAY, 5 * DAY, 10 * DAY, 20 * DAY, 50 * DAY, 100 * DAY, 365 * DAY)
_WAITS = (0, 10, MINUTE, 10 * MINUTE, HOUR, 6 * HOUR, DAY, 7 * DAY, 30 * DAY, 365 * DAY)

Scale = Callable[[float], float]


def said(text: str) -> str:
    """A text as it may stand in the page, whoever wrote it."""
    return escape(clean(text))


def at(number: float) -> str:
    """A coordinate."""
    return f"{number:.1f}".removesuffix(".0")


def linear(low: float, high: float, start: float, end: float) -> Scale:
    """Values from `low` to `high` on coordinates from `start` to `end`."""
    factor = (end - start) / ((high - low) or 1)
    return lambda value: start + (value - low) * factor


def logarithmic(high: float, start: float, end: float, unit: float = 10) -> Scale:
    """Values from 0 on, linear up to about `unit` and logarithmic beyond."""
    whole = log10(1 + max(high, unit) / unit)
    return lambda value: start + log10(1 + max(0.0, value) / unit) / whole * (end - start)


def ticks(high: float, most: int = 5) -> list[float]:
    """Round values from 0 to `high`, or to the next beyond: steps of 1, 2 or 5 times a power of ten."""
    if high <= 0:
        return [0.0, 1.0]
    raw = high / most
    power = 10.0 ** floor(log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * (1 - 1e-9))
    return [step * i for i in range(ceil(high / step - 1e-9) + 1)]


def times(end: float, most: int = 6) -> list[int]:
    """Round moments of a run from 0 up to `end` at most."""
    step = next((s for s in _STEPS if end / s <= most), _STEPS[-1] * ceil(end / _STEPS[-1] / most))
    return list(range(0, int(end) + 1, step))


def waits(high: float) -> list[int]:
    """Moments on a logarithmic scale of waits, up to the first beyond `high`."""
    beyond = next((i for i, wait in enumerate(_WAITS) if wait >= high), len(_WAITS) - 1)
    return list(_WAITS[: max(2, beyond + 1)])


def duration(seconds: float) -> str:
    """Seconds on an axis: `0`, `30s`, `10m`, `6h`, `2d`."""
    for unit, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "m")):
        if seconds >= unit:
            return f"{seconds / unit:g}{name}"
    return f"{seconds:g}s" if seconds else "0"


def short(number: float) -> str:
    """An amount on an axis: `0.5`, `20`, `1.5k`."""
    return f"{number / 1_000:g}k" if abs(number) >= 1_000 else f"{number:g}"


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    """A label; `kind`: a class."""
    classes = f' class="{kind}"' if kind else ""
    where = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text x="{at(x)}" y="{at(y)}"{classes}{where}>{said(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """A straight line."""
    return f'<path class="{kind}" d="M{at(x1)} {at(y1)}L{at(x2)} {at(y2)}"/>'


def rectangle(x: float, y: float, wide: float, high: float, kind: str, told: str = "") -> str:
    """A box; `told`: what a pointer on it reads."""
    inner = f"<title>{said(told)}</title>" if told else ""
    return f'<rect class="{kind}" x="{at(x)}" y="{at(y)}" width="{at(wide)}" height="{at(high)}">{inner}</rect>'


def dot(x: float, y: float, kind: str, told: str = "") -> str:
    """A round mark."""
    inner = f"<title>{said(told)}</title>" if told else ""
    return f'<circle class="{kind}" cx="{at(x)}" cy="{at(y)}" r="3.5">{inner}</circle>'


def path(points: Sequence[tuple[float, float]], kind: str, *, closed: bool = False) -> str:
    """A line through points, or the area that it encloses."""
    if not points:
        return ""
    body = "L".join(f"{at(x)} {at(y)}" for x, y in points)
    return f'<path class="{kind}" d="M{body}{"z" if closed else ""}"/>'


def steps(edges: Sequence[float], values: Sequence[float]) -> list[tuple[float, float]]:
    """Corners of what has one value between each two edges."""
    return [point for i, value in enumerate(values) for point in ((edges[i], value), (edges[i + 1], value))]


def shortened(words: str, most: int) -> str:
    """A label of at most so many characters, its middle left out, as names differ at their ends."""
    words = clean(words)
    if width(words) <= most:
        return words
    half = (most - 1) // 2
    return f"{words[: most - 1 - half]}…{words[-half:]}"


@dataclass
class Picture:
    """An SVG in the making, `wide` x `high` units; `name` is read out where it is not seen."""

    wide: float
    high: float
    name: str
    parts: list[str] = field(default_factory=list)

    def add(self, *parts: str) -> None:
        """Draw on top of what is there."""
        self.parts += parts

    def told(self) -> str:
        """The element."""
        head = f'<svg viewBox="0 0 {at(self.wide)} {at(self.high)}" role="img" aria-label="{said(self.name)}">'
        return f"{head}{''.join(self.parts)}</svg>"
