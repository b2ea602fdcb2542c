"""Small builders of the simulator's nouns: a case and its run, so that a test states only what it is about.

A pool is drawn as in `tests.builders.drawn`; a life is told by what the job asks for and its attempts.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from berth.core.model import JobKey
from berth.sim.case import Case, Fleet, Outage, Task
from berth.sim.quality import Result, measure
from berth.sim.record import Life, Run, Spent, Stint
from tests.builders import GPU, LEVELS, a_gang, drawn

TWO_SPINES = """
    s0
      s0-l0 8 8
      s0-l1 8 8
    s1
      s1-l0 8 8 8 8
"""
"""Eight nodes of eight devices, `n0` to `n7`: leaves of two, two and four nodes."""


def a_fleet(picture: str = TWO_SPINES, name: str = "h800", levels: tuple[str, ...] = LEVELS) -> Fleet:
    """The pool in the picture."""
    return Fleet(name, GPU, levels, tuple(drawn(picture, name=name, levels=levels).ledger.nodes))


def a_task(name: str = "train", replicas: int = 1, *, submit: int = 0, work: int = 100, **more: Any) -> Task:
    """A job of replicas with eight devices each, unless `devices` says otherwise."""
    gang = a_gang(replicas, more.pop("devices", 8))
    return Task(JobKey("team", name), submit, gang, work, **more)


def a_stint(
    nodes: Sequence[int], start: int, end: int, cause: str = "Succeeded", *, pool: str = "h800", **spent: int
) -> Stint:
    """One attempt, all of it useful but what `spent` says."""
    rest = end - start - sum(spent.values())
    return Stint(1, pool, tuple(nodes), start, end, cause, Spent(**{"useful": rest, **spent}))


def a_life(task: Task, *stints: Stint, finished: int | None = None, **more: Any) -> Life:
    """A job and its attempts, numbered; it has ended with the last one if that succeeded, unless told otherwise."""
    numbered = tuple(replace(stint, attempt=number) for number, stint in enumerate(stints, 1))
    if finished is None and numbered and numbered[-1].cause == "Succeeded":
        finished = numbered[-1].end
        more = {"outcome": "Succeeded", **more}
    return Life(task, numbered, finished, **more)


def a_result(*lives: Life, end: int, fleets: tuple[Fleet, ...] = (), **more: Any) -> Result:
    """The run of these lives, measured; `more` are fields of the case, but `outages`, `cycles` and `partial`."""
    run_only = {name: more.pop(name) for name in ("outages", "cycles", "partial") if name in more}
    outages: tuple[Outage, ...] = run_only.get("outages", ())
    case = Case(
        **{
            "name": "small",
            "policy": "berth",
            "fleets": fleets or (a_fleet(),),
            "tasks": tuple(life.task for life in lives),
            "outages": outages,
            **more,
        }
    )
    run = Run(
        case=case.name,
        policy=case.policy,
        seed=case.seed,
        load=case.load,
        end=end,
        lives=lives,
        outages=outages,
        cycles=run_only.get("cycles", 1),
        partial=run_only.get("partial", False),
    )
    return Result(case, run, measure(run, case))
