"""Repair where devices are chosen by id, where ranks form groups, and where a pool keeps spares."""

from dataclasses import replace

import pytest

from berth.core.admission import Pool
from berth.core.layout import UNKNOWN, mask_of
from berth.core.model import Cause, Gang, Groups, Job, NodeTrouble, Phase, Trouble
from berth.core.numbering import Numbering
from berth.core.repair import mend
from berth.core.slots import Ledger
from berth.core.spares import Keeper, Spares
from berth.core.topology import Tree
from tests.builders import GPU, a_gang, a_job, a_pod, by_name, drawn, node
from tests.properties.laying import LAYOUTS

NPU = "huawei.com/Ascend910"
NOW = 1_000
LOW, HIGH = mask_of(range(4)), mask_of(range(4, 8))


def damaged(gang: Gang, *sat: str, bad: str, resource: str = GPU, devices: tuple[int, ...] = ()) -> Job:
    """A job whose attempt lost one node, and whose pods are all gone."""
    claims = {name: ((resource, gang.devices * sat.count(name)), ("pods", sat.count(name))) for name in sat}
    builder = a_job("train", gang).placed(*sat, at=100, created=True)
    job = builder.ending(Cause.NODE_FAILURE, "node lost", NOW - 10).but(claims=claims).built
    assert job.record.placement is not None
    placement = replace(job.record.placement, devices=devices)
    troubles = (NodeTrouble(bad, Trouble.NOT_READY, NOW - 30),)
    return replace(job, record=replace(job.record, placement=placement), troubles=troubles)


def numbered(**held: int) -> Pool:
    """Three nodes of two rings, `bad` not ready; `held` is the mask of what is taken on each."""
    nodes = [node("n0", resource=NPU), node("n1", resource=NPU, ready=False), node("n2", resource=NPU)]
    tree, ordered = Tree.build("h800", (), nodes)
    masks = [held.get(one.name, 0) for one in ordered]
    used = [{NPU: 4 if mask == UNKNOWN else mask.bit_count(), "pods": 2} if mask else {} for mask in masks]
    ledger = Ledger(tree, ordered, [*used], numbering=Numbering(NPU, LAYOUTS["ascend-910a-8"]), held=masks)
    return Pool("h800", NPU, ledger)


PAIR = a_gang(2, 4)


def test_a_mended_gang_gets_devices_that_nobody_has() -> None:
    """Somebody else has a ring of the node that stays, and a ring of the one that is new."""
    job = damaged(PAIR, "n0", "n1", bad="n1", resource=NPU, devices=(HIGH, LOW))
    pool = numbered(n0=LOW | HIGH, n1=LOW, n2=LOW)
    found = mend(job, by_name(pool), NOW)
    assert found is not None
    assert found.placement.nodes == ("n0", "n2")
    assert found.placement.devices == (HIGH, HIGH)
    assert found.pool.ledger.held == [LOW | HIGH, LOW, LOW | HIGH]
    assert pool.ledger.held == [LOW | HIGH, LOW, LOW]


def test_what_was_really_mounted_is_what_is_given_back() -> None:
    """The plugin had mounted the other ring: that one is free for the gang again, the chosen one is somebody's."""
    job = damaged(PAIR, "n0", "n1", bad="n1", resource=NPU, devices=(LOW, LOW))
    pods = (a_pod(0, Phase.FAILED, node="n0", mounted=HIGH),)
    found = mend(replace(job, pods=pods), by_name(numbered(n0=LOW | HIGH, n1=LOW)), NOW)
    assert found is not None
    assert found.placement.devices[0] == HIGH


def test_where_somebody_does_not_say_what_he_has_nothing_is_given() -> None:
    """The gang's own devices of such a node cannot be told from his: it goes to the queue."""
    job = damaged(PAIR, "n0", "n1", bad="n1", resource=NPU, devices=(HIGH, LOW))
    assert mend(job, by_name(numbered(n0=UNKNOWN)), NOW) is None


PICTURE = """
    s0
      l0 0 0x 8
      l1 0 0 8
    """


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        pytest.param(PICTURE, ("n0", "n2", "n3", "n4"), id="the other of the pair is in the same leaf"),
        pytest.param(PICTURE.replace("0 0x 8", "0 0x"), None, id="only another leaf has room: the pair would be torn"),
    ],
)
def test_groups_are_not_torn_by_a_repair(picture: str, expected: tuple[str, ...] | None) -> None:
    """Else the gang is placed anew by the queue."""
    pool = drawn(picture)
    names = [one.name for one in pool.ledger.nodes if pool.ledger.used[pool.ledger.tree.position[one.name]].get(GPU)]
    for name in names:
        pool.ledger.set_used(pool.ledger.tree.position[name], {GPU: 8, "pods": 8})
    gang = replace(a_gang(4), groups=Groups(2, "leaf"))
    found = mend(damaged(gang, *names, bad=names[1]), by_name(pool), NOW)
    assert (found.placement.nodes if found else None) == expected


def test_a_repair_takes_the_spare_and_leaves_the_others_spares() -> None:
    """That is what it is kept for."""
    pool = drawn(PICTURE)
    for number in (0, 1, 3, 4):
        pool.ledger.set_used(pool.ledger.tree.position[f"n{number}"], {GPU: 8, "pods": 8})
    Keeper(Spares("leaf", 1, GPU)).keep(pool.ledger)
    assert [one.name for one in pool.ledger.nodes if one.spare] == ["n2", "n5"]
    found = mend(damaged(a_gang(2), "n0", "n1", bad="n1"), by_name(pool), NOW)
    assert found is not None
    assert found.placement.nodes == ("n0", "n2")
    assert [one.name for one in found.pool.ledger.nodes if one.spare] == ["n2", "n5"]
