"""Berth's own kinds in the mirror: first list, events, audits."""

import asyncio
import logging
import sys
from typing import Any

import pytest

from berth.accel.catalogue import Catalogue
from berth.act.pods import Replicas
from berth.act.templates import TemplateError
from berth.app import own_kinds
from berth.app.own_kinds import OwnKinds
from berth.cluster.mirror import Mirror
from berth.core.model import JobKey
from berth.kube import nesting
from tests.unit.small_cluster import SmallCluster, refusal
from tests.unit.wire_objects import Json, a_template, job_object, placed, status_of

KEY = JobKey("team", "train")
CATALOGUE = Catalogue.load()


def pool_object(name: str = "h800", **spec: Any) -> Json:
    metadata = {"name": name, "generation": 1, "creationTimestamp": "2026-11-22T03:00:00Z"}
    return {
        "metadata": metadata,
        "spec": {"profile": "nvidia-h800", "nodeSelector": {"matchLabels": {"pool": name}}, **spec},
    }


def listed(obj: Json) -> Json:
    """An object of a list lacks the two fields that its list has."""
    return {key: value for key, value in obj.items() if key not in ("apiVersion", "kind")}


def nested(levels: int) -> Json:
    """So many objects inside each other."""
    found: Json = {}
    for _ in range(levels):
        found = {"x": found}
    return found


class Ground:
    """A small cluster and what of its own kinds the mirror has."""

    def __init__(self) -> None:
        self.cluster = SmallCluster()
        self.mirror = Mirror()
        self.kinds = OwnKinds(client=self.cluster, mirror=self.mirror, catalogue=CATALOGUE)

    def a_job(self, name: str = "train", **facts: Any) -> Json:
        return self.cluster.put("trainingjobs", listed(job_object(name, **facts)))

    def a_pool(self, name: str = "h800", **spec: Any) -> Json:
        return self.cluster.put("acceleratorpools", pool_object(name, **spec))


async def test_the_first_list_fills_the_mirror_before_the_first_cycle() -> None:
    """Pools first: a job's placement is counted in the words of its pool."""
    ground = Ground()
    ground.a_job()
    ground.a_pool()
    await ground.kinds.first_list()
    assert list(ground.mirror.jobs) == [KEY]
    assert ground.mirror.pools.resource("h800") == "nvidia.com/gpu"
    assert [call.split()[1] for call in ground.cluster.calls] == ["acceleratorpools", "trainingjobs"]


async def test_what_arrives_twice_and_late_does_no_harm() -> None:
    """The first list, kopf's own, and its events overlap."""
    ground = Ground()
    old = ground.a_job()
    ground.kinds.job(old, False)
    new = ground.cluster.put(
        "trainingjobs", {**old, "spec": {**old["spec"], "replicas": 1}, "metadata": {**old["metadata"]}}
    )
    for event in (new, old, new):
        ground.kinds.job(event, False)
    assert ground.mirror.jobs[KEY].manifest.spec.replicas == 1
    ground.kinds.job(new, True)
    ground.kinds.job(new, True)
    ground.kinds.job(new, False)
    assert ground.mirror.jobs == {}


async def test_what_is_known_already_is_not_read_again(caplog: pytest.LogCaptureFixture) -> None:
    """kopf tells all over again what the first list has told; reading is what costs. A newer state is read."""
    ground = Ground()
    told = ground.a_job()
    await ground.kinds.first_list()
    with caplog.at_level(logging.ERROR):
        ground.kinds.job({**told, "spec": "unreadable, if anybody read it"}, False)
        assert caplog.records == []
        newer = {**told["metadata"], "resourceVersion": str(int(told["metadata"]["resourceVersion"]) + 1)}
        ground.kinds.job({**told, "metadata": newer, "spec": "unreadable"}, False)
        again = {**told["metadata"], "uid": "another"}
        ground.kinds.job({**told, "metadata": again, "spec": "unreadable"}, False)
    assert [record.message for record in caplog.records] == ["unreadable TrainingJob"] * 2


@pytest.mark.parametrize("how", ["spec", "status"])
async def test_a_job_that_cannot_be_read_is_told_and_left_alone(how: str, caplog: pytest.LogCaptureFixture) -> None:
    """A field of a newer version, or a status that somebody edited by hand: the others are taken in."""
    ground = Ground()
    if how == "spec":
        ground.a_job("a-broken", newField=1)
    else:
        status = status_of(placed("n1", "n2"))
        status["placement"]["nodes"] = "n[1"
        ground.a_job("a-broken", status=status)
    ground.a_job()
    with caplog.at_level(logging.ERROR):
        await ground.kinds.first_list()
    assert list(ground.mirror.jobs) == [KEY]
    assert [record.message for record in caplog.records] == ["unreadable TrainingJob"]
    assert caplog.records[0].__dict__["job"] == "team/a-broken"


async def test_a_job_that_is_nested_as_deep_as_the_server_takes_it_hides_no_other() -> None:
    """Its template is judged later, and refused; here it must not keep the page that it is on from being read."""
    usual = sys.getrecursionlimit()
    nesting.allow()
    try:
        ground = Ground()
        ground.a_job("deep", template=a_template({"name": "trainer", "livenessProbe": nested(nesting.LEVELS - 20)}))
        ground.a_job()
        await ground.kinds.first_list()
        assert {key.name for key in ground.mirror.jobs} == {"deep", "train"}
        with pytest.raises(TemplateError, match="no pod can be made of it"):
            Replicas(ground.mirror.jobs[JobKey("team", "deep")].manifest, 1, "nvidia.com/gpu")
    finally:
        sys.setrecursionlimit(usual)


async def test_a_pool_that_cannot_be_read_is_told_and_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    """As with jobs."""
    ground = Ground()
    ground.a_pool("a-broken", newField=1)
    ground.a_pool()
    with caplog.at_level(logging.ERROR):
        await ground.kinds.first_list()
    assert [m.facts.name for m in ground.mirror.pools.members()] == ["h800"]
    assert [record.message for record in caplog.records] == ["unreadable AcceleratorPool"]


async def test_a_pool_comes_changes_and_goes() -> None:
    """By events alone."""
    ground = Ground()
    made = ground.a_pool()
    ground.kinds.pool(made, False)
    changed = ground.a_pool(profile="nvidia-h8000")
    changed["metadata"] |= {"uid": made["metadata"]["uid"]}
    ground.kinds.pool(changed, False)
    known = ground.mirror.pools.facts("h800")
    assert known is not None
    assert known.problem is not None
    ground.kinds.pool({**changed, "metadata": {**changed["metadata"], "uid": "another"}}, True)
    assert ground.mirror.pools.facts("h800") is not None
    ground.kinds.pool(changed, True)
    assert ground.mirror.pools.facts("h800") is None


async def test_an_audit_finds_what_went_without_an_event() -> None:
    """After a lost watch nobody tells; a ghost would hold its devices for ever."""
    ground = Ground()
    for name in ("train", "other"):
        ground.a_job(name)
    for name in ("h800", "h900"):
        ground.a_pool(name)
    await ground.kinds.first_list()
    del ground.cluster.objects["trainingjobs", "team", "train"]
    del ground.cluster.objects["acceleratorpools", "", "h900"]
    assert await ground.kinds.audit() == 2
    assert ([JobKey("team", "other")], 2) == (list(ground.mirror.jobs), ground.mirror.ghosts)
    assert [m.facts.name for m in ground.mirror.pools.members()] == ["h800"]
    assert await ground.kinds.audit() == 0
    assert ground.mirror.ghosts == 2


async def test_an_audit_asks_for_names_only() -> None:
    """Ten thousand statuses would be a gigabyte."""
    ground = Ground()
    ground.a_job()
    await ground.kinds.audit()
    assert len(ground.cluster.requests) == 2
    assert all("PartialObjectMetadataList" in request.headers["Accept"] for request in ground.cluster.requests)


async def test_an_audit_does_not_evict_what_is_made_meanwhile() -> None:
    """Its event may be quicker than the list, on which it is not yet."""
    ground = Ground()

    def made() -> None:
        new = listed(job_object("new", version=10**6))
        ground.kinds.job(new, False)
        pool = pool_object("new")
        pool["metadata"] |= {"uid": "new", "resourceVersion": str(10**6)}
        ground.kinds.pool(pool, False)

    ground.cluster.before("list trainingjobs", made)
    assert await ground.kinds.audit() == 0
    assert ([JobKey("team", "new")], ["new"]) == (
        list(ground.mirror.jobs),
        [m.facts.name for m in ground.mirror.pools.members()],
    )


async def test_an_audit_does_not_evict_what_is_made_anew_meanwhile() -> None:
    """The old one is gone, the new one of that name is not."""
    ground = Ground()
    ground.a_job()
    ground.a_pool()
    await ground.kinds.first_list()

    def anew() -> None:
        del ground.cluster.objects["trainingjobs", "team", "train"]
        ground.kinds.job(listed(job_object(uid="second", version=10**6)), False)
        pool = pool_object()
        pool["metadata"] |= {"uid": "second", "resourceVersion": str(10**6)}
        ground.kinds.pool(pool, False)

    ground.cluster.before("list trainingjobs", anew)
    assert await ground.kinds.audit() == 0
    assert ground.mirror.jobs[KEY].uid == "second"
    known = ground.mirror.pools.facts("h800")
    assert known is not None
    assert known.uid == "second"


async def test_what_goes_by_an_event_during_an_audit_is_no_ghost() -> None:
    """The figure says how often events were lost; it must not count those that came."""
    ground = Ground()
    job, pool = ground.a_job(), ground.a_pool()
    await ground.kinds.first_list()

    def goes() -> None:
        ground.cluster.objects.clear()
        ground.kinds.job(job, True)
        ground.kinds.pool(pool, True)

    ground.cluster.before("list trainingjobs", goes)
    assert await ground.kinds.audit() == 0
    assert ground.mirror.jobs == {}


async def test_an_event_that_stood_in_a_queue_does_not_bring_a_ghost_back() -> None:
    """The audit has found it gone; the last events of its life come after that."""
    ground = Ground()
    job = ground.a_job()
    await ground.kinds.first_list()
    ground.cluster.objects.clear()
    await ground.kinds.audit()
    ground.kinds.job({**job, "metadata": {**job["metadata"], "resourceVersion": "999"}}, False)
    assert ground.mirror.jobs == {}


@pytest.mark.looptime
async def test_audits_go_on_though_one_could_not_be_made(caplog: pytest.LogCaptureFixture) -> None:
    """The first is soon after the start: kopf's own list comes after ours, and what goes in between nobody tells."""
    ground = Ground()
    ground.a_job()
    await ground.kinds.first_list()
    ground.cluster.objects.clear()
    ground.cluster.fail("list trainingjobs", refusal(503, "ServiceUnavailable"))
    task = asyncio.create_task(ground.kinds.run_audits(lambda: 300.0))
    with caplog.at_level(logging.WARNING):
        await asyncio.sleep(11)
    assert list(ground.mirror.jobs) == [KEY]
    assert "audit put off" in caplog.messages
    await asyncio.sleep(300)
    assert ground.mirror.jobs == {}
    task.cancel()


async def test_kopf_that_comes_to_no_end_once_it_watches_no_more_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """One watch has failed, another waits for a login that nobody answers: that is an end, too."""
    monkeypatch.setattr(own_kinds, "_LOOK", 0.01)
    monkeypatch.setattr(own_kinds, "_LAST_WORDS", 0.05)
    running = asyncio.create_task(asyncio.sleep(60))
    watching = asyncio.create_task(asyncio.sleep(0.1), name="multidimensional multitasker")
    with pytest.raises(RuntimeError, match="come to no end"):
        await own_kinds._ended(running)
    assert watching.done()


async def test_kopf_is_waited_for_while_it_watches_and_what_it_raises_is_passed_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However long that takes."""
    monkeypatch.setattr(own_kinds, "_LOOK", 0.01)
    monkeypatch.setattr(own_kinds, "_LAST_WORDS", 0.05)

    async def fail() -> None:
        await asyncio.sleep(0.3)
        raise ValueError("a watch was refused")

    watching = asyncio.create_task(asyncio.sleep(60), name="multidimensional multitasker")
    with pytest.raises(ValueError, match="a watch was refused"):
        await own_kinds._ended(asyncio.create_task(fail()))
    watching.cancel()
