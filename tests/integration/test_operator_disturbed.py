"""Somebody else's hand on the pods of a gang: taken away, lost, beside a failure."""

import pytest

from e2e.ground.api import Api
from e2e.ground.waiting import until
from tests.integration.scene import Scene

pytestmark = pytest.mark.cluster
pytest_plugins = ("tests.integration.operating",)


def test_a_pod_that_a_user_deletes_costs_the_gang_its_attempt_but_no_failure(scene: Scene, api: Api) -> None:
    """One of three pods is deleted: the whole gang is stopped, waits 10 s, and starts again uncharged."""
    scene.cluster([3])
    scene.submit("train", replicas=3, backoffLimit=0, sim={"terminate": 0.5})
    scene.wait("train", "Running")

    api.delete(f"{scene.core}/pods/train-1-1")

    status = scene.wait_for("train", lambda s: "placement" not in s, "to be stopped")
    assert scene.pods("train") == {}
    assert [(a["attempt"], a["cause"]) for a in status["attempts"]] == [(1, "PodsLost")]
    assert "failures" not in status
    assert (status["state"], status["pending"]["message"]) == (
        "Requeued",
        f"attempt 1 ended (PodsLost), the next attempt starts after {status['retryAfter']}",
    )
    notes = ["attempt 1: somebody else deleted pod train-1-1"]
    until(lambda: [event["note"] for event in scene.events("Stopping")] == notes, "the event", timeout_s=10)
    again = scene.wait("train", "Running", timeout_s=20)
    assert again["attempt"] == 2
    assert list(scene.pods("train")) == ["train-2-0", "train-2-1", "train-2-2"]


def test_pods_that_are_gone_at_once_cost_no_failure_either(scene: Scene, api: Api) -> None:
    """Deleted without grace, pods vanish before anybody sees them go: the same, and the message names them."""
    scene.cluster([2])
    scene.submit("train", replicas=2)
    scene.wait("train", "Running")

    for name in ("train-1-0", "train-1-1"):
        api.delete(f"{scene.core}/pods/{name}", {"gracePeriodSeconds": 0})

    status = scene.wait_for("train", lambda s: "placement" not in s, "to be closed")
    assert [a["cause"] for a in status["attempts"]] == ["PodsLost"]
    assert "failures" not in status


def test_a_replica_that_fails_while_it_is_being_deleted_is_lost_not_failed(scene: Scene, api: Api) -> None:
    """A trainer may answer SIGTERM with any exit code: that is not its own failure."""
    scene.cluster([2])
    scene.submit("train", replicas=2, sim={"terminate": 3})
    scene.wait("train", "Running")
    path = f"{scene.core}/pods/train-1-0"
    api.delete(path)

    api.patch(f"{path}/status", {"status": {"phase": "Failed"}})

    status = scene.wait_for("train", lambda s: "placement" not in s, "to be stopped")
    assert [a["cause"] for a in status["attempts"]] == ["PodsLost"]
    assert "failures" not in status


def test_a_pod_that_was_preempted_is_lost_not_failed(scene: Scene, api: Api) -> None:
    """A pod that fails with the condition DisruptionTarget was taken away, whatever its exit code."""
    scene.cluster([2])
    scene.submit("train", replicas=2, backoffLimit=0)
    scene.wait("train", "Running")
    condition = {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}
    path = f"{scene.core}/pods/train-1-1/status"

    api.patch(
        path,
        {"status": {"phase": "Failed", "message": "Preempted", "conditions": [condition]}},
        kind="strategic-merge",
    )

    status = scene.wait_for("train", lambda s: "placement" not in s, "to be stopped")
    (attempt,) = status["attempts"]
    assert (attempt["cause"], attempt["firstFailure"]["replica"], attempt["firstFailure"]["message"]) == (
        "PodsLost",
        1,
        "Preempted",
    )
    assert "failures" not in status


def test_pods_that_end_one_after_the_other_keep_their_devices_until_the_last(scene: Scene, api: Api) -> None:
    """A replica that is done does not give its node away while the others still run."""
    scene.cluster([2])
    scene.submit("train", replicas=2)
    scene.wait("train", "Running")
    done = {"metadata": {"annotations": {"sim.berth.dev/run-seconds": "0"}}}
    api.patch(f"{scene.core}/pods/train-1-0", done)
    until(lambda: scene.pods("train")["train-1-0"]["status"]["phase"] == "Succeeded", "the first end", timeout_s=10)
    scene.submit("next", replicas=1)

    scene.wait_pending("next", "InsufficientDevices")

    assert scene.status("train")["state"] == "Running"
    api.patch(f"{scene.core}/pods/train-1-1", done)
    scene.wait("train", "Succeeded")
    scene.wait("next", "Running")


def test_a_pod_that_is_not_of_the_gang_is_left_alone(scene: Scene, api: Api) -> None:
    """Somebody puts a job's labels on a pod of theirs: it is neither counted as a replica nor deleted."""
    scene.cluster([2])
    scene.submit("train", replicas=1)
    scene.wait("train", "Running")
    (pod,) = scene.pods("train").values()
    labels = {key: value for key, value in pod["metadata"]["labels"].items() if key == "berth.dev/job"}
    container = {"name": "main", "image": "none"}
    api.create(
        f"{scene.core}/pods",
        {"metadata": {"name": "debug", "labels": labels}, "spec": {"containers": [container], "nodeName": "nowhere"}},
    )

    scene.edit("train", suspend=True)

    scene.wait_for("train", lambda s: "placement" not in s, "to be stopped")
    assert api.get(f"{scene.core}/pods/debug")["metadata"].get("deletionTimestamp") is None
