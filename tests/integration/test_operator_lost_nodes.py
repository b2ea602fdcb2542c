"""Nodes that die under a gang: whose fault it is, who has to move, and what is waited for."""

from collections.abc import Iterator

import pytest

from berth.api.folding import unfold
from e2e.ground import nodes
from e2e.ground.api import Api, JsonObject
from e2e.ground.waiting import until
from e2e.running import OperatorProcess
from tests.integration.scene import GPU, QUICK, Scene

pytestmark = pytest.mark.cluster
pytest_plugins = ("tests.integration.operating",)

HASTY = {**QUICK, "nodeGraceSeconds": 2, "chargeWindowSeconds": 6, "unconfirmedPodSeconds": 4}


@pytest.fixture(scope="module", autouse=True)
def hasty(session_operator: OperatorProcess) -> Iterator[None]:
    """The session's operator with settings by which it waits for nothing longer than a few seconds."""
    session_operator.configure(HASTY)
    session_operator.restart()
    yield
    session_operator.configure(QUICK)
    session_operator.restart()


def attempts(status: JsonObject) -> list[tuple[int, str]]:
    """Number and cause of the attempts that are over."""
    return [(attempt["attempt"], attempt["cause"]) for attempt in status.get("attempts", [])]


def running_again(scene: Scene, name: str, attempt: int = 2, timeout_s: float = 30) -> JsonObject:
    """Wait until a later attempt of a job runs; its status."""
    return scene.wait_for(
        name,
        lambda s: s.get("attempt") == attempt and s.get("state") == "Running",
        f"to run as attempt {attempt}",
        timeout_s=timeout_s,
    )


def test_a_gang_that_loses_its_node_object_goes_on_with_another_in_the_domain(scene: Scene, api: Api) -> None:
    """The other replicas keep their nodes; the new one is under the same leaf; nothing is charged."""
    scene.cluster([4, 4])
    scene.submit("train", replicas=3)
    scene.wait("train", "Running")
    before = scene.placed("train")
    (spare,) = set(scene.nodes[:4]) - set(before)

    nodes.remove(api, [before[1]])

    status = running_again(scene, "train")
    assert scene.placed("train") == [before[0], spare, before[2]] == scene.bound("train", attempt=2)
    assert attempts(status) == [(1, "NodeFailure")]
    assert status.get("failures") is None
    until(lambda: scene.events("Repaired"), "an event Repaired", timeout_s=10)
    (event,) = scene.events("Repaired")
    assert f"node {before[1]} is gone" in event["note"]
    assert f"2 replicas on the same nodes, 1 moved: 1 from {before[1]} to {spare}" in event["note"]


def test_a_node_that_is_not_ready_for_longer_than_its_grace_is_lost(scene: Scene, api: Api) -> None:
    """Its pod cannot be confirmed gone: it is waited for, and then the gang goes on without it, with a warning."""
    scene.cluster([3])
    scene.submit("train", replicas=2)
    scene.wait("train", "Running")
    before = scene.placed("train")
    (spare,) = set(scene.nodes) - set(before)

    nodes.fail(api, before[0])

    stopping = scene.wait_for("train", lambda s: "ending" in s, "to be stopped")
    assert stopping["ending"]["cause"] == "NodeFailure"
    assert stopping["ending"]["message"] == f"node {before[0]} is not ready"
    status = running_again(scene, "train")
    assert scene.placed("train") == [spare, before[1]]
    assert attempts(status) == [(1, "NodeFailure")]
    assert "deletionTimestamp" in scene.pods("train", attempt=1)["train-1-0"]["metadata"]
    until(lambda: scene.events("Repaired"), "an event Repaired", timeout_s=10)
    (event,) = scene.events("Repaired")
    assert event["type"] == "Warning"
    assert f"without pod train-1-0 on node {before[0]}, which could not be confirmed gone" in event["note"]

    nodes.recover(api, before[0])
    until(lambda: not scene.pods("train", attempt=1), "the pod of attempt 1 to be gone", timeout_s=20)
    assert scene.status("train")["attempt"] == 2


def test_a_node_that_is_back_within_its_grace_costs_nothing(scene: Scene, api: Api) -> None:
    """A kubelet that restarts leaves the gang alone."""
    scene.cluster([2])
    scene.submit("train", replicas=2)
    scene.wait("train", "Running")

    nodes.fail(api, scene.nodes[0], ready="False")
    nodes.recover(api, scene.nodes[0])

    scene.submit("later", replicas=1, devices=4)
    scene.wait_pending("later", "InsufficientDevices")
    assert (scene.status("train")["state"], scene.status("train")["attempt"]) == ("Running", 1)


def test_a_failure_on_a_node_that_dies_after_it_is_not_charged(scene: Scene, api: Api) -> None:
    """The survivors' errors come first: the charge is taken back, and the next attempt waits no longer."""
    scene.cluster([4])
    scene.submit("train", replicas=2, sim={"fail": 0.5, "exit_code": 9})
    status = scene.wait_for("train", lambda s: s.get("failures") == 1 and "placement" not in s, "to fail")
    (attempt,) = status["attempts"]
    sat = unfold(attempt["nodes"])
    assert (attempt["cause"], len(sat)) == ("OwnFailure", 2)

    nodes.fail(api, sat[1])

    status = scene.wait_for("train", lambda s: s.get("attempt") == 2, "to be tried again at once", timeout_s=8)
    assert attempts(status)[0] == (1, "NodeFailure")
    assert status["attempts"][0]["firstFailure"]["exitCode"] == 9
    until(lambda: scene.events("NotCharged"), "an event NotCharged", timeout_s=10)
    (event,) = scene.events("NotCharged")
    assert event["note"] == f"the failure of attempt 1 is not charged: node {sat[1]} is not ready"


def test_the_last_allowed_failure_waits_for_the_verdict(scene: Scene) -> None:
    """The devices are given back at once; the job is Failed once no node of it can have been the reason."""
    scene.cluster([2])
    scene.submit("train", replicas=2, backoffLimit=0, sim={"fail": 0.5, "exit_code": 9})

    pending = scene.wait_pending("train", "ChargePending")
    assert "replica 0 failed on node" in pending["message"] or "replica 1 failed on node" in pending["message"]
    assert "1 failure, spec.backoffLimit is 0; Failed at 20" in pending["message"]
    assert "placement" not in scene.status("train")
    scene.submit("next", replicas=2)
    scene.wait("next", "Running")

    scene.wait("train", "Failed", timeout_s=20)
    assert scene.condition("train", "Finished")[1] == "BackoffLimitExceeded"


def test_a_job_on_its_last_allowed_failure_lives_on_if_a_node_was_lost(scene: Scene, api: Api) -> None:
    """Within the window the node turns bad: the job is not Failed, and runs again."""
    scene.cluster([3])
    scene.submit("train", replicas=1, backoffLimit=0, sim={"fail": 1, "exit_code": 9})
    scene.wait_pending("train", "ChargePending")
    (sat,) = unfold(scene.status("train")["attempts"][0]["nodes"])

    nodes.remove(api, [sat])

    status = scene.wait_for("train", lambda s: s.get("attempt") == 2, "to be tried again")
    assert attempts(status)[0] == (1, "NodeFailure")


def test_a_node_out_of_service_is_not_waited_for(scene: Scene, api: Api) -> None:
    """The taint says that nothing runs there any more: the gang goes on at once, though the pod is still listed."""
    scene.cluster([3])
    scene.submit("train", replicas=2)
    scene.wait("train", "Running")
    before = scene.placed("train")

    nodes.taint(api, before[1], "node.kubernetes.io/out-of-service", effect="NoExecute", value="nodeshutdown")

    status = running_again(scene, "train")
    assert attempts(status) == [(1, "NodeFailure")]
    assert scene.placed("train")[0] == before[0]
    assert before[1] not in scene.placed("train")


def test_devices_gone_for_a_moment_leave_the_running_gang_alone(scene: Scene, api: Api) -> None:
    """A kubelet that restarts reports none until the plugin registers: nothing new is placed, nothing is stopped."""
    scene.cluster([2])
    scene.submit("train", replicas=1)
    scene.wait("train", "Running")
    (used,) = scene.placed("train")
    (other,) = set(scene.nodes) - {used}
    for node in (used, other):
        nodes.set_allocatable(api, node, {GPU: "0"})
    scene.submit("new", replicas=1)

    scene.wait_pending("new", "TooLarge")
    assert (scene.status("train")["state"], scene.status("train")["attempt"]) == ("Running", 1)

    for node in (used, other):
        nodes.set_allocatable(api, node, {GPU: "8"})
    scene.wait("new", "Running")
    assert scene.placed("new") == [other]
    assert scene.status("train")["attempt"] == 1


def test_an_operator_that_dies_with_the_node_leaves_the_repair_to_the_next(
    scene: Scene, api: Api, operator: OperatorProcess
) -> None:
    """The gang is being stopped when it is killed; the next one lets the other replicas keep their nodes."""
    scene.cluster([4])
    scene.submit("train", replicas=3, sim={"terminate": 4})
    scene.wait("train", "Running")
    before = scene.placed("train")
    (spare,) = set(scene.nodes) - set(before)
    nodes.remove(api, [before[2]])
    scene.wait_for("train", lambda s: "ending" in s, "to be stopped")

    operator.kill()
    operator.start()

    status = running_again(scene, "train")
    assert scene.placed("train") == [before[0], before[1], spare]
    assert attempts(status) == [(1, "NodeFailure")]


def test_a_verdict_that_is_pending_outlives_the_operator(scene: Scene, api: Api, operator: OperatorProcess) -> None:
    """Killed while the last charge may be taken back: the next operator takes it back, when the node turns bad."""
    scene.cluster([3])
    scene.submit("train", replicas=1, backoffLimit=0, sim={"fail": 0.5, "exit_code": 9})
    scene.wait_pending("train", "ChargePending")
    (sat,) = unfold(scene.status("train")["attempts"][0]["nodes"])

    operator.kill()
    nodes.fail(api, sat)
    operator.start()

    status = scene.wait_for("train", lambda s: s.get("attempt") == 2, "to be tried again")
    assert attempts(status)[0] == (1, "NodeFailure")


@pytest.mark.timeout(400)
def test_of_512_replicas_three_lose_their_nodes_and_509_stay(scene: Scene, api: Api) -> None:
    """At once, and inside the required domain: everybody else stays, and all of it runs again."""
    scene.cluster([65] * 8, [8])
    scene.submit("train", replicas=512, topology={"level": "spine"}, binding="Direct")
    scene.wait("train", "Running", timeout_s=180)
    before = scene.placed("train")
    lost = [before[3], before[200], before[411]]

    nodes.remove(api, lost)

    status = running_again(scene, "train", timeout_s=180)
    after = scene.placed("train")
    assert [rank for rank in range(512) if after[rank] != before[rank]] == [3, 200, 411]
    assert set(after).isdisjoint(lost)
    assert status["placement"]["spans"]["spine"] == 1
    assert scene.bound("train", attempt=2) == after
    assert scene.over_committed() == {}
