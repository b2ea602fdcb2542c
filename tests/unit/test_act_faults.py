"""Carrying out what faults call for: pods are marked before they go, a repair is one write, a budget is in place."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from berth.act.attempts import LEAVING_PAUSE
from berth.act.pods import budget
from berth.core.plan import Verb
from berth.kube.errors import ApiError
from tests.unit.acting import BUDGET, KEY, PODS, STATUS, UID, Ground
from tests.unit.small_cluster import refusal, unreachable
from tests.unit.wire_objects import a_job, own_pod, placed, pod_object, status_of

pytestmark = pytest.mark.looptime


@pytest.fixture
async def ground() -> AsyncIterator[Ground]:
    made = Ground()
    yield made
    await made.actuator.finish(0)


def running(ground: Ground, **spec: Any) -> None:
    """A gang on n1 and n2, both pods there and ready."""
    ground.submit(status=status_of(placed("n1", "n2", created=True)), **spec)
    for rank in (0, 1):
        name = f"train-1-{rank}"
        facts: dict[str, Any] = {"uid": f"u{rank}", "node": f"n{rank + 1}", "phase": "Running"}
        ready = [{"type": "Ready", "status": "True"}]
        ground.cluster.put("pods", pod_object(name, conditions=ready, **facts))
        ground.mirror.put_own_pod(("team", name), own_pod(name, conditions=ready, **facts))


async def test_pods_are_marked_before_they_are_deleted_for_a_lost_node(ground: Ground) -> None:
    """In Kubernetes' own words, so that whoever watches pods knows that a scheduler took them, and why."""
    running(ground)
    ground.mirror.drop_node(("", "n2"))
    ground.cluster.before(
        "delete pods", lambda: marks.append(dict(ground.cluster.objects["pods", "team", "train-1-0"]))
    )
    marks: list[dict[str, object]] = []
    await ground.run()
    patches = ["patch pods/status team/train-1-0", "patch pods/status team/train-1-1"]
    assert ground.cluster.writes()[0] == STATUS
    assert sorted(ground.cluster.writes()[1:3]) == patches
    assert sorted(ground.cluster.writes()[3:]) == ["delete pods team/train-1-0", "delete pods team/train-1-1"]
    (seen,) = marks
    condition = seen["status"]["conditions"][-1]  # type: ignore[index]
    assert (condition["type"], condition["reason"]) == ("DisruptionTarget", "PreemptionByScheduler")
    assert condition["message"] == "Berth: node n2 is gone"


async def test_what_its_owner_stops_is_not_marked(ground: Ground) -> None:
    """Nobody took anything away."""
    running(ground, suspend=True)
    await ground.run()
    assert not [call for call in ground.cluster.writes() if call.startswith("patch")]
    assert ground.cluster.names("pods") == []


@pytest.mark.parametrize("error", [refusal(404, "NotFound"), refusal(409, "Conflict"), refusal(403, "Forbidden")])
async def test_a_pod_that_cannot_be_marked_is_deleted_all_the_same(ground: Ground, error: ApiError) -> None:
    """It is gone, or the operator may not: the mark is a courtesy."""
    running(ground)
    ground.mirror.drop_node(("", "n2"))
    ground.cluster.fail("patch pods/status", error, times=9)
    await ground.run()
    assert ground.cluster.names("pods") == []


@pytest.mark.parametrize("error", [refusal(500, "InternalError", "failed calling webhook"), unreachable()])
async def test_a_mark_that_nobody_takes_does_not_hold_the_deletion_up(ground: Ground, error: ApiError) -> None:
    """A webhook for the status of pods that does not answer must not keep a gang on a lost node."""
    running(ground)
    ground.mirror.drop_node(("", "n2"))
    ground.cluster.fail("patch pods/status", error, times=10**6)
    await ground.run()
    assert ground.cluster.names("pods") == []
    assert sum(call.startswith("patch pods/status") for call in ground.cluster.calls) == 2
    assert ground.loop.time() < 1


async def test_while_the_watch_is_silent_pods_are_asked_to_go_once_in_ten_seconds(ground: Ground) -> None:
    """Cycles come many times a second, and each would delete and mark the whole gang again."""
    running(ground)
    ground.mirror.drop_node(("", "n2"))
    for _ in range(3):
        await ground.run()
    asked = [f"{verb} team/train-1-{rank}" for verb in ("patch pods/status", "delete pods") for rank in (0, 1)]
    assert sorted(ground.cluster.writes()[1:5]) == sorted(asked)
    assert not [call for call in ground.cluster.writes()[5:] if "pods" in call]
    assert (await ground.run()).decisions == (), "nor does it go round and round with nothing to do"
    reminder = ground.actuator.remind()
    assert reminder is not None
    assert 9 < reminder <= LEAVING_PAUSE
    await asyncio.sleep(reminder)
    ground.actuator.remind()
    await ground.run()
    assert ground.mirror.own_pods() == {}, "the API server was asked again, and does not have them"


async def test_what_the_watch_tells_late_of_a_pod_that_is_leaving_does_not_have_it_asked_again(ground: Ground) -> None:
    """It lags behind the deletion; a pod that was told to go never stays."""
    running(ground)
    ground.mirror.drop_node(("", "n2"))
    await ground.run()
    for version in (50, 51):
        told = own_pod("train-1-0", uid="u0", node="n1", version=version, phase="Running")
        ground.mirror.put_own_pod(("team", "train-1-0"), told)
        await ground.run()
    assert sum(call.startswith("delete pods") for call in ground.cluster.calls) == 2


async def test_a_pod_that_the_watch_tells_is_leaving_is_not_asked_again(ground: Ground) -> None:
    """It has its grace period; what was believed is known by now."""
    running(ground)
    ground.mirror.drop_node(("", "n2"))
    await ground.run()
    for rank in (0, 1):
        name, metadata = f"train-1-{rank}", {"deletionTimestamp": "2026-11-22T03:00:00Z"}
        told = own_pod(name, uid=f"u{rank}", node=f"n{rank + 1}", version=999, phase="Running", metadata=metadata)
        ground.mirror.put_own_pod(("team", name), told)
    await asyncio.sleep(LEAVING_PAUSE)
    ground.actuator.remind()
    await ground.run()
    assert all(own.pod.deleting for own in ground.mirror.own_pods().values())
    assert sum(call.startswith("delete pods") for call in ground.cluster.calls) == 2


async def test_a_repair_is_on_record_in_one_write_before_anything_is_made(ground: Ground) -> None:
    """The end of the attempt and the next placement; what belonged to the former attempt goes last."""
    running(ground)
    made = [f"create {kind} team/train-1" for kind in ("poddisruptionbudgets", "services")]
    for kind in ("poddisruptionbudgets", "services"):
        metadata = {"name": "train-1", "namespace": "team", "labels": {"berth.dev/job-uid": UID}}
        ground.cluster.put(kind, {"metadata": metadata})
    ground.mirror.drop_node(("", "n2"))
    await ground.run()
    for rank in (0, 1):
        ground.mirror.drop_own_pod(("team", f"train-1-{rank}"))
    ground.cluster.calls.clear()
    plan = await ground.run()
    assert [decision.verb for decision in plan.decisions] == [Verb.ADMIT]
    writes = ground.cluster.writes()
    expected = [PODS[0], *made, PODS[1]]
    assert writes[:5] == [STATUS, *(call.replace("train-1", "train-2") for call in expected)]
    assert writes[5:] == [call.replace("create", "delete") for call in made]
    status = ground.status()
    assert (status["attempt"], status["placement"]["nodes"]) == (2, "n[1,3]")
    assert [attempt["cause"] for attempt in status["attempts"]] == ["NodeFailure"]
    assert "ending" not in status
    assert ground.taken() == {"n1", "n3"}


async def test_a_repair_whose_answer_was_lost_is_gone_on_with(ground: Ground) -> None:
    """The job is read again: its next attempt is there, and its pods are made."""
    running(ground)
    ground.mirror.drop_node(("", "n2"))
    await ground.run()
    for rank in (0, 1):
        ground.mirror.drop_own_pod(("team", f"train-1-{rank}"))
    ground.cluster.fail(STATUS, refusal(503, "ServiceUnavailable"), after=True)
    ground.cluster.calls.clear()
    await ground.run()
    plan = await ground.run()
    assert {decision.verb for decision in plan.decisions} <= {Verb.CREATE, Verb.REPORT}
    assert ground.cluster.names("pods") == ["train-2-0", "train-2-1"]
    assert ground.status()["attempt"] == 2


async def test_a_budget_that_is_somebody_elses_refuses_the_attempt(ground: Ground) -> None:
    """A gang that could be picked off pod by pod does not start."""
    ground.cluster.put("poddisruptionbudgets", {"metadata": {"name": "train-1", "namespace": "team"}, "spec": {}})
    ground.submit()
    await ground.run()
    text = "a PodDisruptionBudget train-1 is there already and is not this job's; delete it, or rename the job"
    assert ground.mirror.jobs[KEY].refused == text
    assert ground.cluster.names("pods") == ["train-1-0"], "the rest is not made, and this one is taken back"
    assert BUDGET in ground.cluster.calls


def test_a_budget_covers_all_replicas_of_one_attempt() -> None:
    """An integer: a percentage would need a controller that knows TrainingJobs."""
    made = budget(a_job(replicas=7), 3, "uid-of-rank-0")
    assert made["metadata"]["ownerReferences"][0]["uid"] == "uid-of-rank-0"
    assert made["metadata"]["name"] == "train-3"
    assert made["spec"] == {
        "minAvailable": 7,
        "selector": {
            "matchLabels": {"berth.dev/job": "train", "berth.dev/job-uid": "train-uid", "berth.dev/attempt": "3"}
        },
    }
