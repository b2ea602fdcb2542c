"""The mirror: whatever arrives late, twice, or under an old name, it keeps the newest, and says what has changed."""

from collections.abc import Callable

import pytest

from berth.api import names
from berth.cluster.jobs import Replica
from berth.cluster.mirror import Mirror
from berth.core.model import Hindrance, JobKey, Mode, Phase, Policy, Record
from berth.core.plan import Reason
from tests.unit.mirroring import HELD, KEY, a_mirror, see_pod, taken, touched, view
from tests.unit.wire_objects import GPU, a_job, a_node, foreign_pod, own_pod, pool_facts, status_of

# What is older than what is known


@pytest.mark.parametrize("version", [4, 5])
def test_an_older_state_of_a_job_is_never_taken_in(version: int) -> None:
    """Answers and events are one stream, ordered by resourceVersion, whichever arrives first."""
    mirror = a_mirror()
    mirror.put_job(a_job(version=5, status=status_of(HELD)))
    mirror.put_job(a_job(version=version, replicas=1))
    assert taken(mirror) == {"n1": 8, "n2": 8}
    assert view(mirror).gang.replicas == 2


def test_a_job_that_is_gone_does_not_come_back_with_a_late_answer() -> None:
    """An answer to a write, or an event that stood in a queue: a uid that is gone is gone for ever."""
    mirror = a_mirror()
    mirror.put_job(a_job())
    mirror.drop_job(KEY, "train-uid")
    mirror.put_job(a_job(version=2, status=status_of(HELD)))
    assert (mirror.jobs, taken(mirror)) == ({}, {})


def test_a_job_whose_end_arrives_before_its_beginning_is_never_there() -> None:
    """After an audit an event of it may still stand in a queue."""
    mirror = a_mirror()
    mirror.drop_job(KEY, "train-uid")
    mirror.put_job(a_job(status=status_of(HELD)))
    assert (mirror.jobs, taken(mirror)) == ({}, {})


def test_a_job_made_anew_under_an_old_name_has_nothing_of_the_old_one() -> None:
    """Neither its placement nor its pods; and late events of the old one do not disturb it."""
    mirror = a_mirror()
    mirror.put_job(a_job(status=status_of(HELD)))
    see_pod(mirror, "train-1-0", node="n1")
    mirror.put_job(a_job(uid="second", version=7))
    assert ((), Record()) == (view(mirror).pods, view(mirror).record)
    assert taken(mirror) == {"n1": 8}
    mirror.put_job(a_job(version=6, status=status_of(HELD)))
    mirror.drop_job(KEY, "train-uid")
    assert mirror.jobs[KEY].uid == "second"
    assert taken(mirror) == {"n1": 8}


def test_an_older_state_of_a_pod_is_never_taken_in() -> None:
    """It has failed, whatever a late answer says."""
    mirror = a_mirror()
    mirror.put_job(a_job(status=status_of(HELD)))
    see_pod(mirror, version=9, node="n1", phase="Failed")
    see_pod(mirror, version=8, node="n1", phase="Running")
    assert [pod.phase for pod in view(mirror).pods] == [Phase.FAILED]


def test_a_pod_that_has_come_and_gone_does_not_come_back_with_the_answer_to_its_creation() -> None:
    """The watch may be quicker than the answer: what it has passed it knows better. Nothing would ever take a pod
    away that is there by mistake."""
    mirror = a_mirror()
    see_pod(mirror, version=10)
    mirror.drop_own_pod(("team", "train-1-0"))
    mirror.answer_own_pod(("team", "train-1-0"), own_pod(version=10, node="n1"))
    assert dict(mirror.own_pods()) == {}


def test_an_answer_that_a_list_has_overtaken_says_nothing_new() -> None:
    """The pod was made, it vanished, and everything was listed again before the answer came."""
    mirror = a_mirror()
    mirror.own_pods_listed(12)
    mirror.answer_own_pod(("team", "train-1-0"), own_pod(version=10))
    assert dict(mirror.own_pods()) == {}
    mirror.answer_own_pod(("team", "train-1-0"), own_pod(version=13))
    assert list(mirror.own_pods()) == [("team", "train-1-0")]


def test_a_history_that_has_gone_back_ends_the_mirror() -> None:
    """After a restore of the API server's database every version that is known is too new to be overtaken."""
    mirror = a_mirror()
    see_pod(mirror, version=100)
    with pytest.raises(RuntimeError, match="listed at resourceVersion 40 after 100: start anew"):
        mirror.own_pods_listed(40)


def test_an_answer_does_not_overwrite_what_the_watch_says_of_the_same_state() -> None:
    """The watch has the pod as it is stored; the answer has only its metadata, the rest is as it was sent."""
    mirror = a_mirror()
    full = {
        "containers": [{"name": "t", "resources": {"requests": {"cpu": "1"}, "limits": {GPU: "8"}}}],
        "nodeName": "n1",
    }
    see_pod(mirror, version=10, spec=full)
    mirror.answer_own_pod(("team", "train-1-0"), own_pod(version=10))
    assert mirror.own_pods()["team", "train-1-0"].requests == (("cpu", 1000), (GPU, 8), ("pods", 1))


def test_the_end_of_an_earlier_pod_of_that_name_is_not_the_end_of_the_one_that_was_just_made() -> None:
    """A job deleted and applied again has pods of the same names: the answer may be there before the old news."""
    mirror = a_mirror()
    see_pod(mirror, uid="old", version=10, job_uid="first")
    mirror.put_job(a_job(uid="second", version=20, status=status_of(HELD)))
    mirror.answer_own_pod(("team", "train-1-0"), own_pod(uid="new", version=25, job_uid="second"))
    mirror.drop_own_pod(("team", "train-1-0"))  # the watch tells now that the old one went
    assert [pod.uid for pod in view(mirror).pods] == ["new"]
    see_pod(mirror, uid="new", version=25, job_uid="second")
    mirror.drop_own_pod(("team", "train-1-0"))
    assert view(mirror).pods == ()


def test_a_pod_that_the_api_server_no_longer_has_is_forgotten_by_uid() -> None:
    """A delete that was answered with 404 says so; another pod of that name stays."""
    mirror = a_mirror()
    mirror.answer_own_pod(("team", "train-1-0"), own_pod(uid="a", version=5))
    mirror.pod_is_gone(("team", "train-1-0"), "b")
    assert list(mirror.own_pods()) == [("team", "train-1-0")]
    mirror.pod_is_gone(("team", "train-1-0"), "a")
    assert dict(mirror.own_pods()) == {}


# How a job is seen


def test_a_job_is_seen_with_all_that_a_cycle_asks_of_it() -> None:
    """Spec, record, pods, priority and what a dry run found out."""
    mirror = a_mirror()
    mirror.set_priority_classes({"high": (100, False), "usual": (7, True)})
    mirror.put_job(
        a_job(
            version=3,
            generation=4,
            pools=["h800"],
            topology={"level": "leaf", "policy": "Required"},
            backoffLimit=1,
            ttlSecondsAfterFinished=60,
            suspend=True,
            priorityClassName="high",
            status=status_of(HELD),
        )
    )
    mirror.set_replica("train-uid", Replica(4, (("cpu", 500), ("pods", 1)), (("zone", "a"),), ()))
    see_pod(mirror, "train-1-1", version=2)
    job = view(mirror)
    assert (job.uid, job.generation, job.submitted, job.priority) == ("train-uid", 4, 1795316400, 100)
    assert (
        job.gang.replicas,
        job.gang.devices,
        job.gang.pools,
        job.gang.level,
        job.gang.policy,
    ) == (2, 8, ("h800",), "leaf", Policy.REQUIRED)
    assert (job.gang.requests, job.gang.selector) == ((("cpu", 500),), (("zone", "a"),))
    assert (job.record, job.backoff_limit, job.ttl, job.suspended, job.deleting) == (HELD, 1, 60, True, False)
    assert [pod.name for pod in job.pods] == ["train-1-1"]
    assert job.hindrance is None


def test_a_job_waits_until_its_replica_has_been_tried_for_its_generation() -> None:
    """Each edit is tried anew; what a later look finds out about the same generation takes its place."""
    mirror = a_mirror()
    mirror.put_job(a_job())
    assert Hindrance(Reason.VALIDATING, "a replica is being tried with a dry run") == view(mirror).hindrance
    assert [entry.key.name for entry in mirror.unprobed()] == ["train"]
    refused = Hindrance(Reason.TEMPLATE_REFUSED, "no image")
    mirror.set_replica("train-uid", Replica(1, hindrance=refused))
    assert (refused, []) == (view(mirror).hindrance, list(mirror.unprobed()))
    mirror.forget_replica("train-uid")
    assert (refused, 1) == (view(mirror).hindrance, len(list(mirror.unprobed())))
    mirror.set_replica("train-uid", Replica(1))
    assert view(mirror).hindrance is None
    mirror.put_job(a_job(version=2, generation=2))
    mirror.set_replica("train-uid", Replica(1))
    assert view(mirror).hindrance == Hindrance(Reason.VALIDATING, "a replica is being tried with a dry run")


def test_replicas_of_placed_and_finished_jobs_are_not_tried() -> None:
    """Nothing is planned for them."""
    mirror = a_mirror()
    mirror.put_job(a_job("held", status=status_of(HELD)))
    mirror.put_job(a_job("done", status={"attempt": 1, "state": "Succeeded", "finishedAt": "2026-11-22T03:00:00Z"}))
    assert list(mirror.unprobed()) == []


def test_an_unknown_priority_class_holds_a_job_back_until_it_is_there() -> None:
    """It says which, and what to do."""
    mirror = a_mirror()
    mirror.put_job(a_job(priorityClassName="high"))
    mirror.set_replica("train-uid", Replica(1))
    hindrance = view(mirror).hindrance
    text = "spec.priorityClassName: there is no PriorityClass high; create it, or name one that exists"
    assert Hindrance(Reason.UNKNOWN_PRIORITY_CLASS, text) == hindrance
    mirror.set_priority_classes({"high": (100, False)})
    assert (view(mirror).hindrance, view(mirror).priority) == (None, 100)


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        ({}, 0),
        ({"a": (5, False)}, 0),
        ({"a": (5, True)}, 5),
        ({"a": (-5, True)}, -5),
        ({"a": (5, True), "b": (3, True)}, 3),
    ],
)
def test_a_job_without_a_class_has_the_clusters_default(classes: dict[str, tuple[int, bool]], expected: int) -> None:
    """Of several defaults the smallest counts, as in Kubernetes."""
    mirror = a_mirror()
    mirror.set_priority_classes(classes)
    mirror.put_job(a_job())
    assert expected == view(mirror).priority


def test_only_what_changed_is_touched() -> None:
    """Once: the next snapshot begins with nothing."""
    mirror = a_mirror()
    mirror.put_job(a_job())
    mirror.put_job(a_job("other"))
    both = {KEY, JobKey("team", "other")}
    assert both == touched(mirror)
    assert frozenset() == touched(mirror)
    see_pod(mirror)
    assert {KEY} == touched(mirror)
    mirror.put_job(a_job(version=1))
    mirror.put_node(("", "n1"), a_node("n1", version=2))
    assert frozenset() == touched(mirror)
    mirror.touch(KEY)
    mirror.touch_uid("other-uid")
    mirror.touch_uid("nobody")
    mirror.touch(JobKey("team", "nobody"))
    assert both == touched(mirror)


def test_an_old_snapshot_does_not_change_with_the_mirror() -> None:
    """Jobs and pools in it are as they were."""
    mirror = a_mirror()
    mirror.put_job(a_job())
    old = mirror.snapshot(Mode.ACTIVE)
    before = repr(old.jobs)
    mirror.assume(KEY, HELD)
    see_pod(mirror, node="n1")
    mirror.snapshot(Mode.ACTIVE)
    mirror.drop_job(KEY, "train-uid")
    assert before == repr(old.jobs)
    assert [dict(used) for used in old.pools["h800"].ledger.used] == [{}, {}, {}, {}]


def test_every_change_rings_and_news_that_are_none_do_not() -> None:
    """A node's heartbeat must not cost a cycle."""
    rings: list[None] = []
    mirror = Mirror(lambda: rings.append(None))

    def rang() -> bool:
        found = bool(rings)
        rings.clear()
        return found

    mirror.put_node(("", "n1"), a_node("n1"))
    assert rang()
    mirror.put_node(("", "n1"), a_node("n1", version=2))
    assert not rang()
    mirror.put_pool(pool_facts())
    assert rang()
    mirror.put_pool(pool_facts(version=2))
    assert not rang()
    changes: tuple[Callable[[], object], ...] = (
        lambda: mirror.put_job(a_job()),
        lambda: mirror.set_refused("train-uid", "no"),
        lambda: mirror.put_foreign_pod(("a", "b"), foreign_pod("b", "n1")),
        lambda: mirror.drop_foreign_pod(("a", "b")),
        lambda: see_pod(mirror),
        lambda: mirror.drop_own_pod(("team", "train-1-0")),
        lambda: mirror.assume(KEY, HELD),
        lambda: mirror.settle(KEY, "train-uid"),
        lambda: mirror.drop_job(KEY, "train-uid"),
        lambda: mirror.drop_node(("", "n1")),
        lambda: mirror.drop_pool("h800", "h800-uid"),
    )
    for change in changes:
        change()
        assert rang()
    nothings: tuple[Callable[[], object], ...] = (
        lambda: mirror.drop_own_pod(("team", "train-1-0")),
        lambda: mirror.drop_foreign_pod(("a", "b")),
        lambda: mirror.drop_node(("", "n1")),
        lambda: mirror.set_refused("train-uid", "no"),
        lambda: mirror.settle(KEY, "train-uid"),
    )
    for nothing in nothings:
        nothing()
        assert not rang()


def test_a_status_that_cannot_be_read_leaves_what_is_known_as_it_was() -> None:
    """Somebody edited it by hand: the older state stays whole."""
    mirror = a_mirror()
    mirror.put_job(a_job(status=status_of(HELD)))
    broken = status_of(HELD)
    broken["placement"]["nodes"] = "n[1"
    with pytest.raises(ValueError, match="is no folded list of names"):
        mirror.put_job(a_job(version=2, replicas=9, status=broken))
    assert (view(mirror).gang.replicas, view(mirror).record) == (2, HELD)
    assert mirror.jobs[KEY].version == 1


def test_names_of_labels_stay() -> None:
    """Pods outlive the operator that made them."""
    assert (names.LABEL_JOB, names.LABEL_JOB_UID) == ("berth.dev/job", "berth.dev/job-uid")
