"""When a job will start, and when it would if it asked for something else: the present cluster played forward.

Each question is a run of the same scenario, with one job changed. The answers stand side by side, with what they would
cost or spare the others.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from berth.api.wire import rfc3339
from berth.cli.cluster import CommandError, Target, connected
from berth.cli.filling import filled, suppose
from berth.cli.screen import Screen
from berth.cli.simulate import told
from berth.cli.stopping import Stopper
from berth.core.explain import count
from berth.core.model import Mode
from berth.sim.case import Case, Fleet
from berth.sim.engine import run
from berth.sim.record import Life, Run
from berth.sim.scenario import cases, live, whatif
from berth.sim.scenario.cases import Ready
from berth.sim.scenario.live import Live
from berth.sim.scenario.problems import ScenarioError
from berth.sim.scenario.reading import Document, document, text_of
from berth.sim.scenario.whatif import Change
from berth.text import Column, age, table


@dataclass(frozen=True, slots=True)
class Asked:
    """A scenario as a document, and what is asked about it. `base`: where its files are looked for."""

    found: Document
    base: Path
    job: int
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What becomes of the job that was asked about. Times in seconds from the run's begin."""

    what: str
    life: Life
    fleets: tuple[Fleet, ...]
    starts: dict[str, int]
    """When each of the other jobs that waited starts."""


# The scenario


def of_cluster(target: Target) -> Live:
    """The present cluster. Raises CommandError, ConfigError."""
    return asyncio.run(_of_cluster(target))


async def _of_cluster(target: Target) -> Live:
    async with connected(target) as client:
        found = await filled(client)
    suppose(found.mirror)
    now = int(time.time())
    snapshot = replace(found.mirror.snapshot(Mode.ACTIVE), touched=None)
    made = live.scenario(snapshot, found.mirror.pools.members(), now)
    made.notes[:0] = found.notes
    if not made.document["cluster"]["pools"]:
        raise CommandError("no AcceleratorPool of this cluster has nodes; there is nothing to play forward")
    return made


def print_snapshot(target: Target) -> int:
    """`snapshot`: the scenario on stdout. Raises CommandError."""
    click.echo(of_cluster(target).text(), nl=False)
    return 0


def ready(found: Document, base: Path) -> Ready:
    """A scenario that was made here. Raises CommandError."""
    try:
        return cases.ready(found, base, "cluster")
    except ScenarioError as error:
        raise CommandError(told(error)) from error


def from_cluster(target: Target) -> Document:
    """The present cluster as a document, its notes told on stderr. Raises CommandError."""
    made = of_cluster(target)
    for note in made.notes:
        click.echo(f"note: {note}", err=True)
    return document("the cluster", made.text())


def from_file(file: str) -> Document:
    """A scenario's file as a document. Raises CommandError."""
    try:
        return document(file, text_of(Path(file)))
    except ScenarioError as error:
        raise CommandError(told(error)) from error


# The questions


def asked(
    found: Document, base: Path, job: str | None, replicas: int | None, sets: Sequence[str], namespace: str | None
) -> Asked:
    """Read the questions of a command line. Raises CommandError."""
    try:
        changes = [whatif.change(text) for text in sets]
        if job is not None and replicas is not None:
            changes.insert(0, Change(job, (("replicas", str(replicas)),)))
        names = [*([job] if job is not None else []), *(change.job for change in changes)]
        places = {whatif.position(found, name, namespace) for name in names}
    except ValueError as error:
        text = told(error) if isinstance(error, ScenarioError) else f"--set {error}"
        raise CommandError(text) from error
    if len(places) > 1:
        raise CommandError(f"{', '.join(dict.fromkeys(names))}: ask about one job at a time")
    place = places.pop()
    if "placed" in found.value["workload"]["jobs"][place]:
        name = found.value["workload"]["jobs"][place]["name"]
        raise CommandError(f"{name} has its devices already; ask about a job that waits")
    return Asked(found, base, place, tuple(changes))


def answer(wanted: Asked, form: str | None) -> int:
    """Answer on stdout; the exit code. Raises CommandError."""
    with Stopper() as stopper:
        first = ready(wanted.found, wanted.base)
        answers = [_answer("as it is", first, wanted.job, stopper)]
        for change in wanted.changes:
            try:
                changed = cases.ready(whatif.changed(wanted.found, wanted.job, change), wanted.base, "cluster")
            except ScenarioError as error:
                raise CommandError(told(error)) from error
            answers.append(_answer(str(change), changed, wanted.job, stopper))
    if stopper.asked():
        raise CommandError("interrupted: there is no answer")
    at = first.scenario.at
    if form == "json":
        click.echo(json.dumps([_wire(one, answers[0], at) for one in answers], indent=2, ensure_ascii=False))
        return 0
    for line in _lines(answers, at, Screen.found()):
        click.echo(line, color=True)
    return 0


def _answer(what: str, found: Ready, job: int, stopper: Stopper) -> Answer:
    listed = found.scenario.workload.jobs or ()
    name = listed[job].name
    case: Case = found.case(found.settings()[0])
    record: Run = run(case, stop=stopper.asked)
    lives = {str(life.task.key): life for life in record.lives}
    starts = {
        key: life.stints[0].start for key, life in lives.items() if key != name and not life.task.held and life.stints
    }
    return Answer(what, lives[name], case.fleets, starts)


# The answers


def _lines(answers: Sequence[Answer], at: int | None, screen: Screen) -> list[str]:
    columns = [Column(""), *(Column(one.what.upper()) for one in answers)]
    first = answers[0]
    rows = [
        ["asks for", *(_asks(one.life) for one in answers)],
        ["starts", *(_start(one.life, at) for one in answers)],
        ["sits", *(_sits(one) for one in answers)],
        ["gives back", *(_ends(one.life, at) for one in answers)],
    ]
    if len(answers) > 1:
        rows.append(["others", *(_others(one, first) for one in answers)])
    name = str(first.life.task.key)
    notes = [
        "",
        "Every job is taken to hold its devices as long as the scenario says (maxDuration, or what is assumed), and no",
        "new one comes: what ends early starts others earlier, who comes with higher priority puts them off.",
    ]
    return [f"{name}, played forward by Berth's own rules:", "", *table(columns, rows, screen.columns), *notes]


def _asks(life: Life) -> str:
    gang = life.task.gang
    where = f", {gang.policy} {gang.level}" if gang.level else ""
    return f"{count(gang.replicas, 'replica')} of {count(gang.devices, 'device')}{where}"


def _start(life: Life, at: int | None) -> str:
    if not life.stints:
        return f"never: {life.waiting}" if life.waiting else "never"
    return _moment(life.stints[0].start, at)


def _ends(life: Life, at: int | None) -> str:
    return "-" if life.finished is None else _moment(life.finished, at)


def _moment(seconds: int, at: int | None) -> str:
    away = "now" if seconds == 0 else f"in {age(seconds)}"
    return away if at is None else f"{away} ({rfc3339(at + seconds)})"


def _spans(one: Answer) -> dict[str, int]:
    """In how many domains of each level the job sits, the node level last."""
    if not one.life.stints:
        return {}
    stint = one.life.stints[0]
    fleet = next(fleet for fleet in one.fleets if fleet.name == stint.pool)
    paths = {(*fleet.nodes[position].path, fleet.nodes[position].name) for position in stint.nodes}
    levels = (*fleet.levels, "node")
    return {level: len({path[: depth + 1] for path in paths}) for depth, level in enumerate(levels)}


def _sits(one: Answer) -> str:
    spans = _spans(one)
    if not spans:
        return "-"
    return f"pool {one.life.stints[0].pool}: " + ", ".join(count(number, level) for level, number in spans.items())


def _shifted(one: Answer, first: Answer) -> tuple[dict[str, int], dict[str, int]]:
    """Other jobs that start later, and earlier, with by how many seconds."""
    moved = {key: start - first.starts[key] for key, start in one.starts.items() if key in first.starts}
    return {k: s for k, s in moved.items() if s > 0}, {k: -s for k, s in moved.items() if s < 0}


def _others(one: Answer, first: Answer) -> str:
    if one is first:
        return "-"
    parts = []
    for word, found in zip(("later", "earlier"), _shifted(one, first), strict=True):
        if found:
            most = max(found, key=lambda key: found[key])
            parts.append(f"{count(len(found), 'job')} {word} (most: {most}, {age(found[most])})")
    lost = len(first.starts.keys() - one.starts.keys())
    parts += [f"{count(lost, 'job')} never"] if lost else []
    return "; ".join(parts) or "start as before"


def _wire(one: Answer, first: Answer, at: int | None) -> dict[str, Any]:
    life, (later, earlier) = one.life, _shifted(one, first)
    start = life.stints[0].start if life.stints else None
    return {
        "what": one.what,
        "job": str(life.task.key),
        "replicas": life.task.gang.replicas,
        "devicesPerReplica": life.task.gang.devices,
        "startsIn": start,
        "startsAt": None if start is None or at is None else rfc3339(at + start),
        "endsIn": life.finished,
        "pool": life.stints[0].pool if life.stints else None,
        "spans": _spans(one),
        "waitsFor": life.waiting or None,
        "othersLater": later,
        "othersEarlier": earlier,
    }
