"""Many gangs at once for few nodes: at no moment is a device given twice, and in the end all have run."""

import random
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from berth.api.folding import unfold
from e2e.ground.waiting import until
from tests.integration.scene import Scene, devices_held

pytestmark = pytest.mark.cluster
pytest_plugins = ("tests.integration.operating",)

GANGS = 30
DEVICES = 8
_PAUSE_S = 0.05


class Witness:
    """Looks at the API server again and again, and notes every device that was given twice."""

    def __init__(self, scene: Scene) -> None:
        self.samples = 0
        self.most = 0
        self.wrong: list[str] = []
        self._scene = scene

    def watch(self, end: threading.Event) -> None:
        """Sample until told to end."""
        while not end.wait(_PAUSE_S):
            self._sample()

    def _sample(self) -> None:
        # Each list is one moment of the API server's history.
        self._judge("pods", devices_held(self._scene.api.get(f"{self._scene.core}/pods")["items"]))
        placed: Counter[str] = Counter()
        for job in self._scene.jobs().values():
            status = job.get("status", {})
            if "placement" in status and "finishedAt" not in status:
                for node in unfold(status["placement"]["nodes"]):
                    placed[node] += job["spec"]["devicesPerReplica"]
        self._judge("placements", placed)
        self.samples += 1

    def _judge(self, what: str, held: Counter[str]) -> None:
        self.most = max(self.most, held.total())
        self.wrong += [f"{what}: {count} devices on {node}" for node, count in held.items() if count > DEVICES]


@contextmanager
def watched(scene: Scene) -> Iterator[Witness]:
    """A witness over the body."""
    witness, end = Witness(scene), threading.Event()
    with ThreadPoolExecutor(1) as threads:
        watching = threads.submit(witness.watch, end)
        try:
            yield witness
        finally:
            end.set()
        watching.result()


def test_thirty_gangs_that_race_for_sixteen_nodes_never_overlap(scene: Scene) -> None:
    """Gangs of all sizes, of both bindings, submitted at once: no device is given twice at any sampled moment."""
    scene.cluster([4, 4], [4, 4])
    dice = random.Random(5)
    jobs = {}
    for number in range(GANGS):
        jobs[f"gang-{number:02}"] = scene.manifest(
            f"gang-{number:02}",
            replicas=dice.randint(1, 6),
            devices=dice.choice([2, 4, 8, 8]),
            binding=dice.choice(["Scheduler", "Direct"]),
            sim={"run": dice.choice([0.2, 0.5])},
        )

    with watched(scene) as witness:
        scene.api.each(lambda job: scene.api.create(scene.jobs_path, job), jobs.values())
        until(
            lambda: all(job.get("status", {}).get("state") == "Succeeded" for job in scene.jobs().values()),
            "all gangs to succeed",
            timeout_s=60,
            poll_s=0.2,
        )

    assert witness.wrong == []
    assert witness.samples > 10
    assert witness.most > 10 * DEVICES
    assert {job["status"]["attempt"] for job in scene.jobs().values()} == {1}


def test_two_gangs_that_race_for_the_last_nodes_get_them_one_after_the_other(scene: Scene) -> None:
    """Both fit alone and not together: one runs, the other waits, and then it runs."""
    scene.cluster([4])
    both = [scene.manifest(name, replicas=3, sim={"run": 1.5}) for name in ("one", "two")]

    with watched(scene) as witness:
        scene.api.each(lambda job: scene.api.create(scene.jobs_path, job), both)
        until(scene.pods, "pods", timeout_s=10)
        for name in ("one", "two"):
            scene.wait(name, "Succeeded")

    assert witness.wrong == []
    first, second = sorted(scene.jobs().values(), key=lambda job: str(job["status"]["placement"]["admittedAt"]))
    assert second["status"]["placement"]["admittedAt"] >= first["status"]["finishedAt"]
