"""Nodes in trouble: which jobs hear of them, and what the mirror counts while a gang is repaired."""

from dataclasses import replace
from typing import Any

import pytest

from berth.api.job_status import JobStatus
from berth.cluster import project, records
from berth.cluster.jobs import Replica
from berth.cluster.mirror import Mirror
from berth.core import explain
from berth.core.model import Attempt, Cause, Ending, NodeTrouble, Record, Trouble
from tests.unit.mirroring import KEY, a_mirror, see_pod, taken, touched, view
from tests.unit.wire_objects import a_job, a_node, node_object, placed

TURNED = 1_795_316_400
METADATA = node_object("n2", version=2)["metadata"]
FAILED = Attempt(1, 0, 990, Cause.OWN_FAILURE, None, ("n3", "n4"))


def unready(name: str, status: str = "Unknown", *, at: str | None = "2026-11-22T03:00:00Z", **facts: Any) -> Any:
    """A node that has lost contact."""
    body = node_object(name, **{"version": 2, **facts})
    body["status"]["conditions"] = [{"type": "Ready", "status": status, **({"lastTransitionTime": at} if at else {})}]
    return project.node(body)


def on_record(record: Record) -> dict[str, Any]:
    """The status that keeps a record."""
    report = explain.placed(a_job_gang(), record, 0) if record.placement else explain.suspended()
    status: JobStatus = records.write(record, report, generation=1, priority=0, before=None, now=1)
    return status.wire()


def a_job_gang() -> Any:
    return view(seeing(placed("n1", "n2"), gang_only=True)).gang


def seeing(record: Record, *, gang_only: bool = False) -> Mirror:
    """A mirror of four nodes and a job with that record."""
    mirror = a_mirror()
    mirror.put_job(a_job(status=None if gang_only else on_record(record)))
    mirror.set_replica("train-uid", Replica(1))
    touched(mirror)
    return mirror


@pytest.mark.parametrize(
    ("change", "trouble"),
    [
        pytest.param(lambda m: m.drop_node(("", "n2")), NodeTrouble("n2", Trouble.GONE), id="gone"),
        pytest.param(
            lambda m: m.put_node(("", "n2"), unready("n2")),
            NodeTrouble("n2", Trouble.NOT_READY, TURNED),
            id="without contact",
        ),
        pytest.param(
            lambda m: m.put_node(("", "n2"), unready("n2", "False", at=None)),
            NodeTrouble("n2", Trouble.NOT_READY, 0),
            id="not ready, and nobody says since when",
        ),
        pytest.param(
            lambda m: m.put_node(
                ("", "n2"),
                a_node(
                    "n2",
                    version=2,
                    spec={"taints": [{"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}]},
                ),
            ),
            NodeTrouble("n2", Trouble.OUT_OF_SERVICE),
            id="out of service",
        ),
    ],
)
def test_a_job_hears_of_trouble_with_its_nodes(change: Any, trouble: NodeTrouble) -> None:
    """And that it is over: either way the next cycle looks at it, though nothing of its own has changed."""
    mirror = seeing(placed("n1", "n2"))
    change(mirror)
    assert touched(mirror) == {KEY}
    assert view(mirror).troubles == (trouble,)
    mirror.put_node(("", "n2"), a_node("n2", version=3))
    assert touched(mirror) == {KEY}
    assert view(mirror).troubles == ()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda m: m.put_node(("", "n3"), unready("n3")), id="trouble with another node"),
        pytest.param(lambda m: m.drop_node(("", "n4")), id="another node gone"),
        pytest.param(lambda m: m.put_node(("", "n2"), a_node("n2", version=2, gpus="0")), id="devices gone"),
        pytest.param(
            lambda m: m.put_node(("", "n2"), a_node("n2", version=2, spec={"unschedulable": True})), id="cordon"
        ),
        pytest.param(
            lambda m: m.put_node(
                ("", "n2"),
                project.node({**node_object("n2", version=2), "metadata": {**METADATA, "deletionTimestamp": "x"}}),
            ),
            id="a node that is being deleted, and still well",
        ),
    ],
)
def test_what_is_no_trouble(change: Any) -> None:
    """Nothing new is placed there; the running gang is left alone."""
    mirror = seeing(placed("n1", "n2"))
    change(mirror)
    assert touched(mirror) == set()
    assert view(mirror).troubles == ()


def test_when_most_nodes_lose_contact_at_once_none_is_taken_for_lost() -> None:
    """It is the network that is cut, and the gangs run on; one node more in sight, and they are looked at again."""
    mirror = seeing(placed("n1", "n2"))
    for number, name in enumerate(("n1", "n3", "n4")):
        assert [trouble.node for trouble in view(mirror).troubles] == (["n1"] if number else [])
        mirror.put_node(("", name), unready(name))
    assert touched(mirror) == {KEY}
    assert view(mirror).troubles == ()
    mirror.drop_node(("", "n2"))
    assert view(mirror).troubles == (NodeTrouble("n2", Trouble.GONE),), "what is gone is gone"
    touched(mirror)
    mirror.put_node(("", "n4"), a_node("n4", version=3))
    assert touched(mirror) == {KEY}
    assert [trouble.node for trouble in view(mirror).troubles] == ["n1", "n2"]


YESTERDAY = "2026-11-21T03:00:00Z"


def nodes_in_trouble(mirror: Mirror) -> list[str]:
    return [trouble.node for trouble in view(mirror).troubles]


def test_nodes_that_are_lost_for_long_do_not_hide_one_that_is_lost_now() -> None:
    """Three of five have been unready since yesterday, on which nothing runs: the fourth is in trouble."""
    mirror = seeing(placed("n1", "n2"))
    mirror.put_node(("", "n5"), a_node("n5"))
    for name in ("n3", "n4", "n5"):
        mirror.put_node(("", name), unready(name, at=YESTERDAY))
    touched(mirror)
    mirror.put_node(("", "n2"), unready("n2"))
    assert touched(mirror) == {KEY}
    assert nodes_in_trouble(mirror) == ["n2"]


def test_a_blackout_of_what_was_left_is_one_for_as_long_as_it_takes() -> None:
    """One node of six was lost yesterday; the others turn within 5 min: none of them is lost, the one still is."""
    mirror = seeing(placed("n1", "n2", "n6"))
    for name in ("n5", "n6"):
        mirror.put_node(("", name), a_node(name))
    mirror.put_node(("", "n6"), unready("n6", at=YESTERDAY))
    for minute, name in enumerate(("n1", "n2", "n3")):
        mirror.put_node(("", name), unready(name, at=f"2026-11-22T03:0{minute}:00Z"))
    assert nodes_in_trouble(mirror) == ["n6"]


def test_nodes_that_turn_one_by_one_are_lost_one_by_one() -> None:
    """Six minutes apart: no blackout, however many they are in the end."""
    mirror = seeing(placed("n1", "n2"))
    for number, name in enumerate(("n3", "n4", "n1", "n2")):
        mirror.put_node(("", name), unready(name, at=f"2026-11-22T03:{6 * number:02d}:00Z"))
    assert nodes_in_trouble(mirror) == ["n1", "n2"]


def test_nodes_of_no_pool_neither_hide_nor_show_anything() -> None:
    """A broken corner of the cluster that trains nothing is no blackout; one of the pool is, whatever stands beside."""
    mirror = seeing(placed("n1", "n2"))
    others = [f"cpu{number}" for number in range(8)]
    for name in others:
        mirror.put_node(("", name), unready(name, labels={}))
    mirror.put_node(("", "n1"), unready("n1"))
    assert nodes_in_trouble(mirror) == ["n1"]
    for name in others:
        mirror.put_node(("", name), a_node(name, labels={}, version=3))
    for name in ("n2", "n3"):
        mirror.put_node(("", name), unready(name))
    assert nodes_in_trouble(mirror) == []


def test_nodes_of_a_failed_attempt_concern_the_job_until_the_next_one_is_over() -> None:
    """Its charge may have to be taken back."""
    mirror = seeing(Record(attempt=1, failures=1, attempts=(FAILED,)))
    mirror.drop_node(("", "n4"))
    assert touched(mirror) == {KEY}
    assert view(mirror).troubles == (NodeTrouble("n4", Trouble.GONE),)
    mirror.assume(KEY, Record(attempt=2, attempts=(replace(FAILED, nodes=()),)))
    touched(mirror)
    mirror.drop_node(("", "n3"))
    assert touched(mirror) == set()


def test_a_job_that_is_gone_hears_of_nothing() -> None:
    """Nor is anything kept of it."""
    mirror = seeing(placed("n1", "n2"))
    mirror.drop_job(KEY, "train-uid")
    mirror.drop_node(("", "n2"))
    assert touched(mirror) == set()
    assert mirror._health._concerned == {}


def test_a_node_that_comes_back_before_anybody_looked_is_no_trouble() -> None:
    """The view is that of the moment."""
    mirror = seeing(placed("n1", "n2"))
    mirror.drop_node(("", "n2"))
    mirror.put_node(("", "n2"), a_node("n2", version=9))
    assert view(mirror).troubles == ()


def test_while_a_repair_is_written_both_placements_are_taken_but_none_twice() -> None:
    """A crash before the write would bring the former one back; who stays takes its node once."""
    mirror = seeing(placed("n1", "n2"))
    mirror.assume(KEY, placed("n1", "n3", attempt=2))
    assert taken(mirror) == {"n1": 8, "n2": 8, "n3": 8}
    mirror.put_job(a_job(version=2, status=on_record(placed("n1", "n3", attempt=2))))
    mirror.settle(KEY, "train-uid")
    assert taken(mirror) == {"n1": 8, "n3": 8}


def test_a_pod_that_was_given_up_still_takes_its_devices() -> None:
    """By itself, as the placement of the next attempt does not count it."""
    mirror = seeing(placed("n1", "n3", attempt=2))
    see_pod(mirror, "train-1-1", node="n2", metadata={"deletionTimestamp": "2026-11-22T03:00:00Z"})
    assert taken(mirror) == {"n1": 8, "n2": 8, "n3": 8}


def test_a_cycle_knows_what_a_placement_takes() -> None:
    """So that a repair can give back exactly that."""
    job = view(seeing(placed("n1", "n1", "n2")))
    assert {node: dict(requests)["nvidia.com/gpu"] for node, requests in job.claims.items()} == {"n1": 16, "n2": 8}
    assert job.start_deadline == 900


def test_an_attempt_that_is_being_stopped_has_its_next_replica_tried() -> None:
    """After a restart nothing is known of it, and a repair must not have to wait for that."""
    mirror = a_mirror()
    mirror.put_job(a_job(status=on_record(placed("n1", "n2"))))
    assert list(mirror.unprobed()) == []
    ending = Ending(Cause.NODE_FAILURE, 1, "node n2 is gone")
    mirror.put_job(a_job(version=2, status=on_record(replace(placed("n1", "n2"), ending=ending))))
    assert [entry.key for entry in mirror.unprobed()] == [KEY]
