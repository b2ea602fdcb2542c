"""Workload traces: rows of a CSV file as shapes of jobs, filtered, every bad cell told."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from berth.sim.scenario import tables
from berth.sim.scenario.problems import Problem, ScenarioError, shown
from berth.sim.scenario.workload import Columns, Filter, Trace


@dataclass(frozen=True, slots=True)
class Shape:
    """A job of a trace before it is one of a run. Times in seconds; `submit` from the trace's start.

    `replicas`: None where the trace does not say. `declared`: None where it was submitted without a limit.
    """

    name: str
    submit: int
    seconds: int
    devices: int
    replicas: int | None = None
    tenant: str = ""
    declared: int | None = None
    priority: int = 0
    line: int = 0


def shapes(trace: Trace, path: Path) -> list[Shape]:
    """The rows that count, in order of submission. Raises ScenarioError with all bad rows, or if none is left.

    Names that are numbers get equal width: jobs that were submitted together line up by name.
    """
    found: list[Shape] = []
    problems: list[Problem] = []
    lines: dict[str, int] = {}
    for line, cells in tables.read(path, _named(trace.columns)):
        row = _Row(str(path), line, cells, problems)
        before = len(problems)
        shape = _shape(row, trace.columns)
        if shape.name in lines:
            row.problem(trace.columns.id or "", f"{shape.name!r}: stands in line {lines[shape.name]} already")
        lines[shape.name] = line
        if len(problems) == before and _counts(shape, trace.filter):
            found.append(shape)
    if problems:
        raise ScenarioError(tables.some(problems))
    if not found:
        raise ScenarioError([Problem(str(path), 0, "", f"has no job that counts (of {len(lines)}); widen the filter")])
    width = max((len(shape.name) for shape in found if shape.name.isdecimal()), default=0)
    found = [replace(shape, name=shape.name.zfill(width)) if shape.name.isdecimal() else shape for shape in found]
    return sorted(found, key=lambda shape: shape.submit)


def _named(columns: Columns) -> dict[str, str]:
    """Columns that are looked for, with the field that names each."""
    fields = type(columns).model_fields
    return {getattr(columns, name): f"workload.trace.columns.{name}" for name in fields if getattr(columns, name)}


@dataclass(frozen=True, slots=True)
class _Row:
    """Cells of one line, and where problems with them go."""

    file: str
    line: int
    cells: dict[str, str]
    problems: list[Problem]

    def problem(self, column: str, text: str) -> None:
        self.problems.append(Problem(self.file, self.line, column, text))

    def time(self, column: str, to_int: Callable[[float], int]) -> int:
        """Seconds, not negative; 0 where the cell is bad, which is then a problem."""
        try:
            value = float(self.cells[column])
        except ValueError:
            value = -1.0
        if not 0 <= value < math.inf:
            self.problem(column, f"{shown(self.cells[column])}: must be seconds, 0 or more; correct or remove the row")
            return 0
        return to_int(value)

    def whole(self, column: str, least: int | None) -> int:
        """A whole number; 1 where the cell is bad, which is then a problem."""
        text = self.cells[column]
        head, dot, tail = text.partition(".")
        if dot and not tail.strip("0"):  # 8.0, as some tools write integers
            text = head
        try:
            value = int(text)
        except ValueError:
            value = None
        if value is None or (least is not None and value < least):
            wanted = "a whole number" if least is None else f"a whole number of at least {least}"
            self.problem(column, f"{shown(self.cells[column])}: must be {wanted}; correct or remove the row")
            return 1
        return value


def _shape(row: _Row, columns: Columns) -> Shape:
    declared = row.cells[columns.declared] if columns.declared else ""
    shape = Shape(
        name=row.cells[columns.id] if columns.id else f"{row.line}",
        submit=row.time(columns.submit, int),
        seconds=max(1, row.time(columns.duration, math.ceil)),
        devices=row.whole(columns.devices, 1),
        replicas=row.whole(columns.replicas, 1) if columns.replicas else None,
        tenant=row.cells[columns.tenant] if columns.tenant else "",
        declared=row.time(columns.declared or "", math.ceil) if declared else None,
        priority=row.whole(columns.priority, None) if columns.priority else 0,
        line=row.line,
    )
    if columns.replicas and shape.replicas and shape.devices % shape.replicas:
        text = f"{shape.replicas}: {shape.devices} devices are not as many for each replica; correct or remove the row"
        row.problem(columns.replicas, text)
    return shape


def _counts(shape: Shape, wanted: Filter) -> bool:
    return (
        (wanted.min_devices or 0) <= shape.devices
        and (wanted.max_devices is None or shape.devices <= wanted.max_devices)
        and (wanted.min_duration or 0) <= shape.seconds
        and (wanted.tenants is None or shape.tenant in wanted.tenants)
        and (wanted.from_ or 0) <= shape.submit
        and (wanted.to is None or shape.submit < wanted.to)
    )
