"""Berth on real kubelets: from its image, under its own service account, with real containers."""

import re
from typing import Any

import pytest

from berth.api.folding import unfold
from e2e.ground.waiting import until
from e2e.images.berth import ROOT
from e2e.kind import install
from e2e.kind.cluster import DEVICES
from tests.kind.scene import Scene

pytestmark = [pytest.mark.kind, pytest.mark.timeout(1200)]


def test_a_gang_of_containers_meets_and_runs_to_its_end(scene: Scene) -> None:
    """Two replicas, each with all devices of a node, find each other by the environment that Berth gave them."""
    scene.submit("meet", replicas=2, devices=DEVICES, env={"TRAINER_SECONDS": "3"})

    scene.wait("meet", "Succeeded")

    pods = scene.pods("meet")
    assert [scene.said(pod) for pod in pods] == [
        [{"rank": rank, "ranks": [0, 1], "devices": 2 * DEVICES}] for rank in (0, 1)
    ]
    assert {pod["spec"]["nodeName"] for pod in pods.values()} == set(scene.cluster.workers)


def test_a_container_that_fails_starts_the_gang_anew(scene: Scene) -> None:
    """Rank 1 of attempt 1 exits with 7: the exit code is kept, and attempt 2 meets and succeeds."""
    scene.submit("flaky", replicas=2, devices=4, env={"TRAINER_FAIL": "1:1:7"})

    done = scene.wait("flaky", "Succeeded", timeout_s=180)

    (first,) = done["attempts"]
    assert first["cause"] == "OwnFailure"
    assert (first["firstFailure"]["replica"], first["firstFailure"]["exitCode"]) == (1, 7)
    assert (done["attempt"], done["failures"]) == (2, 1)


def test_the_operator_may_die_while_a_gang_runs(scene: Scene) -> None:
    """The leading pod is killed: the other operator takes over, and no replica is touched."""
    scene.submit("steady", replicas=2, devices=4, env={"TRAINER_SECONDS": "30"})
    scene.wait("steady", "Running")
    before = scene.uids("steady")
    leader = scene.operators.wait_leader()

    scene.operators.gather()
    scene.cluster.kubectl("-n", install.NAMESPACE, "delete", "pod", leader, "--force", "--grace-period=0")

    scene.operators.wait_leader(other_than=leader)
    scene.wait("steady", "Succeeded")
    assert scene.uids("steady") == before
    scene.operators.wait_available()


def test_a_node_that_is_killed_is_left_and_its_gang_runs_elsewhere(scene: Scene) -> None:
    """Both replicas sit on one node, which loses its power: the gang runs on the other, and is charged nothing."""
    scene.submit("moved", replicas=2, devices=4, env={"TRAINER_SECONDS": "40"})
    scene.wait("moved", "Running")
    (lost,) = {pod["spec"]["nodeName"] for pod in scene.pods("moved").values()}

    scene.operators.gather()
    scene.cluster.kill_node(lost)
    try:
        done = scene.wait("moved", "Succeeded", timeout_s=400)
    finally:
        scene.cluster.start_node(lost)

    (other,) = set(scene.cluster.workers) - {lost}
    assert set(unfold(done["placement"]["nodes"])) == {other}
    assert [attempt["cause"] for attempt in done["attempts"]] == ["NodeFailure"]
    assert done.get("failures", 0) == 0


def test_the_examples_apply_and_each_job_says_where_it_stands(scene: Scene) -> None:
    """As they are but for images, which are not to be pulled. What has no room here says why."""
    for example in sorted((ROOT / "examples").glob("*.yaml")):
        ours = rf"\1image: {install.TRAINER}\n\1imagePullPolicy: Never"
        manifests = re.sub(r"^( +)image: \S+$", ours, example.read_text(), flags=re.MULTILINE)
        scene.cluster.kubectl("apply", "-f", "-", stdin=manifests)
    try:
        jobs = until(lambda: told(scene), "Berth to say of all examples where they stand", timeout_s=60, poll_s=0.5)
    finally:
        names = ("namespace/vision", "namespace/llm", "apool/ascend-910c", "apool/prototype")
        scene.cluster.kubectl("delete", "--wait=false", *names)

    waiting = {name: status["pending"]["reason"] for name, status in jobs.items() if "pending" in status}
    assert {waiting[name] for name in ("resnet", "llama-8b", "detector")} == {"TooLarge"}
    assert waiting["llama-70b-cann"] in {"PoolNotReady", "TooLarge"}  # a pool without nodes has no room either
    assert jobs["embedder"]["pool"] == "h800"


def told(scene: Scene) -> dict[str, dict[str, Any]]:
    """Statuses of the examples' jobs by name; empty until each was placed, or waits for another reason than a look."""
    found = scene.api.get("/apis/berth.dev/v1alpha1/trainingjobs")["items"]
    statuses = {str(job["metadata"]["name"]): job.get("status", {}) for job in found}
    done = (
        "attempt" in status or status.get("pending", {}).get("reason") not in {None, "Validating"}
        for status in statuses.values()
    )
    return statuses if all(done) else {}
