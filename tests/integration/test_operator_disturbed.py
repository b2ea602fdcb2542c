"""Somebody else's hand on the pods of a gang: taken away, lost, beside a failure."""

import pytest

from e2e.ground import nodes
from e2e.ground.api import Api, ApiError
from e2e.ground.waiting import until
from e2e.running import OperatorProcess
from tests.integration.scene import GPU, QUICK, Scene

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


def test_a_replica_that_is_done_is_done_also_when_its_pod_is_deleted(scene: Scene, api: Api) -> None:
    """Its success is on record: the others run on, and the job succeeds with them."""
    scene.cluster([2])
    scene.submit("train", replicas=2)
    scene.wait("train", "Running")
    done = {"metadata": {"annotations": {"sim.berth.dev/run-seconds": "0"}}}
    api.patch(f"{scene.core}/pods/train-1-0", done)
    scene.wait_for("train", lambda s: s["placement"].get("succeeded") == "0", "the success to be on record")

    api.delete(f"{scene.core}/pods/train-1-0", {"gracePeriodSeconds": 0})

    until(lambda: list(scene.pods("train")) == ["train-1-1"], "the pod to be gone", timeout_s=10)
    scene.submit("other", replicas=1)
    scene.wait_pending("other", "InsufficientDevices")
    assert (scene.status("train")["state"], "ending" in scene.status("train")) == ("Running", False)
    api.patch(f"{scene.core}/pods/train-1-1", done)
    status = scene.wait("train", "Succeeded")
    assert (status["attempt"], status.get("attempts", [])) == (1, [])


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


def lost(scene: Scene, name: str) -> list[tuple[int, str]]:
    """Wait until the current attempt of a job is over; number and cause of all that are."""
    status = scene.wait_for(name, lambda s: bool(s.get("attempts")) and "placement" not in s, "to be stopped")
    assert "failures" not in status
    return [(attempt["attempt"], attempt["cause"]) for attempt in status["attempts"]]


def test_a_pod_that_kube_scheduler_preempts_takes_the_gang_with_it(scene: Scene, api: Api) -> None:
    """For somebody else's pod of a higher priority; the gang goes on elsewhere, uncharged."""
    scene.cluster([3])
    scene.submit("train", replicas=2, backoffLimit=0)
    scene.wait("train", "Running")
    wanted = scene.placed("train")[1]
    scene.add_class(f"{scene.pool}-urgent", 1_000_000)
    container = {"name": "main", "image": "none", "resources": {"limits": {GPU: "8"}}}
    spec = {
        "containers": [container],
        "priorityClassName": f"{scene.pool}-urgent",
        "nodeSelector": {"kubernetes.io/hostname": wanted},
    }
    api.create(f"{scene.core}/pods", {"metadata": {"name": "urgent"}, "spec": spec})

    assert lost(scene, "train") == [(1, "PodsLost")]

    scene.wait("train", "Running", timeout_s=25)
    assert wanted not in scene.placed("train")
    assert scene.over_committed() == {}


def test_a_pod_that_a_taint_evicts_takes_the_gang_with_it(scene: Scene, api: Api) -> None:
    """A node is tainted NoExecute; the taint eviction controller deletes its pod; the gang goes on elsewhere."""
    scene.cluster([3])
    scene.submit("train", replicas=2, backoffLimit=0)
    scene.wait("train", "Running")
    tainted = scene.placed("train")[0]

    nodes.taint(api, tainted, "maintenance", effect="NoExecute")

    assert lost(scene, "train") == [(1, "PodsLost")]
    scene.wait("train", "Running", timeout_s=25)
    assert tainted not in scene.placed("train")


def test_a_drain_that_asks_first_gets_no_pod_of_a_gang(scene: Scene, api: Api) -> None:
    """The budget covers all replicas; who insists (kubectl drain --disable-eviction) gets the whole gang."""
    scene.cluster([3])
    scene.submit("train", replicas=2, backoffLimit=0)
    scene.wait("train", "Running")
    budgets = f"/apis/policy/v1/namespaces/{scene.namespace}/poddisruptionbudgets"

    def counted() -> bool:
        (budget,) = api.get(budgets)["items"]
        assert (budget["metadata"]["name"], budget["spec"]["minAvailable"]) == ("train-1", 2)
        return bool(budget.get("status", {}).get("currentHealthy") == 2)

    until(counted, "the budget to count both replicas", timeout_s=15)
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "train-1-0"}}
    drained = scene.placed("train")[0]
    nodes.cordon(api, drained)

    with pytest.raises(ApiError) as refused:
        api.create(f"{scene.core}/pods/train-1-0/eviction", eviction)

    assert refused.value.status == 429
    assert scene.status("train")["state"] == "Running"
    api.delete(f"{scene.core}/pods/train-1-0")
    assert lost(scene, "train") == [(1, "PodsLost")]
    scene.wait("train", "Running", timeout_s=25)
    assert drained not in scene.placed("train")
    assert [budget["metadata"]["name"] for budget in api.get(budgets)["items"]] == ["train-2"]


def test_an_eviction_that_is_let_through_takes_the_gang_with_it(scene: Scene, api: Api) -> None:
    """Somebody has taken the budget away."""
    scene.cluster([2])
    scene.submit("train", replicas=2, backoffLimit=0, sim={"terminate": 1})
    scene.wait("train", "Running")
    api.delete(f"/apis/policy/v1/namespaces/{scene.namespace}/poddisruptionbudgets/train-1")
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "train-1-1"}}

    api.create(f"{scene.core}/pods/train-1-1/eviction", eviction)

    assert lost(scene, "train") == [(1, "PodsLost")]


def test_pods_that_berth_takes_are_marked_as_taken_by_a_scheduler(scene: Scene, api: Api) -> None:
    """The survivor of a lost pod says so before it goes; autoscalers are told to leave the pods of gangs alone."""
    scene.cluster([2])
    scene.submit("train", replicas=2, sim={"terminate": 5})
    scene.wait("train", "Running")
    for pod in scene.pods("train").values():
        assert pod["metadata"]["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"

    api.delete(f"{scene.core}/pods/train-1-0", {"gracePeriodSeconds": 0})

    until(lambda: "deletionTimestamp" in scene.pods("train")["train-1-1"]["metadata"], "the survivor", timeout_s=10)
    (pod,) = scene.pods("train").values()
    conditions = {c["type"]: c for c in pod["status"]["conditions"]}
    mark = conditions["DisruptionTarget"]
    assert (mark["status"], mark["reason"]) == ("True", "PreemptionByScheduler")
    assert mark["message"] == "Berth: pod train-1-0 vanished"


def test_pods_get_the_priority_class_of_the_settings(scene: Scene, session_operator: OperatorProcess) -> None:
    """Their own one; that of the job only orders jobs."""
    scene.add_class(f"{scene.pool}-gangs", 1000)
    scene.cluster([1])
    session_operator.configure({**QUICK, "podPriorityClass": f"{scene.pool}-gangs"})
    session_operator.restart()
    try:
        scene.submit("train")
        scene.wait("train", "Running")
        (pod,) = scene.pods("train").values()
        assert (pod["spec"]["priorityClassName"], pod["spec"]["priority"]) == (f"{scene.pool}-gangs", 1000)
    finally:
        session_operator.configure(QUICK)
        session_operator.restart()
