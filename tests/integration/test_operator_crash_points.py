"""Crash points, counted, not chosen: the operator dies before and after every write of a job's life.

A life is lived once without a crash. Then, for write 1, 2, 3, …, it is lived with the operator killed before that write
reaches the API server, and once more with it killed after the API server has done it and before the operator hears;
until a life ends before its write comes. Every one must end like the first. `make crash` does it with 64 replicas
(`CRASH_REPLICAS`), which takes an hour and a half; the tests do it with fewer, as the kinds of writes are the same.

Not counted are renewals of the Lease, events and the statuses of pools: they come by the clock, and nothing is decided
by them.
"""

import os
import sys

import pytest

from e2e.faults.calls import Call
from e2e.faults.proxy import FaultProxy
from e2e.faults.rules import Moment
from e2e.running import OperatorProcess
from tests.integration.crash_life import Life, reviver
from tests.integration.scene import Scene

pytestmark = pytest.mark.cluster
pytest_plugins = ("tests.integration.operating",)

REPLICAS = int(os.environ.get("CRASH_REPLICAS", "3"))
_BY_THE_CLOCK = ("leases", "events", "acceleratorpools")


def deciding(call: Call) -> bool:
    """Writes by which a job moves on."""
    return call.write and call.resource not in _BY_THE_CLOCK


@pytest.mark.timeout(3 * 3600)
@pytest.mark.parametrize("moment", Moment)
def test_a_life_ends_the_same_whichever_write_the_operator_dies_at(
    moment: Moment, scene: Scene, operator: OperatorProcess, proxy: FaultProxy, capfd: pytest.CaptureFixture[str]
) -> None:
    """All points before, and all points after a write; their number is printed."""

    def tell(text: str) -> None:
        with capfd.disabled():  # it takes long, and is the result
            sys.stderr.write(f"{text}\n")

    half = REPLICAS // 2 + 2
    scene.cluster([half, half])
    revive = reviver(operator)
    proxy.forget()
    expected = Life(scene, "whole", REPLICAS).live(revive)
    writes = [write for write in proxy.all_writes(deciding) if write.code < 400]
    scene.delete("whole")
    scene.wait_gone("whole")
    assert (expected.state, expected.attempts, expected.twice) == ("Succeeded", ((1, "NodeFailure"),), ())
    assert expected.kept == REPLICAS - 1

    different: dict[str, object] = {}
    points = 0
    while True:
        name = f"{moment.name.lower()}-{points + 1}"
        with proxy.crash(operator, on=deciding, nth=points + 1, moment=moment) as crash:
            end = Life(scene, name, REPLICAS).live(revive)
            fired = crash.fired
        if end != expected:
            different[f"{moment.value}: write {points + 1}, {crash.call}"] = end
            tell(f"another end: {end}")
        scene.delete(name)
        scene.wait_gone(name)
        if not fired:
            break
        points += 1
        tell(f"{points} crash points {moment.name}, {len(different)} with another end: {crash.call}")
    assert different == {}, f"expected {expected}"
    assert points > 2 * REPLICAS, "every creation of both attempts"
    tell(f"{points} crash points {moment.name} of {len(writes)} writes of {REPLICAS} replicas: all end alike")
