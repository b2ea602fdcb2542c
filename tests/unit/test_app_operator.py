"""The parts put together: what health is judged by, what ends the operator, and what a start waits for."""

import asyncio
import time

import pytest

from berth.accel.catalogue import Catalogue
from berth.act.actuator import Actuator
from berth.app.feeds import reflectors
from berth.app.loop import Bell, Loop
from berth.app.metrics.watches import LeaseState, WatchCounts
from berth.app.operator import STUCK_SECONDS, StartError, _filled, _Parts, _state_of
from berth.app.own_kinds import KopfThread, OwnKinds
from berth.app.settings import Settings
from berth.app.tasks import background, first
from berth.cluster.mirror import Mirror
from berth.core.model import JobKey
from berth.kube.events import EventRecorder
from berth.kube.lease import Lease
from tests.unit.small_cluster import SmallCluster, refusal
from tests.unit.wire_objects import job_object


class Ground:
    """All parts; none is running."""

    def __init__(self) -> None:
        self.cluster = SmallCluster()
        self.mirror = Mirror()
        self.kinds = OwnKinds(client=self.cluster, mirror=self.mirror, catalogue=Catalogue({}, {}))
        self.reflectors = reflectors(self.cluster, self.mirror)
        self.parts = _Parts(self.reflectors, KopfThread(self.cluster.connection, self.kinds))

    def a_loop(self) -> Loop:
        recorder = EventRecorder(self.cluster, controller="berth.dev/operator", instance="test")
        actuator = Actuator(client=self.cluster, mirror=self.mirror, recorder=recorder)
        bell = Bell(quiet=0, most=1)
        return Loop(mirror=self.mirror, actuator=actuator, bell=bell, settings=Settings())


async def test_an_operator_is_ready_when_its_mirror_is_complete_and_a_cycle_has_run() -> None:
    """Until then it says what it waits for."""
    ground = Ground()
    assert ground.parts.ready() == [], "one that stands by is ready to take over"
    assert ground.parts.leads() == ["standing by: another operator holds the Lease"]
    ground.parts.leading = True
    assert ground.parts.leads() == []
    waiting = ground.parts.ready()
    assert waiting[0] == "nodes not listed yet"
    assert waiting[-1] == "no cycle has run yet"
    assert len(waiting) == 5
    for reflector in ground.reflectors:
        reflector.synced.set()
    ground.parts.loop = ground.a_loop()
    assert ground.parts.ready() == ["no cycle has run yet"]
    ground.parts.loop.last.cycles = 1
    assert ground.parts.ready() == []


async def test_an_operator_that_is_still_filling_its_mirror_is_healthy() -> None:
    """A restart would not help it; the API server may be away."""
    assert Ground().parts.healthy() == []


async def test_an_operator_without_a_cycle_for_long_is_stuck() -> None:
    """One that has only just begun is not."""
    ground = Ground()
    ground.parts.loop = ground.a_loop()
    assert [text for text in ground.parts.healthy() if "cycle" in text] == []
    ground.parts.loop.last.ended = time.monotonic() - STUCK_SECONDS - 1
    assert "no cycle for 90 s" in ground.parts.healthy()


async def test_an_operator_whose_watch_of_its_own_kinds_has_ended_is_unhealthy() -> None:
    """It would never hear of a new job."""
    ground = Ground()
    ground.parts.loop = ground.a_loop()
    assert any("the watch of Berth's own kinds has ended" in text for text in ground.parts.healthy())


async def test_the_mirror_is_full_once_all_kinds_are_listed() -> None:
    """Pods before jobs: a placement whose pods are there already is not completed a second time."""
    ground = Ground()
    ground.cluster.put("trainingjobs", job_object())
    task = asyncio.create_task(_filled(ground.kinds, ground.reflectors))
    await asyncio.sleep(0.01)
    assert (ground.cluster.calls, ground.mirror.jobs) == ([], {})
    for reflector in ground.reflectors:
        reflector.synced.set()
    await task
    assert list(ground.mirror.jobs) == [JobKey("team", "train")]


@pytest.mark.looptime
async def test_a_start_waits_for_an_api_server_that_is_away() -> None:
    """It comes back, or somebody stops the operator."""
    ground = Ground()
    for reflector in ground.reflectors:
        reflector.synced.set()
    ground.cluster.fail("list", refusal(503, "ServiceUnavailable"), times=3)
    await _filled(ground.kinds, ground.reflectors)
    assert asyncio.get_running_loop().time() == pytest.approx(3.0)


async def test_a_start_without_the_crds_says_what_to_do() -> None:
    """Trying again would not help."""
    ground = Ground()
    for reflector in ground.reflectors:
        reflector.synced.set()
    ground.cluster.fail("list", refusal(404, "NotFound", "the server could not find the requested resource"))
    with pytest.raises(StartError, match=r"Berth's CRDs are not installed \(.*\); kubectl apply -f crds/"):
        await _filled(ground.kinds, ground.reflectors)


async def _ends(error: BaseException | None = None) -> None:
    await asyncio.sleep(0)
    if error is not None:
        raise error


@pytest.mark.parametrize("error", [RuntimeError("a bug"), None])
async def test_a_part_that_ends_ends_the_operator(error: BaseException | None) -> None:
    """With its error, if there is one; a part that just returned is one too few all the same."""
    async with background(_never_ends(), _ends(error)) as ended:
        if error is None:
            await asyncio.wait_for(first(asyncio.Event().wait(), ended), 1)
        else:
            with pytest.raises(RuntimeError, match="a bug"):
                await asyncio.wait_for(first(asyncio.Event().wait(), ended), 1)


async def _never_ends() -> None:
    await asyncio.Event().wait()


async def test_a_stop_ends_all_parts() -> None:
    """What runs beside is cancelled, and waited for."""
    ended: list[str] = []

    async def part(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    stop = asyncio.Event()
    async with background(part("a"), part("b")) as broken:
        stop.set()
        await first(stop.wait(), broken)
    assert ended == ["a", "b"]


def test_every_kind_that_is_watched_is_told_to_the_metrics() -> None:
    """Those of the reflectors under their names, and Berth's own, of which kopf does not tell when it was heard."""
    ground = Ground()
    ground.parts.kopf.events["trainingjobs"] = 3
    ground.parts.kopf.restarts = 1
    told = {watch.kind: watch for watch in ground.parts.watches()}
    assert set(told) == {
        "nodes",
        "own-pods",
        "foreign-pods",
        "priorityclasses",
        "trainingjobs",
        "acceleratorpools",
    }
    assert told["trainingjobs"] == WatchCounts("trainingjobs", events=3, restarts=1)
    assert told["nodes"].lists == 0
    assert (told["nodes"].silent or 0) >= 0


async def test_a_lease_that_is_not_certainly_held_tells_no_term() -> None:
    """To the metrics: another may have taken it by now."""
    cluster = SmallCluster()
    lease = Lease(cluster, namespace="kube-system", name="berth", identity="me", monotonic=lambda: 0.0)
    assert _state_of(lease) == LeaseState()
