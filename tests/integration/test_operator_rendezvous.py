"""What the pods of a Torchrun job carry is enough to find each other: real processes do it with nothing else."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from e2e.ground import ports
from e2e.ground.api import JsonObject
from tests.integration.scene import Scene, environment

pytestmark = pytest.mark.cluster
pytest_plugins = ("tests.integration.operating",)

WORKER = Path(__file__).with_name("rendezvous_worker.py")
TURNED_AWAY = 3


def hosts(scene: Scene, job: str, address: tuple[str, int]) -> dict[str, tuple[str, int]]:
    """What a cluster's DNS would say of a job's pods: one name for each pod that a headless Service selects."""
    found = {}
    for service in scene.services(job).values():
        assert service["spec"]["clusterIP"] == "None"
        wanted = service["spec"]["selector"].items()
        for pod in scene.pods(job).values():
            if wanted <= pod["metadata"]["labels"].items() and pod["spec"]["subdomain"] == service["metadata"]["name"]:
                found[f"{pod['spec']['hostname']}.{pod['spec']['subdomain']}.{scene.namespace}.svc"] = address
    return found


@contextmanager
def workers(environments: list[dict[str, str]], names: Path) -> Iterator[list[subprocess.Popen[str]]]:
    """One process for each environment, with its PET_* and nothing else; none is left."""
    started = []
    try:
        for env in environments:
            pet = {key: value for key, value in env.items() if key.startswith("PET_")}
            command = [sys.executable, "-I", str(WORKER), str(names)]
            pipe = subprocess.PIPE
            started.append(subprocess.Popen(command, env=pet, stdout=pipe, stderr=pipe, text=True))
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def ended(process: subprocess.Popen[str]) -> tuple[int, Any]:
    """Exit code of a worker, and what it said."""
    out, err = process.communicate(timeout=30)
    assert err == ""
    return process.returncode, json.loads(out)


def in_order(pods: dict[str, JsonObject]) -> list[dict[str, str]]:
    """Environments of pods, by rank."""
    return [environment(pod) for pod in pods.values()]


def test_the_replicas_of_a_torchrun_job_form_one_rendezvous(scene: Scene, tmp_path: Path) -> None:
    """One process for each pod, with that pod's environment: all ranks meet, and all know of all devices."""
    scene.cluster([4])
    scene.submit("train", replicas=4, runtime="Torchrun")
    scene.wait("train", "Running")
    address = ("127.0.0.1", ports.assign(["rendezvous"])["rendezvous"])
    names = tmp_path / "hosts.json"
    names.write_text(json.dumps(hosts(scene, "train", address)))

    with workers(in_order(scene.pods("train")), names) as started:
        results = [ended(process) for process in started]

    assert results == [(0, {"ranks": [0, 1, 2, 3], "devices": 32})] * 4


def test_a_worker_of_an_earlier_attempt_is_turned_away(scene: Scene, tmp_path: Path) -> None:
    """A process that outlived attempt 1 knocks at attempt 2: it is refused, and attempt 2 meets without it."""
    scene.cluster([2])
    scene.submit("train", replicas=2, runtime="Torchrun")
    scene.wait("train", "Running")
    address = ("127.0.0.1", ports.assign(["rendezvous"])["rendezvous"])
    before = hosts(scene, "train", address)
    stray = environment(scene.pods("train")["train-1-1"])
    scene.edit("train", suspend=True)
    scene.wait_for("train", lambda s: "placement" not in s, "to be stopped")
    scene.edit("train", suspend=False)
    scene.wait("train", "Running")
    names = tmp_path / "hosts.json"
    # The worst case: the address of the old name now leads to the new rank 0.
    names.write_text(json.dumps(before | hosts(scene, "train", address)))
    first, second = in_order(scene.pods("train", attempt=2))

    with workers([first, stray], names) as (leader, straggler):
        assert ended(straggler) == (TURNED_AWAY, {"refused": "this is train-2, not train-1"})
        with workers([second], names) as (other,):
            assert ended(other) == (0, {"ranks": [0, 1], "devices": 16})
        assert ended(leader) == (0, {"ranks": [0, 1], "devices": 16})
