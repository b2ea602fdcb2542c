"""CSV files, plain or packed with xz: rows with their lines, and problems told by line and column."""

import csv
import lzma
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from berth.sim.scenario.problems import Problem, ScenarioError, nearest

_TOLD = 20
"""Problems of one table that are told; of the others there is the count."""


def read(path: Path, columns: Mapping[str, str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a table, each with its line and the cells of `columns`, blanks around them left out.

    `columns`: the field of the scenario that names each column, for errors. Raises ScenarioError.
    """
    with _opened(path) as file:
        rows = csv.reader(file)
        try:
            header = next(rows, [])
            places = _places(path, header, columns)
            for row in rows:
                if not row:
                    continue
                if len(row) != len(header):
                    text = f"has {len(row)} cells; the header has {len(header)}: {', '.join(header)}"
                    raise ScenarioError([Problem(str(path), rows.line_num, "", text)])
                yield rows.line_num, {column: row[place].strip() for column, place in places.items()}
        except (csv.Error, UnicodeDecodeError, lzma.LZMAError, EOFError) as error:
            text = f"cannot be read on: {error}; the file is damaged, or no CSV in UTF-8"
            raise ScenarioError([Problem(str(path), rows.line_num + 1, "", text)]) from error


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    try:
        with _text(path) as file:
            yield file
    except OSError as error:
        text = f"cannot be read: {error.strerror or error}; correct the path"
        raise ScenarioError([Problem(str(path), 0, "", text)]) from error


def _text(path: Path) -> TextIO:
    if path.suffix == ".xz":
        return lzma.open(path, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")


def _places(path: Path, header: Sequence[str], columns: Mapping[str, str]) -> dict[str, int]:
    names = [name.strip() for name in header]
    problems = []
    for column, field in columns.items():
        if names.count(column) != 1:
            there = "there is no such column" if column not in names else "there are several such columns"
            text = f"{there} ({field}){nearest(column, names)}; it has {', '.join(names) or 'none'}"
            problems.append(Problem(str(path), 1, column, text))
    if problems:
        raise ScenarioError(problems)
    return {column: names.index(column) for column in columns}


def some(problems: Sequence[Problem]) -> list[Problem]:
    """The first problems of a table, and how many more there are."""
    if len(problems) <= _TOLD:
        return list(problems)
    more = Problem(problems[0].file, 0, "", f"{len(problems) - _TOLD} more problems like these")
    return [*problems[:_TOLD], more]
