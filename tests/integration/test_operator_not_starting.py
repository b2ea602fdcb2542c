"""Gangs that are placed and do not come up: taken back whole, with the reason, and not put there again."""

from collections.abc import Iterator

import pytest

from berth.api.folding import unfold
from e2e.ground.api import Api, JsonObject
from e2e.ground.components import KUBELET_LABEL
from e2e.ground.waiting import until
from e2e.running import OperatorProcess
from tests.integration.scene import QUICK, Scene

pytestmark = pytest.mark.cluster
pytest_plugins = ("tests.integration.operating",)


@pytest.fixture(scope="module", autouse=True)
def hasty(session_operator: OperatorProcess) -> Iterator[None]:
    """The session's operator with settings by which kube-scheduler may say no for 2 s only."""
    session_operator.configure({**QUICK, "unschedulableSeconds": 2})
    session_operator.restart()
    yield
    session_operator.configure(QUICK)
    session_operator.restart()


def without_kubelet(api: Api, name: str) -> None:
    """Nobody runs pods on this node from now on; for half a minute nobody notices."""
    api.patch(f"/api/v1/nodes/{name}", {"metadata": {"labels": {KUBELET_LABEL: None}}})


def stopped(scene: Scene, name: str, timeout_s: float = 30) -> JsonObject:
    """Wait until the first attempt of a job is over; its status."""
    return scene.wait_for(
        name, lambda s: bool(s.get("attempts")) and "placement" not in s, "to be taken back", timeout_s=timeout_s
    )


def test_a_gang_of_which_one_replica_does_not_start_is_taken_back_whole(scene: Scene, api: Api) -> None:
    """The image is missing on one node: replica, node and reason are told; the next attempt sits elsewhere."""
    scene.cluster([3])
    bad = scene.nodes[1]
    without_kubelet(api, bad)
    scene.submit("train", replicas=2, startDeadline="10s")
    until(lambda: scene.bound("train") == scene.nodes[:2], "both pods to be bound", timeout_s=10)
    waiting = {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "registry.example/trainer:1"'}
    api.patch(
        f"{scene.core}/pods/train-1-1/status",
        {
            "status": {
                "containerStatuses": [
                    {
                        "name": "trainer",
                        "image": "x",
                        "imageID": "",
                        "ready": False,
                        "restartCount": 0,
                        "state": {"waiting": waiting},
                    }
                ]
            }
        },
        kind="strategic-merge",
    )
    why = f"replica 1 on node {bad}: container trainer: ImagePullBackOff: {waiting['message']}"
    until(
        lambda: scene.condition("train", "PodsReady")[2] == f"1 of 2 replicas is ready; {why}",
        "what the replica waits for to be told",
        timeout_s=8,
    )

    ending = scene.wait_for("train", lambda s: "ending" in s, "to be stopped", timeout_s=20)["ending"]

    assert (ending["cause"], ending["message"]) == (
        "StartDeadline",
        f"1 of 2 replicas not running 10s after admission: {why}",
    )
    # The pod on the node without a kubelet is deleted by nobody; its node is gone for good.
    api.delete(f"{scene.core}/pods/train-1-1", {"gracePeriodSeconds": 0})
    status = stopped(scene, "train")
    assert [(a["attempt"], a["cause"]) for a in status["attempts"]] == [(1, "StartDeadline")]
    assert "failures" not in status
    (refusal,) = status["refusals"]
    assert unfold(refusal["nodes"]) == [bad]
    scene.wait_for("train", lambda s: s.get("state") == "Running", "to run elsewhere", timeout_s=25)
    assert set(scene.placed("train")) == set(scene.nodes) - {bad}


def test_a_node_that_kube_scheduler_refuses_is_avoided_by_this_job_alone(
    scene: Scene, api: Api, operator: OperatorProcess
) -> None:
    """A host port is taken, of which Berth knows nothing: told, avoided, also by the next operator; others go there."""
    scene.cluster([1])
    (bad,) = scene.nodes
    port = {"ports": [{"containerPort": 7777, "hostPort": 7777}]}
    pod = {"nodeName": bad, "containers": [{"name": "main", "image": "none", **port}], "restartPolicy": "Never"}
    api.create(f"{scene.core}/pods", {"metadata": {"name": "squatter"}, "spec": pod})
    scene.submit("train", container=port)

    status = stopped(scene, "train")

    assert [(a["attempt"], a["cause"]) for a in status["attempts"]] == [(1, "StartDeadline")]
    until(lambda: scene.events("Stopping"), "the event", timeout_s=10)
    (event,) = scene.events("Stopping")
    assert event["note"].startswith(
        f"attempt 1: kube-scheduler keeps replica 0 off node {bad} for 2s: Unschedulable: 0/"
    )
    assert "didn't have free ports" in event["note"]
    operator.restart()
    told = f"refused this job until {status['refusals'][0]['until']}"
    scene.wait_pending(
        "train",
        "TooLarge",
        says=f"needs 1 node; pool {scene.pool} has 0 (1 of 1 node: {told})",
        timeout_s=25,
    )
    scene.submit("other")
    scene.wait("other", "Running")
    assert scene.placed("other") == [bad]
    scene.delete("other")
    scene.wait_gone("other")

    api.delete(f"{scene.core}/pods/squatter", {"gracePeriodSeconds": 0})
    scene.edit("train", startDeadline="20s")  # edited: what did not come up may come up now

    scene.wait("train", "Running", timeout_s=25)
    assert scene.placed("train") == [bad]


def test_a_gang_that_comes_up_just_in_time_is_left_alone(scene: Scene) -> None:
    """After the deadline nothing more is wanted of it."""
    scene.cluster([2])
    scene.submit("train", replicas=2, startDeadline="10s", sim={"run": 12})

    scene.wait("train", "Succeeded", timeout_s=25)

    assert scene.status("train")["attempt"] == 1
