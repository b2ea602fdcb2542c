"""The gangs of the demo: a real trace, pressed into minutes by one stated rule.

The trace covers 90 days in which its cluster was seldom full; played evenly it would take 90 days, and on a cluster
twice as large nothing would ever wait. So both the gaps between submissions and the run times are replaced by their
cube roots, which keeps every order (what was longer is longer) and turns days against seconds into tens against one.
Then both are scaled: the gaps so that `PODS_PER_S` pods are submitted each second on average, more than the 20 to 50
that two cores of API server, scheduler and simulated kubelets play; the run times so that the devices asked for, times
the seconds they run, are `LOAD` of what the cluster has in that time. Bursts stay bursts, so gangs queue though the
load is below one.

The trace does not say which jobs must not leave a domain of the network. A part of the multi-node gangs, drawn by a
seed, has to stay in one domain of the narrowest level that can hold it; the others ask for nothing.
"""

import csv
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

PODS_PER_S = 60.0
"""Pods submitted each second, on average, at speed 1."""
LOAD = 0.6
"""Device-seconds asked for, as a share of what the cluster has during the submissions."""
BOUND_SHARE = 0.25
"""Share of the multi-node gangs that must stay inside one domain."""
_POWER = 1 / 3
_COLUMNS = ("id", "submit_s", "duration_s", "gpus", "nodes")


class TraceError(ValueError):
    """The trace cannot be used; the message names file, line, value and what is right."""


@dataclass(frozen=True, slots=True)
class Run:
    """A job of the trace: seconds from its start, seconds that it ran, devices and nodes in all."""

    number: int
    submit_s: int
    duration_s: int
    gpus: int
    nodes: int


@dataclass(frozen=True, slots=True)
class Gang:
    """A gang to submit, `at` seconds after the first. `level`: it must stay in one domain of it; None: no wish."""

    name: str
    at: float
    replicas: int
    devices: int
    run_s: float
    level: str | None = None


@dataclass(frozen=True, slots=True)
class Workload:
    """Gangs in order of submission, and the rule by which they were made, in one sentence."""

    gangs: tuple[Gang, ...]
    rule: str


def read(path: Path) -> list[Run]:
    """Read a trace in order of submission; TraceError when it is none."""
    with path.open(newline="") as file:
        rows = csv.DictReader(file)
        if tuple(rows.fieldnames or ()) != _COLUMNS:
            raise TraceError(f"{path}:1: columns {', '.join(rows.fieldnames or ())}; needed are {', '.join(_COLUMNS)}")
        runs = [_run(path, rows.line_num, row) for row in rows]
    if not runs:
        raise TraceError(f"{path}: holds no job; at least one is needed")
    return sorted(runs, key=lambda run: run.submit_s)


def compress(
    runs: Sequence[Run],
    *,
    devices: int,
    per_node: int,
    largest: Mapping[str, int],
    speed: float = 1.0,
    gangs: int | None = None,
    seed: int = 1,
) -> Workload:
    """Press a trace together for a cluster of `devices`, `per_node` on each node.

    `largest` tells for each level, narrowest first, how many nodes its largest domain has. Of the trace so many `gangs`
    are taken, evenly (all of them if None); TraceError if it has fewer. `speed` divides all times.
    """
    number = len(runs) if gangs is None else gangs
    if number > len(runs):
        raise TraceError(f"{number} gangs are wanted, the trace has {len(runs)}; ask for fewer")
    chosen = [runs[index * len(runs) // number] for index in range(number)]
    window = sum(run.nodes for run in chosen) / PODS_PER_S / speed
    gaps = [(later.submit_s - run.submit_s) ** _POWER for run, later in pairwise(chosen)]
    pace = window / sum(gaps) if sum(gaps) else 0.0
    stretch = LOAD * devices * window / sum(run.gpus * run.duration_s**_POWER for run in chosen)
    draw = random.Random(seed)  # noqa: S311 -- a demo's draw, repeatable by its seed
    made: list[Gang] = []
    at = 0.0
    for run, gap in zip(chosen, [*gaps, 0.0], strict=True):
        bound = draw.random() < BOUND_SHARE
        fitting = next((level for level, most in largest.items() if run.nodes <= most), None)
        made.append(
            Gang(
                name=f"kalos-{run.number:03}",
                at=at,
                replicas=run.nodes,
                devices=per_node if run.nodes > 1 else run.gpus,
                run_s=round(stretch * run.duration_s**_POWER, 2),
                level=fitting if bound and run.nodes > 1 else None,
            )
        )
        at += gap * pace
    return Workload(tuple(made), _rule(runs, made, speed))


def _rule(runs: Sequence[Run], gangs: Sequence[Gang], speed: float) -> str:
    days = (runs[-1].submit_s - runs[0].submit_s) / 86_400
    bound = sum(gang.level is not None for gang in gangs)
    shortest, longest = min(gang.run_s for gang in gangs), max(gang.run_s for gang in gangs)
    return (
        f"{len(gangs)} of {len(runs)} gangs of {days:.0f} days in {gangs[-1].at:.0f} s: cube roots of gaps and run "
        f"times (now {shortest:.1f}-{longest:.0f} s), scaled to {LOAD:.0%} load"
        f"{'' if speed == 1 else f', speed {speed:g}'}; {bound} must stay in one leaf or spine"
    )


def _run(path: Path, line: int, row: Mapping[str, str]) -> Run:
    try:
        run = Run(*(int(row[column]) for column in _COLUMNS))
    except ValueError as error:
        raise TraceError(f"{path}:{line}: {error}; whole numbers are needed") from error
    if min(run.gpus, run.nodes) < 1 or run.duration_s < 0:
        raise TraceError(f"{path}:{line}: {run}: at least one GPU, one node, and 0 seconds are needed")
    return run
