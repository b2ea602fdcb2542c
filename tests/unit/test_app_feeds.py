"""Reflectors' sinks: after a list nothing is there that the list has not, but what is newer than it."""

from berth.app.feeds import MirrorSink, OwnPodSink, PriorityClassSink, reflectors
from berth.cluster.mirror import Key, Mirror
from berth.core.model import JobKey, Mode
from tests.unit.small_cluster import SmallCluster
from tests.unit.wire_objects import a_job, a_node, own_pod, pool_facts

ONE, TWO, THREE = (("team", f"train-1-{rank}") for rank in range(3))


def pod(key: Key, version: int) -> object:
    return own_pod(key[1], version=version)


def test_a_list_drops_what_it_has_not() -> None:
    """What vanished while nobody watched vanishes here, too."""
    mirror = Mirror()
    mirror.put_pool(pool_facts())
    sink = MirrorSink(mirror.put_node, mirror.drop_node)
    sink.replace({("", "n1"): a_node("n1"), ("", "n2"): a_node("n2")}, "5")
    sink.upsert(("", "n3"), a_node("n3"))
    sink.remove(("", "n1"))
    sink.replace({("", "n3"): a_node("n3"), ("", "n4"): a_node("n4")}, "9")
    nodes = mirror.snapshot(Mode.ACTIVE).pools["h800"].ledger.nodes
    assert [node.name for node in nodes] == ["n3", "n4"]


def test_a_list_drops_only_what_this_sink_has_put() -> None:
    """Two watches of one kind do not know each other's objects."""
    seen: dict[Key, int] = {("", "theirs"): 1}
    sink = MirrorSink(seen.__setitem__, seen.__delitem__)
    sink.replace({("", "ours"): 2}, "5")
    sink.replace({}, "6")
    assert seen == {("", "theirs"): 1}


def test_a_pod_that_is_newer_than_the_list_is_not_gone() -> None:
    """It was created, and its creation answered, while the list was on its way."""
    mirror = Mirror()
    sink = OwnPodSink(mirror)
    sink.replace({ONE: own_pod(ONE[1], version=3), TWO: own_pod(TWO[1], version=4)}, "5")
    mirror.answer_own_pod(THREE, own_pod(THREE[1], version=8))
    sink.replace({TWO: own_pod(TWO[1], version=4)}, "7")
    assert sorted(mirror.own_pods()) == [TWO, THREE]
    sink.replace({}, "8")
    assert dict(mirror.own_pods()) == {}


def test_a_list_drops_pods_that_only_answers_have_told_of() -> None:
    """The sink never had them; the mirror has."""
    mirror = Mirror()
    sink = OwnPodSink(mirror)
    mirror.answer_own_pod(ONE, own_pod(ONE[1], version=3))
    sink.replace({}, "9")
    assert dict(mirror.own_pods()) == {}


def test_an_answer_that_the_watch_or_a_list_has_passed_is_too_late() -> None:
    """The pod was made and went again before its creation was answered."""
    mirror = Mirror()
    sink = OwnPodSink(mirror)
    sink.replace({}, "5")
    mirror.answer_own_pod(ONE, own_pod(ONE[1], version=4))
    sink.upsert(TWO, own_pod(TWO[1], version=7))
    sink.remove(TWO)
    mirror.answer_own_pod(TWO, own_pod(TWO[1], version=7))
    assert dict(mirror.own_pods()) == {}


def test_a_list_is_taken_in_whole_before_anybody_decides() -> None:
    """A job made anew under an old name keeps its own pods, whatever order the list is in."""
    mirror = Mirror()
    sink = OwnPodSink(mirror)
    mirror.put_job(a_job(uid="second"))
    sink.replace({ONE: own_pod(ONE[1], uid="old", job_uid="first", version=3)}, "5")
    mirror.answer_own_pod(ONE, own_pod(ONE[1], uid="new", job_uid="second", version=9))
    sink.replace({ONE: own_pod(ONE[1], uid="new", job_uid="second", version=9)}, "10")
    assert [pod.uid for pod in mirror.snapshot(Mode.ACTIVE).jobs[0].pods] == ["new"]


def test_priority_classes_are_handed_over_together() -> None:
    """The default is one of them, and any change may change it."""
    mirror = Mirror()
    mirror.put_job(a_job(priorityClassName="high"))
    sink = PriorityClassSink(mirror)
    entry = mirror.jobs[JobKey("team", "train")]
    sink.replace({("", "high"): (100, False), ("", "usual"): (5, True)}, "3")
    assert (mirror.priority(entry), mirror.default_priority) == (100, 5)
    sink.upsert(("", "high"), (200, False))
    assert mirror.priority(entry) == 200
    sink.remove(("", "usual"))
    assert mirror.default_priority == 0
    sink.replace({("", "usual"): (7, True)}, "9")
    assert mirror.snapshot(Mode.ACTIVE).jobs[0].hindrance is not None
    assert mirror.default_priority == 7


async def test_every_kind_that_a_cycle_depends_on_has_its_reflector() -> None:
    """Berth's own pods in all phases; of others only those that hold something."""
    found = {r.name: (r._label_selector, r._field_selector) for r in reflectors(SmallCluster(), Mirror())}
    assert found == {
        "nodes": ("", ""),
        "own-pods": ("berth.dev/job-uid", ""),
        "foreign-pods": ("!berth.dev/job-uid", "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed"),
        "priorityclasses": ("", ""),
    }
