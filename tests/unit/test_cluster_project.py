"""From objects of the API server to the few values that a cycle can depend on."""

from typing import Any

import pytest

from berth.api import names
from berth.cluster import project
from berth.core.model import Phase, Taint
from tests.unit.wire_objects import GPU, a_node, node_object, own_pod, pod_object


def test_a_node_is_what_it_can_give_and_what_keeps_replicas_away() -> None:
    """Allocatable in base units, labels, taints, readiness, cordon; its place in a network is the pool's to find."""
    facts = a_node(
        "n1",
        version=7,
        labels={"pool": "h800"},
        spec={
            "unschedulable": True,
            "taints": [{"key": "team", "value": "infra", "effect": "NoSchedule"}, {"key": "k", "effect": "NoExecute"}],
        },
        cpu="63500m",
        memory="1Ki",
    )
    node = facts.node
    assert (facts.version, node.name, node.path) == (7, "n1", ())
    assert node.allocatable == {GPU: 8, "pods": 110, "cpu": 63500, "memory": 1024}
    assert node.labels == {"pool": "h800"}
    assert (Taint("team", "infra", "NoSchedule"), Taint("k", "", "NoExecute")) == node.taints
    assert (node.ready, node.cordoned) == (True, True)


@pytest.mark.parametrize(
    "conditions", [[], [{"type": "Ready", "status": "False"}], [{"type": "Ready", "status": "Unknown"}]]
)
def test_a_node_that_does_not_say_that_it_is_ready_is_not(conditions: list[dict[str, str]]) -> None:
    """False, unknown and not told are all the same: no replica starts there."""
    body = node_object("n1")
    body["status"]["conditions"] = conditions
    assert not project.node(body).node.ready


def test_a_node_that_is_being_deleted_is_not_ready() -> None:
    """It is there for as long as it has finalizers, and takes nothing more."""
    body = node_object("n1")
    body["metadata"]["deletionTimestamp"] = "2026-11-22T03:00:00Z"
    assert not project.node(body).node.ready


def test_a_node_without_labels_taints_or_status_is_projected() -> None:
    """A node that has only just registered."""
    body = {"metadata": {"name": "new", "resourceVersion": "1"}}
    node = project.node(body).node
    assert (node.allocatable, node.labels, node.taints, node.ready, node.cordoned) == ({}, {}, (), False, False)


def test_a_pod_of_berths_tells_job_attempt_and_rank() -> None:
    """As its name and labels say."""
    own = own_pod("train-3-17", uid="u9", version=12, node="n4")
    assert (own.namespace, own.job_uid, own.version) == ("team", "train-uid", 12)
    pod = own.pod
    assert (
        pod.name,
        pod.uid,
        pod.attempt,
        pod.rank,
        pod.phase,
        pod.node,
    ) == ("train-3-17", "u9", 3, 17, Phase.PENDING, "n4")
    assert own.requests == ((GPU, 8), ("pods", 1))


def ended(code: int, at: str | None, reason: str = "Error", message: str = "", name: str = "trainer") -> dict[str, Any]:
    """The status of a container that has ended."""
    end = {"exitCode": code, "finishedAt": at, "reason": reason}
    return {"name": name, "state": {"terminated": {**end, "message": message} if message else end}}


T1, T2 = "2026-11-22T03:00:01Z", "2026-11-22T03:00:02Z"
AT_1 = 1795316401


def test_the_exit_code_is_that_of_the_first_container_to_fail() -> None:
    """Others fail after it, and because of it."""
    statuses = [ended(143, T2, message="terminated"), ended(1, T1, message="CUDA error"), ended(0, T1, "Completed")]
    pod = own_pod(phase="Failed", containerStatuses=statuses).pod
    assert (pod.exit_code, pod.finished_at, pod.message) == (1, AT_1, "CUDA error")


def test_a_sidecar_that_is_stopped_after_the_trainer_is_not_blamed_for_it() -> None:
    """Times on the wire have seconds: of failures within one, the containers come before the sidecars."""
    pod = own_pod(
        phase="Failed",
        initContainerStatuses=[ended(143, T1, name="proxy")],
        containerStatuses=[ended(7, T1, message="trainer fell over")],
    ).pod
    assert (pod.exit_code, pod.message) == (7, "trainer fell over")


def test_an_init_container_that_fails_is_what_failed() -> None:
    """The containers after it never ran."""
    waiting = {"name": "trainer", "state": {"waiting": {"reason": "PodInitializing"}}}
    pod = own_pod(
        phase="Failed", initContainerStatuses=[ended(3, T1, name="stage-in")], containerStatuses=[waiting]
    ).pod
    assert (pod.exit_code, pod.message) == (3, "Error")


def test_of_last_words_the_end_is_kept() -> None:
    """A stack trace says at its end what happened; a status has room for 600 characters of it."""
    words = "".join(f"line {number}\n" for number in range(500))
    pod = own_pod(phase="Failed", containerStatuses=[ended(1, T1, message=words)]).pod
    assert pod.message.endswith("line 499")
    assert len(pod.message) == 600


def test_a_pod_that_never_ran_says_itself_why_it_failed() -> None:
    """Evicted or refused by the kubelet: there is no container to ask."""
    pod = own_pod(phase="Failed", reason="Evicted", message="The node was low on resource: memory.").pod
    assert (pod.exit_code, pod.finished_at, pod.message) == (None, None, "The node was low on resource: memory.")
    assert own_pod(phase="Failed", reason="Evicted").pod.message == "Evicted"


NO_DEVICES = "Allocate failed due to no healthy devices present; cannot allocate unhealthy devices, which is unexpected"
REJECTED = {"phase": "Failed", "reason": "UnexpectedAdmissionError", "message": NO_DEVICES}


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        pytest.param({**REJECTED, "node": "n1"}, f"UnexpectedAdmissionError: {NO_DEVICES}", id="no healthy device"),
        pytest.param({"phase": "Failed", "reason": "OutOfcpu", "node": "n1"}, "OutOfcpu", id="without a sentence"),
        pytest.param(
            {**REJECTED, "node": "n1", "containerStatuses": [{"name": "trainer", "state": {"waiting": {}}}]},
            f"UnexpectedAdmissionError: {NO_DEVICES}",
            id="its containers wait for ever",
        ),
        pytest.param({**REJECTED, "node": ""}, "", id="on no node"),
        pytest.param({**REJECTED, "node": "n1", "phase": "Pending"}, "", id="it has not ended"),
        pytest.param({"phase": "Failed", "node": "n1"}, "", id="no reason told"),
        pytest.param({**REJECTED, "node": "n1", "containerStatuses": [ended(1, T1)]}, "", id="it ran"),
        pytest.param({**REJECTED, "node": "n1", "initContainerStatuses": [ended(0, T1)]}, "", id="it was set up"),
        pytest.param(
            {**REJECTED, "node": "n1", "containerStatuses": [{"name": "x", "lastState": {"terminated": {}}}]},
            "",
            id="it ran before",
        ),
    ],
)
def test_a_node_that_turns_a_pod_away_says_why(facts: dict[str, Any], expected: str) -> None:
    """The kubelet's admission refuses it, so none of its containers has ever run."""
    assert own_pod(**facts).pod.turned_away == expected


def test_a_failure_without_a_time_comes_after_those_with_one() -> None:
    """The kubelet leaves the time out when it has lost a container."""
    pod = own_pod(phase="Failed", containerStatuses=[ended(255, None), ended(1, T2)]).pod
    assert pod.exit_code == 1
    assert ((lone := own_pod(containerStatuses=[ended(255, None)]).pod).exit_code, lone.finished_at) == (255, None)


@pytest.mark.parametrize(("status", "expected"), [("True", True), ("False", False)])
def test_a_disruption_is_told_by_its_condition(status: str, expected: bool) -> None:
    """Drains, taints and kube-scheduler's preemption mark the pods that they take away."""
    pod = own_pod(conditions=[{"type": "DisruptionTarget", "status": status}]).pod
    assert expected == pod.disrupted


def test_a_pod_is_ready_and_leaving_as_the_api_server_says() -> None:
    """Readiness is a condition, leaving is a time in its metadata."""
    ready = own_pod(phase="Running", conditions=[{"type": "Ready", "status": "True"}]).pod
    assert (ready.ready, ready.deleting) == (True, False)
    leaving = own_pod(metadata={"deletionTimestamp": T1}).pod
    assert (leaving.ready, leaving.deleting) == (False, True)


@pytest.mark.parametrize(
    "broken",
    [
        {names.LABEL_ATTEMPT: "two"},
        {names.LABEL_ATTEMPT: None},
        {names.LABEL_REPLICA: None},
        {names.LABEL_REPLICA: "-1"},
        {names.LABEL_JOB: "other"},
        {names.LABEL_ATTEMPT: "9", names.LABEL_REPLICA: "9"},
    ],
)
def test_attempt_and_rank_are_told_by_the_name_which_nobody_can_change(broken: dict[str, str | None]) -> None:
    """Whoever may edit a pod may edit its labels: it is still the same replica, on the same devices."""
    body = pod_object("train-2-5")
    kept = {**body["metadata"]["labels"], **broken}
    body["metadata"]["labels"] = {key: value for key, value in kept.items() if value is not None}
    own = project.own_pod(body)
    assert (own.job, own.pod.attempt, own.pod.rank, own.job_uid) == ("train", 2, 5, "train-uid")


@pytest.mark.parametrize(
    "name", ["copy-of-train", "train-1-0-copy", "train-1-x", "train-01-0", "train-1-00", "train-0-1", "1-1"]
)
def test_a_pod_that_only_wears_berths_labels_is_still_counted(name: str) -> None:
    """A copy that somebody made of a replica: no job's pod, but the devices that it takes are taken."""
    body = pod_object("train-1-0", node="n1")
    body["metadata"]["name"] = name
    own = project.own_pod(body)
    assert (own.job, own.pod.attempt, own.pod.rank) == ("", 0, -1)
    assert (own.pod.node, own.requests) == ("n1", ((GPU, 8), ("pods", 1)))


def foreign(**status: Any) -> dict[str, Any]:
    body = pod_object(node="n1", **status)
    body["metadata"]["labels"] = {}
    return body


def test_a_foreign_pod_counts_for_what_it_takes_from_the_moment_it_is_bound() -> None:
    """Its phase says Pending until the kubelet has started it; the devices are taken before."""
    found = project.foreign_pod(foreign())
    assert found is not None
    assert (found.node, found.requests) == ("n1", ((GPU, 8), ("pods", 1)))


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_foreign_pod_that_has_ended_takes_nothing(phase: str) -> None:
    """Its object may stand there for days."""
    assert project.foreign_pod(foreign(phase=phase)) is None


def test_a_foreign_pod_without_a_node_takes_nothing() -> None:
    """What waits for kube-scheduler holds nothing yet."""
    body = foreign()
    del body["spec"]["nodeName"]
    assert project.foreign_pod(body) is None


def test_a_priority_class_is_its_value_and_whether_it_is_the_default() -> None:
    """Values may be negative."""
    assert project.priority_class({"value": -5}) == (-5, False)
    assert project.priority_class({"value": 10, "globalDefault": True}) == (10, True)


def waiting(**container: Any) -> dict[str, Any]:
    """Status of a container that waits."""
    return {"name": "trainer", "state": {"waiting": container}}


UNSCHEDULABLE = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/9 nodes are available: 9 node(s) didn't have free ports.",
    "lastTransitionTime": "2026-11-22T03:00:00Z",
}


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        pytest.param({"conditions": [UNSCHEDULABLE]}, f"Unschedulable: {UNSCHEDULABLE['message']}", id="unschedulable"),
        pytest.param({}, "", id="nobody has said anything"),
        pytest.param({"node": "n1"}, "no kubelet has reported", id="bound, and that is all"),
        pytest.param(
            {"node": "n1", "containerStatuses": [waiting(reason="ImagePullBackOff", message="Back-off")]},
            "container trainer: ImagePullBackOff: Back-off",
            id="no image",
        ),
        pytest.param(
            {
                "node": "n1",
                "initContainerStatuses": [{**waiting(reason="PodInitializing"), "name": "setup"}],
                "containerStatuses": [waiting(reason="CreateContainerError", message="exec format error")],
            },
            "container trainer: CreateContainerError: exec format error",
            id="trouble before what is usual",
        ),
        pytest.param(
            {"node": "n1", "containerStatuses": [waiting(reason="ContainerCreating")]},
            "container trainer: ContainerCreating",
            id="on its way",
        ),
        pytest.param(
            {"node": "n1", "phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}, "", id="ready"
        ),
        pytest.param(
            {"node": "n1", "phase": "Failed", "containerStatuses": [waiting(reason="Error")]}, "", id="has ended"
        ),
        pytest.param(
            {"node": "n1", "containerStatuses": [waiting(reason="E", message="x" * 999)]},
            f"container trainer: E: {'x' * 999}"[:300],
            id="cut",
        ),
    ],
)
def test_a_pod_that_is_not_ready_says_what_it_waits_for(facts: dict[str, Any], text: str) -> None:
    """The scheduler's words, or the kubelet's, in a bounded sentence."""
    assert own_pod(**facts).pod.waiting == text


def test_since_when_a_pod_is_unschedulable_is_told_by_its_condition() -> None:
    """Gated or scheduled ones are not."""
    assert own_pod(conditions=[UNSCHEDULABLE]).pod.unschedulable_since == 1_795_316_400
    for other in ({"reason": "SchedulingGated"}, {"status": "True"}):
        assert own_pod(conditions=[{**UNSCHEDULABLE, **other}]).pod.unschedulable_since is None


def test_last_words_are_the_termination_message_of_the_container() -> None:
    """Which by FallbackToLogsOnError is the end of its log where it wrote none; 600 characters of it are kept."""
    terminated = {"exitCode": 137, "reason": "OOMKilled", "message": "a" * 900 + "the end", "finishedAt": None}
    pod = own_pod(phase="Failed", containerStatuses=[{"name": "trainer", "state": {"terminated": terminated}}]).pod
    assert (pod.exit_code, len(pod.message)) == (137, 600)
    assert pod.message.endswith("the end")
