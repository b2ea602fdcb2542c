"""Carrying out: in which order things are written, and what is believed while nobody knows whether they were."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from berth.act.actuator import PATIENCE, REFUSED_PAUSE, Actuator
from berth.api.job import TrainingJob
from berth.cluster import records
from berth.cluster.jobs import Replica
from berth.cluster.mirror import Mirror
from berth.core import explain
from berth.core.cycle import Snapshot, cycle
from berth.core.model import Cause, Ending, JobKey, Mode, Outcome, Record
from berth.core.plan import Decision, Event, Plan, Verb
from berth.kube.events import EventRecorder
from tests.unit.small_cluster import SmallCluster, refusal, unreachable
from tests.unit.wire_objects import (
    GPU,
    a_node,
    a_template,
    job_object,
    own_pod,
    placed,
    pod_object,
    pool_facts,
    status_of,
)

KEY = JobKey("team", "train")
UID = "train-uid"
PODS = ["create pods team/train-1-0", "create pods team/train-1-1"]
STATUS = "apply trainingjobs/status team/train"
SERVICE = "create services team/train-1"

pytestmark = pytest.mark.looptime


class Ground:
    """A small cluster, a mirror of it, and an actuator between the two."""

    def __init__(self) -> None:
        self.cluster = SmallCluster()
        self.rings = 0
        self.mirror = Mirror(self._ring)
        self.mirror.put_pool(pool_facts())
        for number in range(1, 5):
            self.mirror.put_node(("", f"n{number}"), a_node(f"n{number}"))
        self.recorder = EventRecorder(self.cluster, controller="berth.dev/operator", instance="test")
        self.loop = asyncio.get_running_loop()
        self.actuator = self.an_actuator()

    def an_actuator(self) -> Actuator:
        """One that has told nothing yet."""
        return Actuator(
            client=self.cluster,
            mirror=self.mirror,
            recorder=self.recorder,
            report_every=10.0,
            clock=lambda: 1_000 + self.loop.time(),
            monotonic=self.loop.time,
        )

    def _ring(self) -> None:
        self.rings += 1

    def submit(self, name: str = "train", **facts: Any) -> None:
        """A job is applied, and its replica was tried."""
        made = self.cluster.put("trainingjobs", job_object(name, **facts))
        self.see(name)
        self.mirror.set_replica(made["metadata"]["uid"], Replica(made["metadata"]["generation"]))

    def see(self, name: str = "train") -> None:
        """The job arrives from the watch as it stands."""
        self.mirror.put_job(TrainingJob.model_validate(self.cluster.objects["trainingjobs", "team", name]))

    def edit(self, name: str = "train", **spec: Any) -> None:
        """A user changes the spec; nobody has told the mirror yet."""
        there = self.cluster.objects["trainingjobs", "team", name]
        metadata = {**there["metadata"], "generation": there["metadata"]["generation"] + 1}
        self.cluster.put("trainingjobs", {**there, "metadata": metadata, "spec": {**there["spec"], **spec}})

    def snapshot(self) -> Snapshot:
        return self.mirror.snapshot(Mode.ACTIVE)

    def decide(self) -> Plan:
        """One cycle, carried out up to the first thing that has to be waited for."""
        plan = cycle(self.snapshot(), int(1_000 + self.loop.time()))
        self.actuator.carry_out(plan)
        return plan

    async def settle(self) -> None:
        """Wait for all that is under way."""
        await self.actuator.finish(float("inf"))

    async def run(self) -> Plan:
        """One cycle, carried out to the end."""
        plan = self.decide()
        await self.settle()
        return plan

    def status(self, name: str = "train") -> Any:
        """The job's status as it stands, on the wire."""
        return self.cluster.objects["trainingjobs", "team", name].get("status")

    def taken(self) -> set[str]:
        """Nodes on which devices are taken."""
        ledger = self.mirror.pools.snapshot()["h800"].ledger
        return {n.name for n, used in zip(ledger.nodes, ledger.used, strict=True) if used.get(GPU)}

    async def notes(self) -> list[str]:
        """Notes of the events that were posted."""
        await self.recorder.flush()
        return [obj["note"] for where, obj in self.cluster.objects.items() if where[0] == "events"]


@pytest.fixture
async def ground() -> AsyncIterator[Ground]:
    made = Ground()
    yield made
    assert not made.actuator.broken.done() or made.actuator.broken.exception() is not None
    await made.actuator.finish(0)


async def test_a_placement_is_on_record_before_its_first_pod(ground: Ground) -> None:
    """Status, then the Service that the pods look each other up by, then the pods."""
    ground.submit()
    await ground.run()
    assert ground.cluster.writes()[:2] == [STATUS, SERVICE]
    assert sorted(ground.cluster.writes()[2:]) == PODS
    assert (ground.status()["placement"]["nodes"], ground.status()["attempt"]) == ("n[1-2]", 1)
    tied = [str(ground.cluster.objects["pods", "team", f"train-1-{rank}"]["spec"]["affinity"]) for rank in (0, 1)]
    assert ["'n1'" in tied[0], "'n2'" in tied[1]] == [True, True]
    assert await ground.notes() == ["attempt 1: 2 replicas on 2 nodes under leaf s1/l1 of pool h800"]


async def test_devices_are_taken_from_the_decision_on(ground: Ground) -> None:
    """No later cycle may give them away, however long the API server takes to answer."""
    ground.submit()
    held = ground.cluster.hold(STATUS)
    ground.decide()
    assert {"n1", "n2"} == ground.taken()
    await held.arrived.wait()
    ground.submit("other", replicas=3)
    plan = ground.decide()
    assert [d.verb for d in plan.decisions if d.key.name == "other"] == [Verb.REPORT]
    held.release.set()
    await ground.settle()
    assert {"n1", "n2"} == ground.taken()


async def test_a_job_of_one_replica_needs_no_service(ground: Ground) -> None:
    """Nobody has to find it."""
    ground.submit(replicas=1)
    await ground.run()
    assert ground.cluster.writes() == [STATUS, "create pods team/train-1-0"]


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
    assert ground.cluster.writes() == [STATUS, "delete pods team/train-1-0"]
    assert ground.status()["ending"]["cause"] == "PodsRefused"
    assert "exceeded quota: team" in ground.status()["ending"]["message"]


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


async def test_a_service_that_is_somebody_elses_refuses_the_attempt_and_outlives_it(ground: Ground) -> None:
    """No pod is made that could not find its rank 0, and what is not ours is not deleted."""
    stranger = ground.cluster.put("services", {"metadata": {"name": "train-1", "namespace": "team"}, "spec": {}})
    ground.submit()
    await ground.run()
    text = "a Service train-1 is there already and is not this job's; delete it, or rename the job"
    assert text == ground.mirror.jobs[KEY].refused
    assert ground.cluster.names("pods") == []
    plans = [await ground.run(), await ground.run()]
    assert [d.verb for plan in plans for d in plan.decisions if d.verb is not Verb.REPORT] == [Verb.CLOSE]
    assert stranger is ground.cluster.objects["services", "team", "train-1"]


async def test_the_service_of_an_attempt_goes_with_it(ground: Ground) -> None:
    """Once its pods are gone and that is on record."""
    ground.submit()
    await ground.run()
    ending = Ending(Cause.SUSPENDED, 1_000, "spec.suspend is true")
    record = ground.mirror.jobs[KEY].record
    ground.cluster.calls.clear()
    freed = Record(attempt=1)
    decision = Decision(KEY, UID, Verb.CLOSE, freed, explain.suspended(), event=Event("Suspended", ending.message))
    assert record.placement is not None
    ground.actuator.carry_out(Plan((decision,)))
    await ground.settle()
    assert ground.cluster.writes() == [STATUS, "delete services team/train-1"]
    assert ground.cluster.names("services") == []


async def test_a_service_named_like_an_attempt_of_a_lone_replica_is_left_alone(ground: Ground) -> None:
    """A job of one replica has none, so `train-1` is somebody else's."""
    ground.cluster.put("services", {"metadata": {"name": "train-1", "namespace": "team"}, "spec": {}})
    ground.submit(replicas=1, status=status_of(placed("n1")))
    decision = Decision(KEY, UID, Verb.CLOSE, Record(attempt=1), explain.suspended())
    ground.actuator.carry_out(Plan((decision,)))
    await ground.settle()
    assert ground.cluster.names("services") == ["train-1"]


async def test_why_an_attempt_ends_is_on_record_before_the_first_pod_is_deleted(ground: Ground) -> None:
    """A fresh operator would otherwise see half a gang and not know why."""
    ground.submit(status=status_of(placed("n1", "n2", created=True)), suspend=True)
    for rank in (0, 1):
        ground.cluster.put("pods", pod_object(f"train-1-{rank}", uid=f"u{rank}"))
        ground.mirror.put_own_pod(
            ("team", f"train-1-{rank}"), own_pod(f"train-1-{rank}", uid=f"u{rank}", phase="Running")
        )
    await ground.run()
    assert ground.cluster.writes()[0] == STATUS
    assert sorted(ground.cluster.writes()[1:]) == ["delete pods team/train-1-0", "delete pods team/train-1-1"]
    assert ground.status()["ending"]["cause"] == "Suspended"


async def test_a_pod_is_deleted_by_uid(ground: Ground) -> None:
    """Another one of that name is not ours to delete, and the one that was meant is gone: both are known now."""
    ground.submit(status=status_of(placed("n1", "n2", created=True)), suspend=True)
    for rank in (0, 1):
        ground.mirror.put_own_pod(
            ("team", f"train-1-{rank}"), own_pod(f"train-1-{rank}", uid=f"u{rank}", phase="Running")
        )
    ground.cluster.put("pods", pod_object("train-1-0", uid="another"))
    await ground.run()
    assert ground.cluster.names("pods") == ["train-1-0"]
    assert dict(ground.mirror.own_pods()) == {}
    plan = await ground.run()
    assert [decision.verb for decision in plan.decisions] == [Verb.CLOSE]


async def test_a_finished_job_is_removed_with_all_that_belongs_to_it(ground: Ground) -> None:
    """By uid, so that a new one of that name stays."""
    ground.submit(
        status={"attempt": 1, "state": "Succeeded", "finishedAt": "1970-01-01T00:00:00Z"}, ttlSecondsAfterFinished=1
    )
    plan = await ground.run()
    assert [decision.verb for decision in plan.decisions] == [Verb.REMOVE]
    assert ground.cluster.writes() == ["delete trainingjobs team/train"]
    await ground.run()
    assert ground.mirror.jobs == {}


async def test_a_report_that_says_nothing_new_is_not_written(ground: Ground) -> None:
    """After a restart a status is only written if it differs from the one that stands."""
    ground.submit(replicas=5)
    await ground.run()
    assert ground.cluster.writes() == [STATUS]
    ground.actuator = ground.an_actuator()
    await ground.run()
    assert ground.cluster.writes() == [STATUS]


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


async def test_on_a_stop_what_is_under_way_gets_some_time(ground: Ground) -> None:
    """And what takes longer is cut off, as by a crash."""
    ground.submit()
    ground.decide()
    await ground.actuator.finish(5)
    assert ground.cluster.names("pods") == ["train-1-0", "train-1-1"]
    ground.submit("slow", replicas=1)
    held = ground.cluster.hold("create pods team/slow")
    ground.decide()
    await held.arrived.wait()
    before = ground.loop.time()
    await ground.actuator.finish(5)
    assert (ground.loop.time() - before, ground.actuator.under_way) == (5.0, 0)
    assert not ground.actuator.broken.done()


async def test_a_put_off_report_is_written_when_it_is_due(ground: Ground) -> None:
    """Only numbers in a sentence have changed; nothing else would bring the job back to a cycle."""
    ground.submit(replicas=5)
    await ground.run()
    ground.mirror.drop_node(("", "n4"))
    await ground.run()
    assert len(ground.cluster.writes()) == 1
    reminder = ground.actuator.remind()
    assert reminder is not None
    assert 9 < reminder <= 10
    await asyncio.sleep(reminder)
    ground.actuator.remind()
    await ground.run()
    assert len(ground.cluster.writes()) == 2
    assert "has 3" in ground.status()["pending"]["message"]
    assert ground.actuator.remind() is None


async def test_a_gang_in_the_making_delays_nobody_else(ground: Ground) -> None:
    """Each job is carried out by itself."""
    ground.submit()
    held = ground.cluster.hold("create pods team/train-")
    ground.decide()
    await held.arrived.wait()
    ground.submit("other", replicas=1)
    ground.decide()
    await asyncio.sleep(1)
    assert ground.cluster.names("pods") == ["other-1-0"]
    held.release.set()
    await ground.settle()


async def test_a_status_that_was_written_is_read_as_the_record_that_was_decided(ground: Ground) -> None:
    """What counts after the answer is what counted before it."""
    ground.submit()
    plan = await ground.run()
    assert plan.decisions[0].record == records.read(ground.mirror.jobs[KEY].manifest.status)
    assert Outcome(True, 1, "x") != ground.mirror.jobs[KEY].record.outcome
