"""One job from `kubectl apply` to its end, in all the ways that it can go, on a real control plane."""

from functools import partial

import pytest

from e2e.faults.calls import calls
from e2e.faults.proxy import FaultProxy
from e2e.ground.api import ApiError
from e2e.ground.waiting import until
from tests.integration.scene import GPU, Scene, environment

pytestmark = pytest.mark.cluster
pytest_plugins = ("tests.integration.operating",)


def test_a_gang_starts_in_one_leaf_with_ranks_in_network_order(scene: Scene) -> None:
    """Four replicas go under the one leaf that holds them, rank by rank; each pod is on the node of its rank."""
    scene.cluster([3, 4], [3])
    scene.submit("train", replicas=4)

    status = scene.wait("train", "Running")

    leaf = scene.nodes[3:7]
    assert leaf == scene.placed("train")
    assert leaf == scene.bound("train")
    assert status["placement"]["domain"] == "spine-1/leaf-12"
    assert status["placement"]["spans"] == {"spine": 1, "leaf": 1, "node": 4}
    assert scene.condition("train", "Placed")[:2] == ("True", "Contiguous")
    assert scene.condition("train", "PodsReady") == ("True", "AllReady", "4 replicas ready")
    assert (scene.pool, 1, 0) == (status["pool"], status["attempt"], status["priority"])


def test_a_gang_is_starting_until_all_of_its_replicas_are_ready(scene: Scene, proxy: FaultProxy) -> None:
    """While its pods are being made a job is Starting and says how many; events tell each step once."""
    scene.cluster([2])
    with proxy.hold(calls(verb="create", resource="pods", write=True)) as way:
        scene.submit("train", replicas=2, sim={"run": 0.5})
        way.wait(least=2, timeout_s=10)

        assert scene.status("train")["state"] == "Starting"
        assert scene.condition("train", "PodsReady") == ("False", "Creating", "creating 2 pods")

    scene.wait("train", "Succeeded")
    notes = {
        "Admitted": f"attempt 1: 2 replicas on 2 nodes under spine-1/leaf-11 of pool {scene.pool}",
        "Started": "2 replicas ready, attempt 1",
        "Succeeded": "2 replicas succeeded in attempt 1",
    }
    for reason, note in notes.items():
        until(partial(scene.events, reason), f"an event {reason}", timeout_s=10)
        assert [event["note"] for event in scene.events(reason)] == [note]


def test_what_is_made_for_a_gang_belongs_to_its_job_and_to_one_attempt(scene: Scene) -> None:
    """Pods carry labels, owner, host name and devices; a headless Service selects the attempt, ready or not."""
    scene.cluster([2])
    job = scene.submit("train", replicas=2, runtime="Torchrun")
    scene.wait("train", "Running")

    (service,) = scene.services("train").values()
    labels = {"berth.dev/job": "train", "berth.dev/job-uid": job["metadata"]["uid"], "berth.dev/attempt": "1"}
    assert service["metadata"]["name"] == "train-1"
    assert ("None", True, labels) == (
        service["spec"]["clusterIP"],
        service["spec"]["publishNotReadyAddresses"],
        service["spec"]["selector"],
    )
    pods = scene.pods("train")
    assert list(pods) == ["train-1-0", "train-1-1"]
    for rank, (name, pod) in enumerate(pods.items()):
        assert labels.items() | {("berth.dev/replica", str(rank))} <= pod["metadata"]["labels"].items()
        assert int(pod["metadata"]["labels"]["berth.dev/epoch"]) == scene.status("train")["placement"]["epoch"]
        assert (name, "train-1", "Never") == (
            pod["spec"]["hostname"],
            pod["spec"]["subdomain"],
            pod["spec"]["restartPolicy"],
        )
        container = pod["spec"]["containers"][0]
        assert container["resources"]["limits"][GPU] == "8"
        assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
    (first,) = service["metadata"]["ownerReferences"]
    assert (first["kind"], first["uid"]) == ("Pod", pods["train-1-0"]["metadata"]["uid"])
    for owned in pods.values():
        (owner,) = owned["metadata"]["ownerReferences"]
        assert (job["metadata"]["uid"], "TrainingJob", True) == (owner["uid"], owner["kind"], owner["controller"])


def test_replicas_get_the_environment_of_their_runtime(scene: Scene) -> None:
    """Torchrun adds PET_*, None does not; a variable of the template's own stays, and may refer to Berth's."""
    scene.cluster([3])
    scene.submit("torch", replicas=2, runtime="Torchrun")
    own = {"env": [{"name": "RUN", "value": "run-$(BERTH_ATTEMPT)"}]}
    scene.submit("plain", replicas=1, devices=4, container=own)
    scene.wait("torch", "Running")
    scene.wait("plain", "Running")

    coordinator = f"torch-1-0.torch-1.{scene.namespace}.svc"
    assert {
        "BERTH_JOB": "torch",
        "BERTH_ATTEMPT": "1",
        "BERTH_REPLICA": "1",
        "BERTH_REPLICAS": "2",
        "BERTH_DEVICES_PER_REPLICA": "8",
        "BERTH_COORDINATOR": coordinator,
        "PET_NNODES": "2",
        "PET_NODE_RANK": "1",
        "PET_NPROC_PER_NODE": "8",
        "PET_MASTER_ADDR": coordinator,
        "PET_MASTER_PORT": "29500",
        "PET_RDZV_ID": "torch-1",
    } == environment(scene.pods("torch")["torch-1-1"])
    assert environment(scene.pods("plain")["plain-1-0"]) == {
        "BERTH_JOB": "plain",
        "BERTH_ATTEMPT": "1",
        "BERTH_REPLICA": "0",
        "BERTH_REPLICAS": "1",
        "BERTH_DEVICES_PER_REPLICA": "4",
        "BERTH_COORDINATOR": "localhost",
        "RUN": "run-$(BERTH_ATTEMPT)",
    }
    assert scene.services("plain") == {}


def test_a_job_that_succeeds_gives_its_devices_to_the_next(scene: Scene) -> None:
    """When all replicas have ended well the job is Succeeded, and a job that waited for its nodes starts."""
    scene.cluster([2])
    scene.submit("first", replicas=2, sim={"run": 1})
    scene.wait("first", "Running")
    scene.submit("second", replicas=2)
    scene.wait_pending("second", "InsufficientDevices")

    status = scene.wait("first", "Succeeded")

    scene.wait("second", "Running")
    assert scene.condition("first", "Finished") == ("True", "Succeeded", "2 replicas succeeded in attempt 1")
    assert scene.condition("first", "Placed") == ("False", "Finished", "the devices are given back")
    assert status["finishedAt"] >= status["startedAt"]
    assert scene.over_committed() == {}


def test_a_gang_that_fails_starts_again_after_a_pause_until_its_limit_is_used_up(scene: Scene) -> None:
    """A failed replica stops the gang; after 10 s comes attempt 2; beyond backoffLimit the job is Failed."""
    scene.cluster([3])
    sim = {"fail": 0.5, "exit_code": 3}
    scene.submit("train", replicas=2, backoffLimit=1, sim=sim)

    waiting = scene.wait_for("train", lambda s: s.get("failures") == 1 and "placement" not in s, "to fail once")

    (attempt,) = waiting["attempts"]
    failure = attempt["firstFailure"]
    assert (attempt["attempt"], attempt["cause"], failure["exitCode"]) == (1, "OwnFailure", 3)
    assert failure["node"] in scene.nodes
    assert failure["message"] == "simulated failure after 0.5 s"
    assert (waiting["state"], waiting["pending"]["reason"]) == ("Requeued", "BackOff")
    assert waiting["pending"]["message"] == (
        f"attempt 1 ended (OwnFailure), the next attempt starts after {waiting['retryAfter']}; 1 of 1 failures used"
    )
    # Its devices are free meanwhile.
    scene.submit("between", replicas=3, sim={"run": 1})
    scene.wait("between", "Succeeded")
    failed = scene.wait("train", "Failed")
    assert (failed["attempt"], failed["failures"], [a["attempt"] for a in failed["attempts"]]) == (2, 2, [1, 2])
    status, reason, message = scene.condition("train", "Finished")
    assert (status, reason) == ("True", "BackoffLimitExceeded")
    assert message.endswith(" with exit code 3; 2 failures, spec.backoffLimit is 1")
    # The replica that failed stays for its log; the other may have been stopped before it failed, too.
    first = failed["attempts"][-1]["firstFailure"]["replica"]
    assert f"train-2-{first}" in scene.pods("train")


def test_what_still_runs_of_a_failed_gang_is_stopped(scene: Scene) -> None:
    """One replica fails; the others, which would run for ever, are deleted before the job is Failed."""
    scene.cluster([3])
    scene.submit("train", replicas=3, backoffLimit=0)
    scene.wait("train", "Running")
    path = f"{scene.core}/pods/train-1-1"

    scene.api.patch(path, {"metadata": {"annotations": {"sim.berth.dev/fail-seconds": "0"}}})

    status = scene.wait("train", "Failed")
    assert status["attempts"][0]["firstFailure"]["replica"] == 1
    assert list(scene.pods("train")) == ["train-1-1"]
    scene.submit("next", replicas=3)
    scene.wait("next", "Running")


def test_a_suspended_job_waits_until_it_is_resumed(scene: Scene) -> None:
    """Created suspended, a job takes nothing though there is room; resumed, it starts as attempt 1."""
    scene.cluster([2])
    scene.submit("train", replicas=2, suspend=True)

    scene.wait("train", "Suspended")

    assert scene.pods("train") == {}
    assert scene.condition("train", "Placed") == ("False", "Suspended", "spec.suspend is true")
    scene.edit("train", suspend=False)
    assert scene.wait("train", "Running")["attempt"] == 1


def test_suspending_a_running_job_stops_it_and_resuming_starts_another_attempt(scene: Scene) -> None:
    """The pods go, the devices serve another job; resumed, the gang waits for them and runs as attempt 2."""
    scene.cluster([2])
    scene.submit("train", replicas=2, sim={"terminate": 0.5})
    scene.wait("train", "Running")
    scene.submit("other", replicas=2)

    scene.edit("train", suspend=True)

    status = scene.wait_for("train", lambda s: s.get("state") == "Suspended" and "placement" not in s, "to be stopped")
    assert scene.pods("train") == {}
    until(lambda: scene.services("train") == {}, "the Service to be deleted", timeout_s=10)
    assert [attempt["cause"] for attempt in status["attempts"]] == ["Suspended"]
    assert "failures" not in status
    scene.wait("other", "Running")
    scene.edit("train", suspend=False)
    scene.wait_pending("train", "InsufficientDevices")
    scene.delete("other")
    scene.wait_gone("other")
    assert scene.wait("train", "Running")["attempt"] == 2
    assert list(scene.pods("train")) == ["train-2-0", "train-2-1"]


def test_a_pending_job_may_be_made_smaller_and_then_starts(scene: Scene) -> None:
    """A gang too large for the pool says so and what would help; edited to that, it runs."""
    scene.cluster([3])
    scene.submit("train", replicas=4)
    pending = scene.wait_pending("train", "TooLarge")
    assert f"needs 4 nodes; pool {scene.pool} has 3" == pending["message"]
    assert pending["nearest"] == [
        "replicas 3: could start now under spine-1/leaf-11",
        "devicesPerReplica 4: could start now under spine-1/leaf-11",
    ]

    scene.edit("train", replicas=3)

    scene.wait("train", "Running")
    assert len(scene.pods("train")) == 3
    assert scene.status("train")["placement"]["generation"] == 2


def test_a_template_that_is_edited_while_the_gang_runs_counts_from_the_next_attempt(scene: Scene) -> None:
    """Nothing is restarted for an edit of the template; the next attempt is made of the new one."""
    scene.cluster([2])
    scene.submit("train", replicas=2)
    scene.wait("train", "Running")
    before = {name: pod["metadata"]["uid"] for name, pod in scene.pods("train").items()}

    scene.edit("train", template=scene.manifest("train", container={"image": "trainer:2"})["spec"]["template"])
    scene.wait_for("train", lambda s: s["observedGeneration"] == 2, "to be seen in its new form")

    assert {name: pod["metadata"]["uid"] for name, pod in scene.pods("train").items()} == before
    scene.edit("train", suspend=True)
    scene.wait_for("train", lambda s: "placement" not in s, "to be stopped")
    scene.edit("train", suspend=False)
    scene.wait("train", "Running")
    assert {pod["spec"]["containers"][0]["image"] for pod in scene.pods("train").values()} == {"trainer:2"}


def test_the_shape_of_a_placed_gang_cannot_be_edited(scene: Scene) -> None:
    """The API server refuses it, naming field and remedy; by way of suspending it can be done."""
    scene.cluster([2])
    scene.submit("train", replicas=2)
    scene.wait("train", "Running")

    with pytest.raises(ApiError) as refused:
        scene.edit("train", replicas=1)

    assert refused.value.status == 422
    told = str(refused.value)
    assert "spec.replicas" in told
    assert "cannot change while the gang is placed: set spec.suspend to true first, and back to false" in told
    scene.edit("train", suspend=True)
    scene.wait_for("train", lambda s: "placement" not in s, "to be stopped")
    scene.edit("train", replicas=1, suspend=False)
    assert scene.wait("train", "Running")["attempt"] == 2
    assert list(scene.pods("train")) == ["train-2-0"]


def test_a_finished_job_is_deleted_when_its_time_is_over(scene: Scene) -> None:
    """With ttlSecondsAfterFinished the job goes by itself; one without stays."""
    scene.cluster([2])
    scene.submit("kept", sim={"run": 0.1})
    scene.submit("brief", sim={"run": 0.1}, ttlSecondsAfterFinished=1)

    scene.wait("kept", "Succeeded")

    scene.wait_gone("brief")
    assert list(scene.jobs()) == ["kept"]
