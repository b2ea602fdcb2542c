"""The rules of the queue: one small pool, half of it taken until second 1,000, and who may pass whom."""

from functools import partial

import pytest

from berth.core.admission import Stay, find
from berth.core.calendar import Calendar
from berth.core.cycle import Snapshot, cycle
from berth.core.model import Job, JobKey
from berth.sim.policies.queues import QUEUES
from tests.builders import GPU, a_gang, a_job, by_name, drawn

HALF = """
    spine-0
      leaf-0  8 8 0 0
"""
RUNNING = Stay(
    end=1_000,
    key=JobKey("team", "running"),
    pool="h800",
    takes=tuple((position, {GPU: 8, "pods": 1}, 0) for position in (2, 3)),
)


def _job(name: str, replicas: int, seconds: int, submitted: int) -> Job:
    return a_job(name, a_gang(replicas)).but(max_duration=seconds, submitted=submitted).built


ALL = _job("all", 4, 100, 1)
"""Wants the whole pool."""
SHORT, LONG = _job("short", 1, 100, 2), _job("long", 1, 5_000, 3)
"""One would be gone by the time that the running job ends, the other not."""
HUGE = _job("huge", 9, 100, 0)
"""Fits nowhere, ever."""


def _started(queue: str, *jobs: Job) -> str:
    turns = partial(QUEUES[queue](find), staying=Calendar((RUNNING,)))
    plan = cycle(Snapshot(jobs, by_name(drawn(HALF))), 10, turns=turns, told=False)
    return " ".join(sorted(decision.key.name for decision in plan.decisions))


@pytest.mark.parametrize(
    ("queue", "jobs", "started"),
    [
        pytest.param("strict", (ALL, SHORT, LONG), "", id="strict: behind one that waits all wait"),
        pytest.param("strict", (SHORT, LONG), "long short", id="strict: who fits starts in turn"),
        pytest.param("strict", (HUGE, SHORT), "short", id="strict: who never fits blocks nobody"),
        pytest.param("any-fit", (ALL, SHORT, LONG), "long short", id="any fit: all that fit pass"),
        pytest.param("first-fit-backfill", (ALL, SHORT, LONG), "short", id="first fit: who is gone in time passes"),
        pytest.param("conservative", (ALL, SHORT, LONG), "short", id="conservative: who is gone in time passes"),
    ],
)
def test_who_passes(queue: str, jobs: tuple[Job, ...], started: str) -> None:
    """The jobs that start, in a pool with two free nodes of four."""
    assert _started(queue, *jobs) == started


def test_first_fit_keeps_a_place_for_the_first_alone() -> None:
    """Of two that wait, the second is passed by a job that would delay it under conservative backfill.

    The first needs three nodes from second 1,000 on, the second all four from 1,100 on; a long job on one node is in
    the way of the second only.
    """
    three, four = _job("three", 3, 100, 1), _job("four", 4, 100, 2)
    assert _started("first-fit-backfill", three, four, LONG) == "long"
    assert _started("conservative", three, four, LONG) == ""
