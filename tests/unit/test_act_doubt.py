"""Carrying out in doubt: refusals, conflicts, lost answers, and events that come between decision and deed."""

import asyncio
from typing import Any

import pytest

from berth.act.actuator import PATIENCE, REFUSED_PAUSE
from berth.api.job import TrainingJob
from berth.cluster.jobs import Replica
from berth.core import explain
from berth.core.cycle import cycle
from berth.core.model import Record
from berth.core.plan import Decision, Plan, Verb
from berth.kube.errors import ApiError, Transient
from tests.unit.acting import KEY, PODS, STATUS, UID, Ground
from tests.unit.small_cluster import refusal, unreachable
from tests.unit.wire_objects import a_template, job_object, placed, pod_object, status_of

pytestmark = pytest.mark.looptime


async def test_a_guard_that_fails_makes_the_job_be_read_and_decided_anew(ground: Ground) -> None:
    """Somebody edited it in between: nothing was made, and its devices are free again."""
    ground.submit()
    ground.edit(replicas=1)
    await ground.run()
    assert ground.cluster.writes() == [STATUS]
    assert "get trainingjobs team/train" in ground.cluster.calls
    assert set() == ground.taken()
    assert ground.mirror.jobs[KEY].manifest.spec.replicas == 1
    ground.mirror.set_replica(UID, Replica(2))
    await ground.run()
    assert ground.cluster.names("pods") == ["train-1-0"]


async def test_the_guard_is_of_the_job_that_was_decided_about(ground: Ground) -> None:
    """Not of one that an event has brought between the decision and its first write: that asks for something else."""
    ground.submit(devicesPerReplica=4)
    ground.decide()
    ground.edit(devicesPerReplica=8)
    ground.see()
    await ground.settle()
    assert ground.status() is None
    assert ground.cluster.names("pods") == []
    assert set() == ground.taken()


async def test_pods_are_made_of_the_job_that_was_decided_about(ground: Ground) -> None:
    """One attempt is one template, though an edit arrives while the attempt is being completed."""
    ground.submit(status=status_of(placed("n1", "n2")))
    await ground.run()  # the status is not news; the pods are
    first = ground.cluster.objects["pods", "team", "train-1-0"]["spec"]["containers"][0]["image"]
    assert first == "trainer:1"
    del ground.cluster.objects["pods", "team", "train-1-1"]
    ground.mirror.pod_is_gone(("team", "train-1-1"), ground.mirror.own_pods()["team", "train-1-1"].pod.uid)
    ground.decide()
    ground.edit(template=a_template({"name": "trainer", "image": "trainer:2"}))
    ground.see()
    await ground.settle()
    assert ground.cluster.objects["pods", "team", "train-1-1"]["spec"]["containers"][0]["image"] == "trainer:1"


async def test_a_report_is_of_the_generation_that_it_was_made_about(ground: Ground) -> None:
    """An edit that arrives before the report is remembered is told of as well, if only by its generation."""
    ground.submit(replicas=5)
    await ground.run()
    ground.actuator = ground.an_actuator()
    ground.mirror.touch(KEY)
    ground.decide()  # what stands there already is not written again, only remembered
    ground.edit(backoffLimit=7)
    ground.see()
    await ground.settle()
    ground.mirror.set_replica(UID, Replica(2))
    await ground.run()
    assert ground.status()["observedGeneration"] == 2


async def test_a_write_without_an_answer_is_tried_again(ground: Ground) -> None:
    """For as long as it might be a moment's trouble."""
    ground.submit()
    ground.cluster.fail(STATUS, unreachable(), times=3)
    await ground.run()
    assert ground.cluster.names("pods") == ["train-1-0", "train-1-1"]
    assert ground.loop.time() < PATIENCE


async def test_a_write_whose_answer_was_lost_is_found_to_have_happened(ground: Ground) -> None:
    """The second try is a conflict with the first: the job is read, and its attempt goes on."""
    ground.submit()
    ground.cluster.fail(STATUS, unreachable(), after=True)
    await ground.run()
    assert {"n1", "n2"} == ground.taken()
    assert ground.cluster.names("pods") == []
    plan = await ground.run()
    assert [decision.verb for decision in plan.decisions] == [Verb.CREATE]
    assert ground.status()["attempt"] == 1
    assert ground.cluster.names("pods") == ["train-1-0", "train-1-1"]


async def test_nothing_is_let_go_while_nobody_knows_what_was_written(ground: Ground) -> None:
    """The write may have happened: until the API server says how the job stands, its devices are taken."""
    ground.submit()
    ground.cluster.fail(STATUS, unreachable(), after=True)
    ground.cluster.fail("", unreachable(), times=10**6)
    ground.decide()
    await asyncio.sleep(10 * PATIENCE)
    assert {"n1", "n2"} == ground.taken()
    assert ground.snapshot().jobs[0].busy
    ground.cluster._faults.clear()
    await ground.settle()
    assert {"n1", "n2"} == ground.taken()
    assert not ground.snapshot().jobs[0].busy


@pytest.mark.parametrize("error", [refusal(403, "Forbidden"), refusal(401, "Unauthorized"), refusal(410, "Gone")])
async def test_nothing_is_let_go_while_the_api_server_will_not_say_what_was_written(ground: Ground, error: Any) -> None:
    """Whatever it answers instead, a login that ran out included."""
    ground.submit()
    ground.cluster.fail(STATUS, unreachable(), after=True)
    ground.cluster.fail("get trainingjobs", error, times=5)
    ground.decide()
    await asyncio.sleep(3)
    assert {"n1", "n2"} == ground.taken()
    await ground.settle()
    assert {"n1", "n2"} == ground.taken()
    assert not ground.actuator.broken.done()


async def test_a_job_that_was_deleted_meanwhile_is_forgotten(ground: Ground) -> None:
    """The write finds nothing, and neither does the read."""
    ground.submit()
    ground.cluster.before(STATUS, lambda: ground.cluster.objects.pop(("trainingjobs", "team", "train")))
    await ground.run()
    assert ground.mirror.jobs == {}
    assert set() == ground.taken()


async def test_a_job_that_was_made_anew_meanwhile_is_another_one(ground: Ground) -> None:
    """What was decided for the old one is not done to the new one."""
    ground.submit()
    ground.cluster.before(STATUS, lambda: ground.cluster.put("trainingjobs", job_object(uid="second", replicas=1)))
    await ground.run()
    assert (ground.mirror.jobs[KEY].uid, ground.mirror.jobs[KEY].manifest.spec.replicas) == ("second", 1)
    assert ground.status() is None
    assert set() == ground.taken()


async def test_a_job_that_cannot_be_read_any_more_is_left_alone_for_a_while(ground: Ground) -> None:
    """A newer version's job must not end the operator, nor be tried in a tight loop."""
    ground.submit()
    ground.edit(newField=1)
    await ground.run()
    await ground.run()
    assert ground.cluster.calls.count(STATUS) == 1
    assert not ground.actuator.broken.done()
    await asyncio.sleep(REFUSED_PAUSE)
    ground.actuator.remind()
    await ground.run()
    assert ground.cluster.calls.count(STATUS) == 2


async def test_a_refused_status_pauses_its_job_and_nobody_else(ground: Ground) -> None:
    """It is told as an event, its devices are free, and it is tried again after a pause."""
    ground.submit()
    ground.submit("other", replicas=1)
    ground.cluster.fail(STATUS, refusal(422, "Invalid", "status.pool: Too long"), times=1)
    await ground.run()
    assert ground.cluster.names("pods") == ["other-1-0"]
    assert len(ground.taken()) == 1
    assert any("422 Invalid: status.pool: Too long" in note for note in await ground.notes())
    await ground.run()
    assert ground.cluster.calls.count(STATUS) == 1
    reminder = ground.actuator.remind()
    assert reminder is not None
    await asyncio.sleep(reminder)
    ground.actuator.remind()
    await ground.run()
    assert ground.cluster.names("pods") == ["other-1-0", "train-1-0", "train-1-1"]


async def test_a_pod_that_is_refused_ends_the_attempt_with_the_servers_words(ground: Ground) -> None:
    """The pods that were made are deleted by the next cycle's decision; the job waits before it tries again."""
    ground.submit()
    text = 'pods "train-1-1" is forbidden: exceeded quota: team, requested: nvidia.com/gpu=8'
    ground.cluster.fail(PODS[1], refusal(403, "Forbidden", text))
    await ground.run()
    assert ground.cluster.names("pods") == ["train-1-0"]
    ground.cluster.calls.clear()
    plan = await ground.run()
    assert [decision.verb for decision in plan.decisions] == [Verb.STOP]
    assert ground.cluster.writes() == [STATUS, "patch pods/status team/train-1-0", "delete pods team/train-1-0"]
    assert ground.status()["ending"]["cause"] == "PodsRefused"
    assert "exceeded quota: team" in ground.status()["ending"]["message"]


BROKEN = refusal(500, "InternalError", 'failed calling webhook "scan.example.com": connection refused')


async def test_a_fault_of_the_server_that_lasts_is_a_refusal(ground: Ground) -> None:
    """A webhook that broke after the dry run: the gang does not hold its devices until somebody mends it."""
    ground.submit()
    ground.cluster.fail(PODS[1], BROKEN, times=10**6)
    await ground.run()
    assert PATIENCE - 5 < ground.loop.time() < PATIENCE + 5, "it has been tried for as long as a call is"
    assert "scan.example.com" in (ground.mirror.jobs[KEY].refused or "")
    assert list(ground.mirror.unprobed()) == [], "while the attempt lasts nothing is to be found out"
    await ground.run()
    assert ground.status()["ending"]["cause"] == "PodsRefused"
    assert [entry.key for entry in ground.mirror.unprobed()] == [KEY], "the next attempt is not begun in the dark"


TERM = Transient(request="create pods", status=0, reason="LeaseLost", message="0.0 s left of the term")


@pytest.mark.parametrize(
    "error", [unreachable(), TERM, refusal(503, "ServiceUnavailable"), refusal(504, "Timeout"), refusal(429, "TooMany")]
)
async def test_a_server_that_is_away_is_waited_for(ground: Ground, error: ApiError) -> None:
    """However long: the attempt stands, and its pods are made when it is back."""
    ground.submit()
    ground.cluster.fail(PODS[1], error, times=10**6)
    await ground.run()
    assert ground.mirror.jobs[KEY].refused is None
    ground.cluster.heal()
    await ground.run()
    assert ground.cluster.names("pods") == ["train-1-0", "train-1-1"]


async def test_what_was_refused_to_one_attempt_is_not_held_against_the_next(ground: Ground) -> None:
    """Even if nobody heard the answer to the admission of the next one."""
    ground.submit()
    ground.mirror.set_refused(UID, "exceeded quota: team")
    ground.cluster.fail(STATUS, unreachable(), after=True)
    await ground.run()
    plan = await ground.run()
    assert [decision.verb for decision in plan.decisions] == [Verb.CREATE]


async def test_a_pod_that_is_there_already_is_success_if_it_is_the_jobs(ground: Ground) -> None:
    """An earlier try, or an operator that died, has made it."""
    ground.submit()
    ground.cluster.fail(PODS[0], unreachable(), after=True)
    await ground.run()
    assert ground.cluster.names("pods") == ["train-1-0", "train-1-1"]
    uids = {own.pod.uid for own in ground.mirror.own_pods().values()}
    assert {obj["metadata"]["uid"] for where, obj in ground.cluster.objects.items() if where[0] == "pods"} == uids
    assert ground.mirror.jobs[KEY].refused is None


async def test_a_pod_that_is_somebody_elses_refuses_the_attempt(ground: Ground) -> None:
    """It is neither taken over nor deleted."""
    stranger = ground.cluster.put("pods", {"metadata": {"name": "train-1-0", "namespace": "team"}, "spec": {}})
    ground.submit()
    await ground.run()
    assert "a pod train-1-0 is there already and is not this job's; delete it" in str(ground.mirror.jobs[KEY].refused)
    await ground.run()
    assert stranger is ground.cluster.objects["pods", "team", "train-1-0"]


async def test_a_pod_of_the_job_that_lost_its_labels_does_not_end_the_operator(ground: Ground) -> None:
    """Whoever may edit pods may do that; the attempt is refused, with a remedy."""
    ground.submit(status=status_of(placed("n1", "n2")))
    body = pod_object("train-1-0", metadata={"ownerReferences": [{"uid": UID}]}, labels={})
    ground.cluster.put("pods", body)
    await ground.run()
    assert not ground.actuator.broken.done()
    assert "a pod train-1-0 is there already" in str(ground.mirror.jobs[KEY].refused)


async def test_a_pod_whose_labels_admission_took_away_is_not_believed_to_be_berths(ground: Ground) -> None:
    """To Berth's watch it does not exist, so nothing would ever take it away again; the attempt is refused."""
    ground.submit(replicas=1)
    ground.cluster.reshape = lambda pod: pod["metadata"].update(labels={})
    await ground.run()
    assert dict(ground.mirror.own_pods()) == {}
    await ground.run()
    assert "a pod train-1-0 is there already" in str(ground.mirror.jobs[KEY].refused)


async def test_a_service_that_is_somebody_elses_refuses_the_attempt_and_outlives_it(ground: Ground) -> None:
    """No gang is made that could not find its rank 0, and what is not ours is not deleted."""
    stranger = ground.cluster.put("services", {"metadata": {"name": "train-1", "namespace": "team"}, "spec": {}})
    ground.submit()
    await ground.run()
    text = "a Service train-1 is there already and is not this job's; delete it, or rename the job"
    assert text == ground.mirror.jobs[KEY].refused
    assert ground.cluster.names("pods") == ["train-1-0"]
    plans = [await ground.run()]
    ground.mirror.pod_is_gone(("team", "train-1-0"), ground.mirror.own_pods()["team", "train-1-0"].pod.uid)
    plans.append(await ground.run())
    assert [decision.verb for plan in plans for decision in plan.decisions] == [Verb.STOP, Verb.CLOSE]
    assert ground.cluster.names("pods") == []
    assert stranger is ground.cluster.objects["services", "team", "train-1"]


async def test_an_answer_that_comes_after_the_jobs_end_does_not_bring_it_back(ground: Ground) -> None:
    """The event of its deletion was quicker; nothing would take its devices back but an audit."""
    ground.submit(replicas=5)
    ground.decide()
    ground.cluster.before(STATUS, lambda: ground.mirror.drop_job(KEY, UID))
    await ground.settle()
    assert ground.mirror.jobs == {}


async def test_a_bug_is_told_and_does_not_pass_for_an_answer(ground: Ground) -> None:
    """Memory may be wrong after it: the operator must end."""
    ground.submit()
    broken = Decision(KEY, UID, Verb.CREATE, Record(attempt=1), explain.suspended(), create=(0,))
    ground.actuator.carry_out(Plan((broken,)))
    await ground.settle()
    with pytest.raises(AssertionError, match="pods are created for a placement"):
        await ground.actuator.broken


async def test_what_is_no_longer_true_is_not_carried_out(ground: Ground) -> None:
    """A job that is busy, gone, or another one by now."""
    ground.submit()
    plan = cycle(ground.snapshot(), 1_000)
    ground.mirror.assume(KEY, Record())
    ground.actuator.carry_out(plan)
    ground.mirror.settle(KEY, UID)
    ground.mirror.put_job(TrainingJob.model_validate(job_object(uid="second", version=999)))
    ground.actuator.carry_out(plan)
    ground.mirror.drop_job(KEY, "second")
    ground.actuator.carry_out(plan)
    assert (ground.actuator.under_way, ground.cluster.calls) == (0, [])
