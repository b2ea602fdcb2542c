"""The charts of the page, each a small picture that reads well at the width of a telephone.

A chart is given values and labels, never results: what is shown is chosen in `page`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from berth.sim.measures.intervals import Estimate
from berth.sim.report import svg
from berth.sim.report.svg import Picture, at

WIDE = 360
_ROW = 18
_LABEL = 96
_CHARACTERS = 17
_RIGHT = WIDE - 12


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a chart by rows: its label, its colour's number, and what a pointer on it reads."""

    label: str
    colour: int
    told: str = ""


def intervals(name: str, rows: Sequence[tuple[Row, Estimate]], low: float = 0) -> str:
    """Estimates as dots with their 95 % intervals, one row each, from `low` on."""
    high = max(max(found.value, found.high or 0) for _, found in rows)
    marks = [mark + low for mark in svg.ticks(max(high - low, 0), 4)]
    return _dotted(name, rows, svg.linear(low, marks[-1], _LABEL, _RIGHT), marks, 1)


def shares_of(name: str, rows: Sequence[tuple[Row, Estimate]]) -> str:
    """Shares in per cent, in the same way: logarithmic beyond 1 %, so that small ones can be told apart."""
    marks = _shares([found for _, found in rows])
    return _dotted(name, rows, svg.logarithmic(marks[-1], _LABEL, _RIGHT, unit=1), marks, 100)


def _shares(found: Sequence[Estimate]) -> list[float]:
    """Marks of a logarithmic scale of per cent."""
    high = 100 * max(max(share.value, share.high or 0) for share in found)
    marks = (0, 0.5, 1, 2, 5, 10, 20, 50, 100)
    beyond = next((i for i, mark in enumerate(marks) if mark >= high), len(marks) - 1)
    return [mark for mark in marks[: max(3, beyond + 1)] if mark != 0.5 or beyond < 6]


def _dotted(
    name: str, rows: Sequence[tuple[Row, Estimate]], scale: svg.Scale, marks: Sequence[float], factor: float
) -> str:
    picture = _rows(name, [row for row, _ in rows])
    picture.add(*_marks(marks, scale, picture.high, [svg.short(round(mark, 9)) for mark in marks]))
    for i, (row, found) in enumerate(rows):
        y = _middle(i)
        if found.low is not None and found.high is not None:
            start, end = (scale(min(marks[-1], max(marks[0], edge * factor))) for edge in (found.low, found.high))
            picture.add(svg.line(start, y, end, y, f"l{row.colour} thick"))
        picture.add(svg.dot(scale(found.value * factor), y, f"f{row.colour}", row.told))
    return picture.told()


@dataclass(frozen=True, slots=True)
class Range:
    """Quantiles and the mean of waits, seconds."""

    p50: float
    p90: float
    p99: float
    mean: float


def ranges(name: str, rows: Sequence[tuple[Row, Range]]) -> str:
    """Waits on a logarithmic scale: a bar from the median to p90, a line on to p99, a tick at the mean."""
    marks = svg.waits(max(max(found.p99, found.mean) for _, found in rows))
    scale = svg.logarithmic(marks[-1], _LABEL, _RIGHT)
    picture = _rows(name, [row for row, _ in rows])
    shown = [mark for i, mark in enumerate(marks) if len(marks) < 7 or i % 2 == 0 or i == len(marks) - 1]
    picture.add(*_marks(shown, scale, picture.high, [svg.duration(mark) for mark in shown]))
    for i, (row, found) in enumerate(rows):
        y, (a, b, c) = _middle(i), (scale(v) for v in (found.p50, found.p90, found.p99))
        picture.add(svg.line(a, y, c, y, f"l{row.colour}"))
        picture.add(svg.rectangle(a, y - 4, max(1.5, b - a), 8, f"f{row.colour}", row.told))
        picture.add(svg.line(scale(found.mean), y - 7, scale(found.mean), y + 7, "mean"))
    return picture.told()


def bars(name: str, rows: Sequence[tuple[Row, Sequence[float]]], labels: Sequence[tuple[str, str]], unit: str) -> str:
    """Stacked amounts, one row each, in the order of `labels`: names and classes."""
    marks = svg.ticks(max(sum(parts) for _, parts in rows), 4)
    scale = svg.linear(0, marks[-1], _LABEL, _RIGHT)
    picture = _rows(name, [row for row, _ in rows])
    picture.add(*_marks(marks, scale, picture.high, [svg.short(mark) for mark in marks]))
    for i, (row, parts) in enumerate(rows):
        before = 0.0
        for number, part in enumerate(parts):
            if part > 0:
                told = f"{row.label}, {labels[number][0]}: {part:,.2f} {unit}"
                wide = scale(before + part) - scale(before)
                picture.add(svg.rectangle(scale(before), _middle(i) - 6, wide, 12, labels[number][1], told))
            before += part
    return picture.told()


def _rows(name: str, rows: Sequence[Row]) -> Picture:
    picture = Picture(WIDE, len(rows) * _ROW + 28, name)
    for i, row in enumerate(rows):
        picture.add(svg.text(_LABEL - 8, _middle(i) + 3.5, svg.shortened(row.label, _CHARACTERS), anchor="end"))
    return picture


def _middle(row: int) -> float:
    return 6 + _ROW * (row + 0.5)


def _marks(values: Sequence[float], scale: svg.Scale, high: float, labels: Sequence[str]) -> list[str]:
    """Upright lines and their labels below."""
    found = []
    for value, label in zip(values, labels, strict=True):
        x = scale(value)
        found.append(svg.line(x, 4, x, high - 20, "grid"))
        found.append(svg.text(x, high - 7, label, "tick", "middle"))
    return found


@dataclass(frozen=True, slots=True)
class Curve:
    """What has one value in each part of a run."""

    label: str
    colour: int
    edges: Sequence[int]
    values: Sequence[float]


_TOP, _BOTTOM, _LEFT, _PLOT = 12, 156, 40, 176


def areas(name: str, curves: Sequence[Curve], capacity: float) -> str:
    """Curves of the same edges on top of each other, below a line at the capacity."""
    edges = curves[0].edges if curves else (0, 1)
    picture, x, y = _plot(name, edges[-1], capacity)
    below = [0.0] * (len(edges) - 1)
    for curve in curves:
        above = [b + v for b, v in zip(below, curve.values, strict=True)]
        upper = svg.steps([x(e) for e in edges], [y(v) for v in above])
        lower = svg.steps([x(e) for e in edges], [y(v) for v in below])
        picture.add(svg.path([*upper, *reversed(lower)], f"f{curve.colour}", closed=True))
        below = above
    picture.add(svg.line(x(0), y(capacity), x(edges[-1]), y(capacity), "capacity"))
    return picture.told()


def curves(name: str, found: Sequence[Curve], high: float | None = None) -> str:
    """Curves over time, from 0; `high`: what the axis reaches at least."""
    most = max([high or 0.0, *(max(curve.values, default=0.0) for curve in found)])
    picture, x, y = _plot(name, max(curve.edges[-1] for curve in found), most)
    for curve in found:
        points = svg.steps([x(e) for e in curve.edges], [y(v) for v in curve.values])
        picture.add(svg.path(points, f"l{curve.colour} curve"))
    return picture.told()


def _plot(name: str, end: float, most: float) -> tuple[Picture, svg.Scale, svg.Scale]:
    marks = svg.ticks(most)
    picture = Picture(WIDE, _PLOT, name)
    x = svg.linear(0, end, _LEFT, _RIGHT)
    y = svg.linear(0, max(marks[-1], most), _BOTTOM, _TOP)
    for mark in marks:
        picture.add(svg.line(_LEFT, y(mark), _RIGHT, y(mark), "grid"))
        picture.add(svg.text(_LEFT - 5, y(mark) + 3.5, svg.short(round(mark, 9)), "tick", "end"))
    for moment in svg.times(end, 5):
        picture.add(svg.text(x(moment), _BOTTOM + 14, svg.duration(moment), "tick", "middle"))
    return picture, x, y


@dataclass(frozen=True, slots=True)
class Point:
    """A policy in one setting: `x` seconds of mean wait, `y` per cent of pairs; margins None of a single seed."""

    label: str
    told: str
    x: Estimate
    y: Estimate


def trade(name: str, series: Sequence[tuple[int, Sequence[Point]]]) -> str:
    """Wait across, crossing upwards: a line for each policy through its settings, each with its intervals."""
    points = [point for _, found in series for point in found]
    high_x = max(max(p.x.value, p.x.high or 0) for p in points)
    marks = _shares([p.y for p in points])
    picture = Picture(WIDE, _PLOT + 60, name)
    bottom = _BOTTOM + 60
    x, y = svg.linear(0, high_x or 1, _LEFT, _RIGHT - 16), svg.logarithmic(marks[-1], bottom, _TOP, unit=1)
    for mark in marks:
        picture.add(svg.line(_LEFT, y(mark), _RIGHT, y(mark), "grid"))
        picture.add(svg.text(_LEFT - 5, y(mark) + 3.5, svg.short(round(mark, 9)), "tick", "end"))
    for moment in svg.times(high_x, 5):
        picture.add(svg.text(x(moment), bottom + 14, svg.duration(moment), "tick", "middle"))
    for colour, found in series:
        picture.add(svg.path([(x(p.x.value), y(100 * p.y.value)) for p in found], f"l{colour} curve"))
        for p in found:
            px, py = x(p.x.value), y(100 * p.y.value)
            if p.x.low is not None and p.x.high is not None:
                picture.add(svg.line(x(max(0, p.x.low)), py, x(p.x.high), py, f"l{colour}"))
            if p.y.low is not None and p.y.high is not None:
                picture.add(svg.line(px, y(max(0, 100 * p.y.low)), px, y(min(marks[-1], 100 * p.y.high)), f"l{colour}"))
            picture.add(svg.dot(px, py, f"f{colour}", p.told))
            if p.label:
                picture.add(svg.text(px + 5, py - 5, p.label, "tick"))
    return picture.told()


def boxes(rects: Sequence[tuple[float, float, float, float]]) -> str:
    """The outline of many boxes in one path: x, y, width, height of each."""
    return "".join(f"M{at(x)} {at(y)}h{at(w)}v{at(h)}h-{at(w)}z" for x, y, w, h in rects)
