"""What counts as taken, and for how long: by placements, by pods, and by what is just being decided."""

import pytest

from berth.cluster.jobs import Replica
from berth.cluster.mirror import Mirror
from berth.cluster.project import own_pod as project_own_pod
from berth.core.model import Mode, Outcome, Record
from tests.unit.mirroring import HELD, KEY, a_mirror, see_pod, taken, view
from tests.unit.wire_objects import GPU, a_job, a_node, foreign_pod, own_pod, placed, pod_object, pool_facts, status_of

# What is taken


def test_a_placement_counts_before_its_first_pod_is_there() -> None:
    """From the moment it stands on record: nothing else may get these devices."""
    mirror = a_mirror()
    mirror.put_job(a_job(status=status_of(HELD)))
    assert taken(mirror) == {"n1": 8, "n2": 8}


def test_a_decision_counts_from_the_moment_it_is_taken() -> None:
    """The next cycle may come before the API server has answered."""
    mirror = a_mirror()
    mirror.put_job(a_job())
    mirror.assume(KEY, HELD)
    assert taken(mirror) == {"n1": 8, "n2": 8}
    assert view(mirror).busy
    mirror.settle(KEY, "train-uid")
    assert taken(mirror) == {}
    assert not view(mirror).busy


def test_what_the_api_server_answers_takes_the_place_of_what_was_assumed() -> None:
    """Before and after it is settled the same devices are taken, once."""
    mirror = a_mirror()
    mirror.put_job(a_job())
    mirror.assume(KEY, HELD)
    mirror.put_job(a_job(version=2, status=status_of(HELD)))
    assert taken(mirror) == {"n1": 8, "n2": 8}
    mirror.settle(KEY, "train-uid")
    assert taken(mirror) == {"n1": 8, "n2": 8}


def test_pods_of_a_placement_are_not_counted_beside_it() -> None:
    """Whichever comes first, and wherever the pods are in their lives."""
    for order in ("job first", "pods first"):
        mirror = a_mirror()
        if order == "job first":
            mirror.put_job(a_job(status=status_of(HELD)))
        see_pod(mirror, "train-1-0", node="n1")
        see_pod(mirror, "train-1-1", node="n2", phase="Succeeded")
        if order == "pods first":
            assert taken(mirror) == {"n1": 8}
            mirror.put_job(a_job(status=status_of(HELD)))
        assert taken(mirror) == {"n1": 8, "n2": 8}, order


def test_pods_of_an_older_attempt_are_counted_until_they_are_gone() -> None:
    """The next attempt may sit elsewhere while they are still being stopped."""
    mirror = a_mirror()
    see_pod(mirror, "train-1-0", node="n3")
    mirror.put_job(a_job(status=status_of(placed("n1", "n2", attempt=2))))
    assert taken(mirror) == {"n1": 8, "n2": 8, "n3": 8}
    mirror.drop_own_pod(("team", "train-1-0"))
    assert taken(mirror) == {"n1": 8, "n2": 8}


def test_a_pod_counts_where_it_is_and_not_where_it_was_meant_to_be() -> None:
    """Somebody bound it elsewhere: both the place on record and the place in fact are taken."""
    mirror = a_mirror()
    mirror.put_job(a_job(status=status_of(HELD)))
    see_pod(mirror, "train-1-0", node="n4")
    assert taken(mirror) == {"n1": 8, "n2": 8, "n4": 8}


@pytest.mark.parametrize("name", ["train-1-2", "train-1-7"])
def test_a_pod_of_no_rank_of_the_placement_counts_by_itself(name: str) -> None:
    """Its place is not among those that the placement counts."""
    mirror = a_mirror()
    mirror.put_job(a_job(status=status_of(HELD)))
    see_pod(mirror, name, node="n1", devices=2)
    assert taken(mirror) == {"n1": 10, "n2": 8}


def test_a_copy_of_a_replica_belongs_to_no_job_and_takes_what_it_takes() -> None:
    """Made by hand, with all of Berth's labels on it: it neither fails the gang nor hides its devices."""
    mirror = a_mirror()
    mirror.put_job(a_job(status=status_of(HELD)))
    body = pod_object("train-1-0", uid="copied", node="n3", phase="Running")
    body["metadata"]["name"] = "train-1-0-debug"
    mirror.put_own_pod(("team", "train-1-0-debug"), project_own_pod(body))
    assert view(mirror).pods == ()
    assert taken(mirror) == {"n1": 8, "n2": 8, "n3": 8}


def test_a_pod_of_another_namespace_is_not_this_jobs_whatever_its_labels_say() -> None:
    """Or anybody who may create pods somewhere could fail the gangs of others."""
    mirror = a_mirror()
    mirror.put_job(a_job(status=status_of(HELD)))
    see_pod(mirror, namespace="evil", key=("evil", "train-1-0"), node="n3", phase="Failed")
    see_pod(mirror, uid="b", namespace="evil", key=("evil", "train-1-1"), node="n4", phase="Running")
    assert view(mirror).pods == ()
    assert taken(mirror) == {"n1": 8, "n2": 8, "n4": 8}


def test_a_finished_job_gives_its_devices_back_and_its_last_pods_keep_theirs() -> None:
    """After a failure for good some pods are still being stopped."""
    mirror = a_mirror()
    mirror.put_job(a_job(status=status_of(HELD)))
    see_pod(mirror, "train-1-0", node="n1", phase="Failed")
    see_pod(mirror, "train-1-1", node="n2", phase="Running")
    mirror.assume(KEY, Record(1, HELD.placement, outcome=Outcome(False, 5, "it failed")))
    assert taken(mirror) == {"n1": 8, "n2": 8}, "until the end is on record, a crash would bring the placement back"
    on_record = {**status_of(HELD), "state": "Failed", "finishedAt": "1970-01-01T00:00:05Z"}
    mirror.put_job(a_job(version=99, status=on_record))
    assert taken(mirror) == {"n2": 8}


def test_a_job_that_is_gone_leaves_its_pods_behind() -> None:
    """The garbage collector takes them later; until then they hold their devices."""
    mirror = a_mirror()
    mirror.put_job(a_job(status=status_of(HELD)))
    see_pod(mirror, "train-1-0", node="n1")
    mirror.drop_job(KEY, "train-uid")
    assert taken(mirror) == {"n1": 8}
    mirror.drop_own_pod(("team", "train-1-0"))
    assert taken(mirror) == {}


def test_a_job_that_goes_while_its_pods_are_being_made_holds_its_devices_until_the_last_answer() -> None:
    """A create that is on the wire may still land: the place that it goes to is not free yet."""
    mirror = a_mirror()
    mirror.put_job(a_job())
    mirror.assume(KEY, HELD)
    mirror.drop_job(KEY, "train-uid")
    mirror.answer_own_pod(("team", "train-1-0"), own_pod("train-1-0", version=9, node="n1"))
    assert taken(mirror) == {"n1": 8, "n2": 8}
    assert mirror.snapshot(Mode.ACTIVE).jobs == ()
    mirror.settle(KEY, "train-uid")
    assert taken(mirror) == {"n1": 8}


def test_a_job_made_anew_while_the_old_one_is_being_carried_out_is_another_job() -> None:
    """The end of the old one's work neither frees nor settles the new one's."""
    mirror = a_mirror()
    mirror.put_job(a_job())
    mirror.assume(KEY, HELD)
    mirror.put_job(a_job(uid="second", version=5))
    mirror.assume(KEY, placed("n3", "n4"))
    assert taken(mirror) == {"n1": 8, "n2": 8, "n3": 8, "n4": 8}
    mirror.settle(KEY, "train-uid")
    assert taken(mirror) == {"n3": 8, "n4": 8}
    assert view(mirror).busy


def test_a_pod_whose_labels_are_taken_away_is_counted_in_any_order_of_events() -> None:
    """To the one watch it is gone, to the other it is new: two watches are in no order."""
    mirror = a_mirror()
    see_pod(mirror, "train-1-0", uid="u", node="n1")
    mirror.put_foreign_pod(("team", "train-1-0"), foreign_pod("train-1-0", "n1", uid="u"))
    mirror.drop_own_pod(("team", "train-1-0"))
    assert taken(mirror) == {"n1": 8}
    see_pod(mirror, "train-1-0", uid="u", version=3, node="n1")
    mirror.drop_foreign_pod(("team", "train-1-0"))
    assert taken(mirror) == {"n1": 8}


# Pools that change under a gang


def test_a_gang_holds_its_devices_while_its_pool_is_gone() -> None:
    """Its nodes may be another pool's by then, and what runs there still runs."""
    mirror = a_mirror()
    mirror.put_job(a_job(status=status_of(HELD)))
    mirror.drop_pool("h800", "h800-uid")
    mirror.put_pool(pool_facts("anew", created=9))
    mirror.put_job(a_job(version=2, generation=2, status=status_of(HELD)))
    assert taken(mirror, "anew") == {"n1": 8, "n2": 8}


def test_a_gang_holds_its_devices_while_its_pool_does_not_know_their_name() -> None:
    """Somebody mistyped the profile."""
    mirror = a_mirror()
    mirror.put_job(a_job(status=status_of(HELD)))
    mirror.put_pool(pool_facts(version=2, resource="", problem=("UnknownProfile", "there is no such profile")))
    assert taken(mirror) == {"n1": 8, "n2": 8}


def test_after_a_restart_without_its_pool_a_gang_holds_what_its_pods_hold() -> None:
    """Nothing else says by then what a device is called."""
    mirror = Mirror()
    for number in (1, 2):
        mirror.put_node(("", f"n{number}"), a_node(f"n{number}"))
        see_pod(mirror, f"train-1-{number - 1}", node=f"n{number}")
    mirror.put_job(a_job(status=status_of(HELD)))
    mirror.put_pool(pool_facts("anew"))
    assert taken(mirror, "anew") == {"n1": 8, "n2": 8}


def test_a_pool_made_anew_finds_its_gangs_on_its_nodes() -> None:
    """With another network tree, even."""
    mirror = a_mirror()
    mirror.put_job(a_job(status=status_of(HELD)))
    mirror.drop_pool("h800", "h800-uid")
    mirror.put_pool(pool_facts(uid="second", version=9, levels=()))
    assert taken(mirror) == {"n1": 8, "n2": 8}


def test_an_event_of_a_pool_that_was_made_anew_does_not_bring_the_old_one_back() -> None:
    """The two uids are told by two queues, in any order."""
    mirror = a_mirror()
    mirror.put_pool(pool_facts(uid="second", version=9, levels=()))
    mirror.put_pool(pool_facts(version=8))
    assert mirror.snapshot(Mode.ACTIVE).pools["h800"].ledger.tree.levels == ("h800", "node")
    mirror.drop_pool("h800", "h800-uid")
    assert mirror.pools.facts("h800") is not None
    mirror.drop_pool("h800", "second")
    mirror.put_pool(pool_facts(uid="second", version=9, levels=()))
    assert mirror.pools.facts("h800") is None


# What a replica takes


def test_what_a_replica_takes_besides_devices_is_known_from_its_dry_run() -> None:
    """And stays as it was planned when the template is edited later: that counts from the next attempt."""
    mirror = a_mirror()
    mirror.put_job(a_job())
    mirror.set_replica("train-uid", Replica(1, (("cpu", 16_000), ("pods", 1))))
    mirror.put_job(a_job(version=2, status=status_of(HELD)))
    assert taken(mirror, resource="cpu") == {"n1": 16_000, "n2": 16_000}
    mirror.put_job(a_job(version=3, generation=2, status=status_of(HELD)))
    assert taken(mirror, resource="cpu") == {"n1": 16_000, "n2": 16_000}


def test_after_a_restart_a_replica_takes_what_its_pods_say() -> None:
    """Also where the pods are made, or seen, only after the job was read."""
    cpu = {"containers": [{"name": "t", "resources": {"requests": {"cpu": "16"}, "limits": {GPU: "8"}}}]}
    mirror = a_mirror()
    mirror.put_job(a_job(status=status_of(HELD)))
    assert taken(mirror, resource="cpu") == {}
    see_pod(mirror, "train-1-0", node="n1", spec=cpu | {"nodeName": "n1"})
    assert taken(mirror, resource="cpu") == {"n1": 16_000, "n2": 16_000}


def test_several_replicas_on_a_node_count_each() -> None:
    """Two replicas of four devices."""
    mirror = a_mirror()
    mirror.put_job(a_job(devicesPerReplica=4, status=status_of(placed("n1", "n1"))))
    assert taken(mirror) == {"n1": 8}
    assert taken(mirror, resource="pods") == {"n1": 2}
