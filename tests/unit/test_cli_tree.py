"""The network tree as a command draws it, and jobs that are planned on the same mirror."""

# Lines of a terminal of 160 columns.
# ruff: noqa: E501

from typing import Any

import pytest

from berth.cli import plan
from berth.cli.cluster import CommandError
from berth.cli.filling import Filled, filled, put_job, suppose
from berth.cli.screen import Screen
from berth.cli.tree import drawn, grown
from berth.cluster.mirror import Mirror
from berth.cluster.sources import read_job
from berth.core.cycle import cycle
from berth.core.model import Mode
from berth.core.plan import Verb
from berth.kube.client import ApiClient
from tests.unit.small_cluster import SmallCluster, refusal
from tests.unit.wire_objects import Json, a_node, foreign_pod, job_object, placed, pool_facts, status_of

NARROW = Screen(80)


def a_mirror(*jobs: Json) -> Mirror:
    """Pool h800: two spines with two leaves each of two nodes; b2 is cordoned, d1 has a pod of somebody else's."""
    mirror = Mirror()
    mirror.put_pool(pool_facts())
    for leaf, spine in (("a", "s1"), ("b", "s1"), ("c", "s2"), ("d", "s2")):
        for number in (1, 2):
            name = f"{leaf}{number}"
            spec = {"unschedulable": True} if name == "b2" else {}
            labels = {"pool": "h800", "spine": spine, "leaf": f"l{leaf}"}
            mirror.put_node(("", name), a_node(name, labels=labels, spec=spec))
    mirror.put_foreign_pod(("other", "notebook"), foreign_pod("notebook", "d1", 3))
    for job in jobs:
        mirror.put_job(read_job(job))
    return mirror


TRAIN = job_object("train", status=status_of(placed("a1", "a2")))
TUNE = job_object("fine-tune", replicas=1, devicesPerReplica=4, status=status_of(placed("c1")))

TREE_80 = """\
DOMAIN  NODES  DEVICES  FREE  USED  UNAVAILABLE  TAKEN BY
h800        8       64    33    23            8  -
  s1        4       32     8    16            8  -
    la      2       16     0    16            0  team/train 16
    lb      2       16     8     0            8  -
  s2        4       32    25     7            0  -
    lc      2       16    12     4            0  team/fine-tune 4
    ld      2       16    13     3            0  others 3"""

NODES_80 = """\
DOMAIN    NODES  DEVICES  FREE  USED  UNAVAILABLE  STATE     TAKEN BY
h800          8       64    33    23            8  -         team/train 16, tea…
  s1          4       32     8    16            8  -         team/train 16
    la        2       16     0    16            0  -         team/train 16
      a1      1        8     0     8            0  ready     team/train 8
      a2      1        8     0     8            0  ready     team/train 8
    lb        2       16     8     0            8  -         -
      b1      1        8     8     0            0  ready     -
      b2      1        8     0     0            8  cordoned  -
  s2          4       32    25     7            0  -         team/fine-tune 4,…
    lc        2       16    12     4            0  -         team/fine-tune 4
      c1      1        8     4     4            0  ready     team/fine-tune 4
      c2      1        8     8     0            0  ready     -
    ld        2       16    13     3            0  -         others 3
      d1      1        8     5     3            0  ready     others 3
      d2      1        8     8     0            0  ready     -"""

NODES_160 = NODES_80.replace("tea…", "team/fine-tune 4, others 3").replace(
    "team/fine-tune 4,…", "team/fine-tune 4, others 3"
)


@pytest.mark.parametrize(
    ("columns", "nodes", "text"), [(80, False, TREE_80), (80, True, NODES_80), (160, True, NODES_160)]
)
def test_the_tree_tells_who_has_what_in_every_domain(columns: int, nodes: bool, text: str) -> None:
    """Free and taken and what a closed node keeps; the takers where nothing narrower tells them, or wide everywhere."""
    trees = grown(a_mirror(TRAIN, TUNE), ())
    assert "\n".join(drawn(trees, Screen(columns), nodes=nodes, wide=nodes)) == text


def test_the_tree_for_scripts_has_full_names() -> None:
    """A domain is its path below the pool; a node is itself."""
    [tree] = grown(a_mirror(TUNE), ("h800", "nowhere"))
    wire = tree.wire(nodes=True)
    assert (wire["pool"], wire["levels"], wire["nodesLeftOut"]) == ("h800", ["spine", "leaf", "node"], 0)
    by_name = {domain["domain"]: domain for domain in wire["domains"]}
    assert by_name["s2/lc"] == {
        "level": "leaf",
        "domain": "s2/lc",
        "nodes": 2,
        "devices": {"total": 16, "free": 12, "used": 4, "unavailable": 0},
        "takenBy": {"team/fine-tune": 4},
    }
    assert by_name["b2"]["state"] == "cordoned"
    assert [domain["domain"] for domain in tree.wire(nodes=False)["domains"]][-1] == "s2/ld"


def test_nodes_that_miss_a_level_are_told() -> None:
    """They are in no domain, so the tree would hide them."""
    mirror = a_mirror()
    mirror.put_node(("", "lost"), a_node("lost", labels={"pool": "h800", "spine": "s1"}))
    lines = drawn(grown(mirror, ()), NARROW, nodes=False, wide=False)
    assert lines[-1] == "1 node left out, for want of a label of some level: kubectl describe apool h800"


def what_becomes_of(*jobs: Json, mirror: Mirror, new: str, screen: Screen = NARROW) -> str:
    """What `plan` says of the job `new` among these."""
    found = Filled(mirror)
    for job in jobs:
        put_job(found, read_job(job))
    obj = next(job for job in jobs if job["metadata"]["name"] == new)
    [planned] = plan.decided(found, [obj], now=1_000_000)
    return "\n".join(plan.lines(planned, 1_000_000, screen))


def test_a_job_that_fits_is_told_where_it_would_run() -> None:
    """Contiguous, by the rule of the operator: the leaf that has room for exactly it."""
    told = what_becomes_of(job_object("new", maxDuration="2h"), mirror=a_mirror(TRAIN, TUNE), new="new")
    assert told == (
        """\
team/new could start now
  asks for          2 replicas of 8 devices, any pool, priority 0, maxDuration
                    2h
  Placed            Contiguous: 2 replicas on 2 nodes over 2 leaves under spine
                    s2 of pool h800
  nodes             c2,d2"""
    )


def test_a_job_that_does_not_fit_is_told_why_and_what_would_help() -> None:
    """The message and the changes that its status would have."""
    new = job_object("new", topology={"level": "leaf", "policy": "Required"})
    told = what_becomes_of(new, mirror=a_mirror(TRAIN, TUNE), new="new")
    assert told == (
        """\
team/new would wait: TopologyBlocked
  asks for          2 replicas of 8 devices, Required leaf, any pool, priority
                    0, no maxDuration
  why               needs 2 free nodes under one leaf; the most free is 1 under
                    leaf s1/lb (of 1); may start at 1970-01-12T13:47Z if running
                    jobs end by their maxDuration, 24h assumed for one that
                    declares none
  position          1 in the queue of its pools
  estimated start   1970-01-12T13:47:00Z (in 20s)
  nearest           topology.policy Preferred: could start now over 2 leaves
  nearest           topology.level spine: could start now under spine s2
  nearest           replicas 1: could start now on node b1
  nearest           devicesPerReplica 4: could start now on node b1"""
    )


def test_a_plan_has_room_on_a_wide_terminal() -> None:
    """The same in fewer lines: of one that starts, and of one that waits."""
    fits = job_object("new", maxDuration="2h")
    assert what_becomes_of(fits, mirror=a_mirror(TRAIN, TUNE), new="new", screen=Screen(160)) == (
        """\
team/new could start now
  asks for          2 replicas of 8 devices, any pool, priority 0, maxDuration 2h
  Placed            Contiguous: 2 replicas on 2 nodes over 2 leaves under spine s2 of pool h800
  nodes             c2,d2"""
    )
    waits = job_object("new", topology={"level": "leaf", "policy": "Required"})
    assert what_becomes_of(waits, mirror=a_mirror(TRAIN, TUNE), new="new", screen=Screen(160)) == (
        """\
team/new would wait: TopologyBlocked
  asks for          2 replicas of 8 devices, Required leaf, any pool, priority 0, no maxDuration
  why               needs 2 free nodes under one leaf; the most free is 1 under leaf s1/lb (of 1); may start at 1970-01-12T13:47Z if running jobs end by their
                    maxDuration, 24h assumed for one that declares none
  position          1 in the queue of its pools
  estimated start   1970-01-12T13:47:00Z (in 20s)
  nearest           topology.policy Preferred: could start now over 2 leaves
  nearest           topology.level spine: could start now under spine s2
  nearest           replicas 1: could start now on node b1
  nearest           devicesPerReplica 4: could start now on node b1"""
    )


def test_a_job_that_waits_already_comes_first_where_it_is_before() -> None:
    """Of jobs that wait, the templates are tried by nobody here, and they are in the queue all the same."""
    old = job_object("old", replicas=3)
    new = job_object("new", replicas=4)
    new["metadata"]["creationTimestamp"] = "2026-11-22T04:00:00Z"
    mirror = a_mirror(TRAIN, TUNE)
    told = what_becomes_of(old, new, mirror=mirror, new="new")
    assert told.startswith("team/new would wait: InsufficientDevices")


def test_what_the_operator_found_refused_stays_refused() -> None:
    """Its dry run has seen what a template alone does not tell."""
    pending = {"reason": "TemplateRefused", "message": "exceeded quota"}
    status = {"state": "Pending", "observedGeneration": 1, "pending": pending}
    mirror = a_mirror(job_object("refused", status=status), job_object("edited", generation=2, status=status))
    suppose(mirror)
    decisions = {d.key.name: d for d in cycle(mirror.snapshot(Mode.ACTIVE), 0).decisions}
    assert (decisions["refused"].verb, decisions["edited"].verb) == (Verb.REPORT, Verb.ADMIT)


MISTAKES = {
    "no YAML": ("a: [", "job.yaml: is not YAML: "),
    "no object": ("- 1", "job.yaml: '[1]' is no object; write a manifest with apiVersion, kind and spec"),
    "no job": ("kind: Pod", "job.yaml: has no TrainingJob (berth.dev/v1alpha1), and only such can be planned"),
    "nothing": ("", "job.yaml: has no TrainingJob"),
    "another version": (
        "{kind: TrainingJob, apiVersion: berth.dev/v9}",
        "job.yaml: apiVersion: 'berth.dev/v9': must be berth.dev/v1alpha1",
    ),
    "no name": (
        "{kind: TrainingJob, apiVersion: berth.dev/v1alpha1, metadata: {}}",
        "job.yaml: metadata.name: is missing; give the job a name",
    ),
    "another namespace": (
        "{kind: TrainingJob, apiVersion: berth.dev/v1alpha1, metadata: {name: x, namespace: a}}",
        "job.yaml: x: metadata.namespace: 'a': is not the namespace 'b' of -n; leave one of the two out",
    ),
}


@pytest.mark.parametrize(("text", "error"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_file_that_cannot_be_planned_says_what_is_wrong(text: str, error: str) -> None:
    """File, field, value and remedy, before anybody is asked."""
    with pytest.raises(CommandError) as refused:
        plan.read("job.yaml", text, "b")
    assert str(refused.value).startswith(error)


def test_a_file_may_hold_lists_and_other_kinds() -> None:
    """All jobs of it are planned, in their order; of the namespace of -n where they name none."""
    job = "{kind: TrainingJob, apiVersion: berth.dev/v1alpha1, metadata: {name: %s}}"
    text = f"kind: Namespace\n---\n{job % 'a'}\n---\n{{kind: List, items: [{job % 'b'}]}}\n---\n"
    assert [found["metadata"] for found in plan.read("f", text, "team")] == [
        {"name": "a", "namespace": "team"},
        {"name": "b", "namespace": "team"},
    ]


class Locked(SmallCluster):
    """Refuses lists of some kinds."""

    def __init__(self, *plurals: str) -> None:
        super().__init__()
        for plural in plurals:
            message = f'{plural} is forbidden: User "ann" cannot list resource "{plural}" at the cluster scope'
            self.fail(f"list {plural}", refusal(403, "Forbidden", message))


async def _fill(client: ApiClient) -> str:
    with pytest.raises(CommandError) as refused:
        await filled(client)
    return str(refused.value)


async def test_every_right_that_is_missing_is_told_at_once() -> None:
    """One by one, a user would ask for roles six times."""
    told = await _fill(Locked("nodes", "priorityclasses"))
    assert 'cannot list resource "nodes"' in told
    assert 'cannot list resource "priorityclasses"' in told
    assert "acceleratorpools" not in told


async def test_objects_that_cannot_be_read_are_told_and_left_out() -> None:
    """One odd job hides no other."""
    cluster = SmallCluster()
    cluster.put("trainingjobs", _listed(job_object("good")))
    cluster.put("trainingjobs", _listed(job_object("odd", replicas=0)))
    found = await filled(cluster)
    assert [key.name for key in found.mirror.jobs] == ["good"]
    [note] = found.notes
    assert note.startswith("TrainingJob team/odd is left out, this version of berth cannot read it: ")


def _listed(obj: dict[str, Any]) -> Json:
    return {key: value for key, value in obj.items() if key not in ("apiVersion", "kind")}
