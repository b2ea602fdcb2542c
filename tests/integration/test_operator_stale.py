"""Views that are old, disordered or told twice: no slot is given twice, and the end is the one without any fault.

Watches are held back one kind at a time, for different times, so that what is seen of one kind is older than what is
seen of another; they expire with what was held back lost; every event is told twice. What is drawn is drawn by a seed.
"""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from e2e.faults.calls import Match, calls
from e2e.faults.proxy import FaultProxy
from e2e.ground.waiting import until
from e2e.running import OperatorProcess
from tests.integration.scene import Scene
from tests.integration.test_operator_race import watched

pytestmark = pytest.mark.cluster
pytest_plugins = ("tests.integration.operating",)

KINDS = ("trainingjobs", "pods", "nodes")
GANGS = 16
FAULTS = 6
_HELD_S = 1.0
_BETWEEN_S = 0.3


def watches(kind: str) -> Match:
    return calls(verb="watch", resource=kind)


def disturb(proxy: FaultProxy, dice: random.Random, end: threading.Event, faults: list[str]) -> None:
    """Hold, expire and cut watches, kind by kind, until told to end; notes each fault when it is over."""
    while not end.is_set():
        with ExitStack() as held:
            for kind in dice.sample(KINDS, dice.randint(1, 2)):
                held.enter_context(proxy.hold(watches(kind)))
            time.sleep(dice.uniform(0.1, _HELD_S))
            kind = dice.choice(KINDS)
            fault = dice.choice(["expire", "cut", "nothing"])
            match fault:
                case "expire":
                    held.enter_context(proxy.expire(watches(kind)))
                case "cut":
                    proxy.cut(watches(kind), half_line=dice.random() < 0.5)
        faults.append(fault)
        time.sleep(dice.uniform(0, _BETWEEN_S))


def race(scene: Scene, dice: random.Random, wave: int) -> None:
    """Submit gangs all at once, and wait until all have succeeded."""
    sizes = [(dice.randint(1, 4), dice.choice([4, 8])) for _ in range(GANGS)]
    jobs = [
        scene.manifest(f"gang-{wave}-{number:02}", replicas=replicas, devices=devices, sim={"run": 0.3})
        for number, (replicas, devices) in enumerate(sizes)
    ]
    scene.api.each(lambda job: scene.api.create(scene.jobs_path, job), jobs)
    until(
        lambda: all(job.get("status", {}).get("state") == "Succeeded" for job in scene.jobs().values()),
        "all gangs to succeed",
        timeout_s=120,
        poll_s=0.2,
    )


@pytest.mark.parametrize("seed", [1, 2])
def test_gangs_that_race_while_all_views_are_stale_never_overlap(
    scene: Scene, operator: OperatorProcess, proxy: FaultProxy, seed: int
) -> None:
    """Sixteen gangs for eight nodes: each runs once, in one attempt, and the devices are all free in the end.

    However quick the operator is: as long as there were few faults yet, as many gangs more are submitted.
    """
    scene.cluster([4, 4])
    dice = random.Random(seed)
    end, faults = threading.Event(), list[str]()
    with ThreadPoolExecutor(1) as threads, watched(scene) as witness, proxy.duplicate(calls(verb="watch")):
        disturbing = threads.submit(disturb, proxy, random.Random(seed), end, faults)
        try:
            for wave in range(FAULTS):
                if len(faults) < FAULTS:
                    race(scene, dice, wave)
        finally:
            end.set()
        disturbing.result()

    assert witness.wrong == []
    assert len(faults) >= FAULTS
    assert {job["status"]["attempt"] for job in scene.jobs().values()} == {1}
    assert {job["status"].get("failures") for job in scene.jobs().values()} == {None}
    scene.submit("whole", replicas=8)
    scene.wait("whole", "Running")
    assert sorted(scene.bound("whole")) == sorted(scene.nodes)
    assert operator.get("/healthz")[0] == 200
