"""The same scenario with fields of one listed job changed: what if it asked for 24 replicas, not 32."""

import copy
from dataclasses import dataclass
from typing import Any

from berth.sim.scenario.problems import Problem, ScenarioError, nearest
from berth.sim.scenario.reading import Document

FIELDS = ("replicas", "devices", "pools", "level", "policy", "priority", "maxDuration", "work")
"""What can be asked about."""
_NUMBERS = ("replicas", "devices", "priority")


@dataclass(frozen=True, slots=True)
class Change:
    """Fields of a job as they would be. `job`: NAMESPACE/NAME, or NAME alone."""

    job: str
    fields: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in self.fields)


def change(text: str) -> Change:
    """Read `job=NAME,replicas=24`. Raises ValueError that says what is wrong."""
    pairs = [part.partition("=") for part in text.split(",")]
    for name, equals, value in pairs:
        if not equals or not name or not value:
            raise ValueError(f"{text!r}: must be FIELD=VALUE,..., such as job=NAME,replicas=24")
        if name != "job" and name not in FIELDS:
            raise ValueError(
                f"{name!r}: there is no such field{nearest(name, FIELDS) or ';'} there are {', '.join(FIELDS)}"
            )
    found = {name: value for name, _, value in pairs}
    if len(found) < len(pairs):
        raise ValueError(f"{text!r}: a field stands twice; keep one of the two")
    job = found.pop("job", None)
    if job is None or not found:
        raise ValueError(f"{text!r}: must name a job and what would be otherwise, such as job=NAME,replicas=24")
    return Change(job, tuple(found.items()))


def position(found: Document, job: str, namespace: str | None = None) -> int:
    """Place of a job in the scenario's list. Raises ScenarioError if it is not there, or not one alone."""
    jobs = (found.value.get("workload") or {}).get("jobs")
    if not isinstance(jobs, list):
        text = "only jobs that are listed one by one can be asked about (workload.jobs); berth snapshot writes such"
        raise ScenarioError([Problem(found.file, 0, "", text)])
    names = [one.get("name") if isinstance(one, dict) else None for one in jobs]
    wanted = job if "/" in job or namespace is None else f"{namespace}/{job}"
    places = [n for n, name in enumerate(names) if isinstance(name, str) and wanted in (name, name.partition("/")[2])]
    if len(places) == 1:
        return places[0]
    if places:
        several = ", ".join(str(names[place]) for place in places[:3])
        text = f"{job!r}: there are several jobs of this name: {several}; write NAMESPACE/NAME"
    else:
        known = [name for name in names if isinstance(name, str)]
        there = f"; there are {', '.join(known[:5])}{' and more' if len(known) > 5 else ''}" if known else ""
        text = f"{wanted!r}: there is no such job{nearest(wanted, known) or there}"
    raise ScenarioError([Problem(found.file, 0, "", text)])


def changed(found: Document, place: int, wanted: Change) -> Document:
    """The document with fields of the job at a place changed; errors tell of the change, not of a file."""
    value = copy.deepcopy(found.value)
    job: dict[str, Any] = value["workload"]["jobs"][place]
    for name, text in wanted.fields:
        job[name] = _value(name, text)
    return Document(f"{wanted.job} with {wanted}", value, None)


def _value(name: str, text: str) -> Any:
    if name in _NUMBERS and text.removeprefix("-").isdecimal():
        return int(text)
    return text.split("+") if name == "pools" else text
