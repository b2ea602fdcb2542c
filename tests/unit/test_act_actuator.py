"""Carrying out: in which order things are written, and for how long they count."""

import asyncio
from typing import Any

import pytest

from berth.act.actuator import Actuator
from berth.act.attempts import LEAVING_PAUSE
from berth.act.pods import Replicas
from berth.api.pod_defaults import PodDefaults
from berth.cluster import project, records
from berth.cluster.jobs import Replica
from berth.core import explain
from berth.core.model import Cause, Ending, Record
from berth.core.plan import Decision, Event, Plan, Verb
from tests.unit.acting import BUDGET, KEY, PODS, SERVICE, STATUS, UID, Ground
from tests.unit.small_cluster import refusal
from tests.unit.wire_objects import GPU, a_template, own_pod, placed, pod_object, pool_facts, status_of

pytestmark = pytest.mark.looptime


async def test_a_placement_is_on_record_before_its_first_pod(ground: Ground) -> None:
    """Status, then rank 0, then what belongs to it: what protects the pods and what they find each other by; the rest.

    The last pod comes last: until it is there, everything before it is made sure of again.
    """
    ground.submit()
    await ground.run()
    assert ground.cluster.writes() == [STATUS, PODS[0], BUDGET, SERVICE, PODS[1]]
    (first,) = [ground.cluster.objects["pods", "team", "train-1-0"]["metadata"]["uid"]]
    for kind in ("services", "poddisruptionbudgets"):
        (owner,) = ground.cluster.objects[kind, "team", "train-1"]["metadata"]["ownerReferences"]
        assert owner == {"apiVersion": "v1", "kind": "Pod", "name": "train-1-0", "uid": first}
    assert (ground.status()["placement"]["nodes"], ground.status()["attempt"]) == ("n[1-2]", 1)
    tied = [str(ground.cluster.objects["pods", "team", f"train-1-{rank}"]["spec"]["affinity"]) for rank in (0, 1)]
    assert ["'n1'" in tied[0], "'n2'" in tied[1]] == [True, True]
    assert await ground.notes() == ["attempt 1: 2 replicas on 2 nodes under leaf s1/l1 of pool h800"]


async def test_what_is_on_record_is_told_and_nothing_else(ground: Ground) -> None:
    """A write that came too late is no decision on record; the job comes along as it was decided about."""
    told: list[tuple[int | None, Verb]] = []
    ground.actuator = Actuator(
        client=ground.cluster,
        mirror=ground.mirror,
        recorder=ground.recorder,
        on_record=lambda seen, decision: told.append((seen.status.attempt if seen.status else None, decision.verb)),
        clock=lambda: 1_000 + ground.loop.time(),
        monotonic=ground.loop.time,
    )
    ground.submit()
    ground.edit(replicas=3)
    await ground.run()
    assert told == []
    ground.mirror.set_replica(UID, Replica(2))
    await ground.run()
    assert told == [(None, Verb.ADMIT)]


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


async def test_a_gang_is_not_made_with_other_defaults_than_it_was_planned_with(ground: Ground) -> None:
    """The pool is edited while the placement is being written: the attempt is given up, and planned anew."""
    ground.submit()
    held = ground.cluster.hold(STATUS)
    ground.decide()
    await held.arrived.wait()
    defaults = PodDefaults.model_validate({"sharedMemory": "1Gi"})
    ground.mirror.put_pool(pool_facts(version=2, defaults=defaults, defaults_id="1234"))
    held.release.set()
    await ground.settle()
    assert ground.cluster.names("pods") == []
    text = "podDefaults of AcceleratorPool h800 changed while the gang was made"
    assert ground.mirror.jobs[KEY].refused == text


async def test_a_job_of_one_replica_needs_no_service(ground: Ground) -> None:
    """Nobody has to find it."""
    ground.submit(replicas=1)
    await ground.run()
    assert ground.cluster.writes() == [STATUS, "create pods team/train-1-0", BUDGET]


async def test_service_and_budget_of_an_attempt_go_with_it(ground: Ground) -> None:
    """Once its pods are gone and that is on record."""
    ground.submit()
    await ground.run()
    ending = Ending(Cause.SUSPENDED, 1_000, "spec.suspend is true")
    record = ground.mirror.jobs[KEY].record
    ground.cluster.calls.clear()
    freed = Record(attempt=1)
    event = Event("Suspended", ending.message)
    decision = Decision(KEY, UID, Verb.CLOSE, freed, explain.suspended(), event=event, closed=1)
    assert record.placement is not None
    ground.actuator.carry_out(Plan((decision,)))
    await ground.settle()
    gone = ["delete poddisruptionbudgets team/train-1", "delete services team/train-1"]
    assert ground.cluster.writes() == [STATUS, *gone]
    assert ground.cluster.names("services") == ground.cluster.names("poddisruptionbudgets") == []


async def test_a_service_named_like_an_attempt_of_a_lone_replica_is_left_alone(ground: Ground) -> None:
    """A job of one replica has none, so `train-1` is somebody else's."""
    ground.cluster.put("services", {"metadata": {"name": "train-1", "namespace": "team"}, "spec": {}})
    ground.submit(replicas=1, status=status_of(placed("n1")))
    decision = Decision(KEY, UID, Verb.CLOSE, Record(attempt=1), explain.suspended(), closed=1)
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


def succeeding(ground: Ground) -> None:
    """A job whose two replicas have just succeeded, with the Service and the budget of its attempt."""
    ground.submit(status=status_of(placed("n1", "n2", created=True)))
    for rank in (0, 1):
        pod = own_pod(f"train-1-{rank}", uid=f"u{rank}", phase="Succeeded")
        ground.mirror.put_own_pod(("team", f"train-1-{rank}"), pod)
    for kind in ("services", "poddisruptionbudgets"):
        metadata = {"name": "train-1", "namespace": "team", "labels": {"berth.dev/job-uid": "train-uid"}}
        ground.cluster.put(kind, {"metadata": metadata})


async def test_an_attempt_that_has_succeeded_loses_service_and_budget_before_its_end_is_told(ground: Ground) -> None:
    """Afterwards nobody would look, had the operator died in between; its pods stay, with their logs."""
    succeeding(ground)
    plan = await ground.run()
    assert [decision.verb for decision in plan.decisions] == [Verb.FINISH]
    assert ground.cluster.writes() == [BUDGET.replace("create", "delete"), SERVICE.replace("create", "delete"), STATUS]
    assert ground.status()["state"] == "Succeeded"


async def test_what_may_not_be_removed_does_not_hold_the_end_of_a_job_up(ground: Ground) -> None:
    """Its devices come free; an event tells what was left behind."""
    succeeding(ground)
    ground.cluster.fail(BUDGET.replace("create", "delete"), refusal(403, "Forbidden", "no"), times=10**6)
    await ground.run()
    assert ground.status()["state"] == "Succeeded"
    assert ground.taken() == set()
    assert any(note.startswith("left behind: ") and "403 Forbidden" in note for note in await ground.notes())


async def test_a_finished_job_is_removed_with_all_that_belongs_to_it(ground: Ground) -> None:
    """By uid, so that a new one of that name stays."""
    ground.submit(
        status={"attempt": 1, "state": "Succeeded", "finishedAt": "1970-01-01T00:00:00Z"}, ttlSecondsAfterFinished=1
    )
    plan = await ground.run()
    assert [decision.verb for decision in plan.decisions] == [Verb.REMOVE]
    for _ in range(3):
        await ground.run()
    assert ground.cluster.writes() == ["delete trainingjobs team/train"], "once, though its watch is silent"
    await asyncio.sleep(LEAVING_PAUSE)
    ground.actuator.remind()
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


async def test_no_more_pods_are_in_the_making_than_there_are_requests(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gang of thousands with a long template would be a gigabyte, and the loop would stand still while it is made."""
    built: list[int] = []
    whole = Replicas.pod

    def counted(self: Replicas, rank: int, *more: Any) -> Any:
        built.append(rank)
        return whole(self, rank, *more)

    monkeypatch.setattr(Replicas, "pod", counted)
    ground.cluster.limit = 5
    ground.submit(replicas=20, devicesPerReplica=1)
    anchored = ground.cluster.hold(SERVICE)
    ground.decide()
    await anchored.arrived.wait()
    held = ground.cluster.hold("create pods")
    anchored.release.set()
    await asyncio.sleep(1)
    assert built == [0, 1, 2, 3, 4, 5]
    held.release.set()
    await ground.settle()
    assert built == list(range(20))
    assert len(ground.cluster.names("pods")) == 20


async def test_a_refused_pod_does_not_keep_the_others_from_being_made(ground: Ground) -> None:
    """Whoever comes after it in its worker's queue; what is told is the first rank's refusal, however late it came."""
    ground.cluster.limit = 2
    ground.submit(replicas=6, devicesPerReplica=1)
    ground.cluster.fail("create pods team/train-1-4", refusal(403, "Forbidden", "the later one"))
    ground.cluster.fail("create pods team/train-1-1", refusal(403, "Forbidden", "the first one"))
    await ground.run()
    assert ground.cluster.names("pods") == [f"train-1-{rank}" for rank in (0, 2, 3, 5)]
    assert "the first one" in str(ground.mirror.jobs[KEY].refused)


async def test_a_quantity_that_only_the_server_reads_is_counted_as_it_is_read(ground: Ground) -> None:
    """It takes null, and blanks around a number, and writes them anew; what was written must not end the operator."""

    def read(pod: dict[str, Any]) -> None:
        pod["spec"]["containers"][0]["resources"]["limits"] |= {"cpu": "0", "memory": "64Gi"}

    ground.cluster.reshape = read
    container = {"name": "trainer", "image": "trainer:1", "resources": {"limits": {"cpu": None, "memory": " 64Gi "}}}
    ground.submit(template=a_template(container))
    await ground.run()
    assert not ground.actuator.broken.done()
    assert ground.cluster.names("pods") == ["train-1-0", "train-1-1"]
    assert {own.requests for own in ground.mirror.own_pods().values()} == {
        (("memory", 64 << 30), (GPU, 8), ("pods", 1)),
    }
    for rank in (0, 1):
        pod = ground.cluster.put("pods", ground.cluster.objects["pods", "team", f"train-1-{rank}"])
        ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        ground.mirror.put_own_pod(("team", f"train-1-{rank}"), project.own_pod({**pod, "status": ready}))
    await ground.run()
    assert ground.status()["state"] == "Running"


async def test_a_status_that_was_written_is_read_as_the_record_that_was_decided(ground: Ground) -> None:
    """What counts after the answer is what counted before it."""
    ground.submit()
    plan = await ground.run()
    assert plan.decisions[0].record == records.read(ground.mirror.jobs[KEY].manifest.status)


async def test_what_an_operator_before_this_one_has_told_is_not_gone_through_again(ground: Ground) -> None:
    """After a start nearly every status stands already: no write, no task, and the job is not left alone meanwhile."""
    ground.submit(replicas=5)
    await ground.run()
    assert ground.status()["pending"]["reason"] == "TooLarge"
    ground.actuator = ground.an_actuator()
    ground.cluster.calls.clear()
    ground.mirror.touch(KEY)
    ground.decide()
    assert ground.actuator.under_way == 0
    assert not ground.mirror.jobs[KEY].busy
    await ground.settle()
    assert ground.cluster.calls == []


async def test_what_an_operator_before_this_one_has_told_wrongly_is_told_anew(ground: Ground) -> None:
    """A number in a sentence, a priority: whatever of the status is not as it should be."""
    ground.submit(replicas=5)
    await ground.run()
    right = ground.status()
    for wrong in ({"priority": 7}, {"pending": {**right["pending"], "message": "needs 9 nodes"}}, {"summary": "x"}):
        job = ground.cluster.objects["trainingjobs", "team", "train"]
        ground.cluster.put("trainingjobs", {**job, "status": {**right, **wrong}})
        ground.see()
        ground.actuator = ground.an_actuator()
        await ground.run()
        assert ground.status() == right
