"""The API server refuses, then is away for a minute, while jobs come and go: nothing is lost, work goes on at once."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from e2e.faults.calls import calls, own_writes
from e2e.faults.proxy import FaultProxy
from e2e.ground.waiting import until
from e2e.running import OperatorProcess
from tests.integration.scene import Scene

pytestmark = pytest.mark.cluster
pytest_plugins = ("tests.integration.operating",)

AWAY_S = 60.0
RESUMED_S = 5.0
GANGS = 24


def submit_slowly(scene: Scene, seconds: float) -> None:
    """Gangs of four nodes, evenly over a time; three at a time have room."""
    for number in range(GANGS):
        scene.submit(f"gang-{number:02}", replicas=4, sim={"run": 1})
        time.sleep(seconds / GANGS)


@pytest.mark.timeout(300)
def test_a_minute_without_the_api_server_under_load_loses_nothing(
    scene: Scene,
    operator: OperatorProcess,
    proxy: FaultProxy,
    record_property: Callable[[str, object], None],
) -> None:
    """For 8 s every other answer is 429 or 503, then every connection breaks for a minute; users go on all the time.

    Within 5 s of its return the first write goes through; in the end every gang has run once, on devices of its own.
    """
    scene.cluster([4, 4], [4])
    everything = calls()
    with ThreadPoolExecutor(1) as threads:
        users = threads.submit(submit_slowly, scene, 60.0)
        until(scene.pods, "the first pods", timeout_s=15)
        with (
            proxy.refuse(calls(write=True), status=429, retry_after=1),
            proxy.refuse(calls(verb={"get", "list", "watch"}), status=503),
        ):
            proxy.cut(everything)
            time.sleep(8)
        with proxy.refuse(everything, status=0):
            proxy.cut(everything)
            time.sleep(AWAY_S)
            proxy.forget()
            assert proxy.writes(own_writes) == []
        back = time.monotonic()
        until(
            lambda: any(write.code < 300 for write in proxy.writes(own_writes)),
            "a write to go through",
            timeout_s=3 * RESUMED_S,
        )
        resumed = time.monotonic() - back
        users.result()
    until(
        lambda: all(job.get("status", {}).get("state") == "Succeeded" for job in scene.jobs().values()),
        "all gangs to succeed",
        timeout_s=90,
        poll_s=0.5,
    )
    record_property("seconds to the first write after the return", round(resumed, 1))
    assert resumed <= RESUMED_S
    assert len(scene.jobs()) == GANGS
    assert {job["status"]["attempt"] for job in scene.jobs().values()} == {1}
    assert operator.get("/healthz")[0] == 200


def test_watches_that_give_up_one_just_after_the_other_leave_nobody_deaf(scene: Scene, proxy: FaultProxy) -> None:
    """kopf ends over the first; the other then waits for a login that nobody answers any more, for ever if let."""
    scene.cluster([2])
    watched = {"verb": {"list", "watch"}}
    with (
        proxy.refuse(calls(resource="acceleratorpools", **watched), status=503),
        proxy.refuse(calls(resource="trainingjobs", **watched), status=503),
    ):
        proxy.cut(calls(verb="watch", resource="acceleratorpools"))
        time.sleep(0.05)
        proxy.cut(calls(verb="watch", resource="trainingjobs"))
        time.sleep(15)
    scene.submit("train", replicas=2)
    scene.wait("train", "Running", timeout_s=30)
