"""The operator is killed at exact moments and started again: the same end, nothing made twice, the right attempt."""

import signal
from dataclasses import dataclass

import pytest

from e2e.faults.calls import Match, calls, own_writes
from e2e.faults.proxy import FaultProxy
from e2e.faults.rules import Moment
from e2e.ground.waiting import until
from e2e.running import OperatorProcess
from tests.integration.scene import Scene

pytestmark = pytest.mark.cluster
pytest_plugins = ("tests.integration.operating",)

STATUS = calls(resource="trainingjobs", subresource="status", write=True)
SERVICE = calls(verb="create", resource="services", write=True)
CREATE = calls(verb="create", resource="pods", write=True)
DELETE = calls(verb="delete", resource="pods", write=True)
UNSERVE = calls(verb="delete", resource="services", write=True)
GANG = 4


@dataclass(frozen=True, slots=True)
class Point:
    """Killed at the ``nth`` of these calls."""

    on: Match
    nth: int
    moment: Moment


def at(points: dict[str, Point]) -> pytest.MarkDecorator:
    """One test for each point, named after it."""
    return pytest.mark.parametrize("point", points.values(), ids=points.keys())


def made(proxy: FaultProxy, on: Match) -> int:
    """How many of these writes the API server has done."""
    return sum(write.code in (200, 201, 202) for write in proxy.writes(on))


STARTING = {
    "before the admission is on record": Point(STATUS, 1, Moment.BEFORE),
    "when the admission is on record": Point(STATUS, 1, Moment.AFTER),
    "when the Service is made": Point(SERVICE, 1, Moment.AFTER),
    "when one of four pods is made": Point(CREATE, 1, Moment.AFTER),
    "when three of four pods are made": Point(CREATE, 3, Moment.AFTER),
    "before it is on record that all pods are made": Point(STATUS, 2, Moment.BEFORE),
}


@at(STARTING)
def test_a_start_that_was_broken_off_is_finished(
    scene: Scene, operator: OperatorProcess, proxy: FaultProxy, point: Point
) -> None:
    """Killed while a gang starts: it runs as attempt 1 on the nodes on record, each pod made once and kept."""
    scene.cluster([GANG, GANG])
    crash = proxy.crash(operator, on=point.on, nth=point.nth, moment=point.moment)
    scene.submit("train", replicas=GANG)
    crash.wait(timeout_s=15)
    admitted = scene.placed("train")
    before = {name: pod["metadata"]["uid"] for name, pod in scene.pods("train").items()}

    operator.start()

    status = scene.wait("train", "Running")
    after = {name: pod["metadata"]["uid"] for name, pod in scene.pods("train").items()}
    assert status["attempt"] == 1
    assert status["attempts"] == []
    assert list(after) == [f"train-1-{rank}" for rank in range(GANG)]
    assert before.items() <= after.items()
    assert (made(proxy, CREATE), made(proxy, SERVICE)) == (GANG, 1)
    assert scene.bound("train") == scene.placed("train")
    assert scene.placed("train") == (admitted or scene.placed("train"))


STOPPING = {
    "before the cause is on record": Point(STATUS, 1, Moment.BEFORE),
    "when the cause is on record": Point(STATUS, 1, Moment.AFTER),
    "when two of four pods are deleted": Point(DELETE, 2, Moment.AFTER),
    "before the devices are given back": Point(STATUS, 2, Moment.BEFORE),
    "when the devices are given back": Point(STATUS, 2, Moment.AFTER),
}


@at(STOPPING)
def test_a_stop_that_was_broken_off_is_finished(
    scene: Scene, operator: OperatorProcess, proxy: FaultProxy, point: Point
) -> None:
    """Killed while a suspended gang stops: no pod stays, one attempt is on record, and the next is attempt 2."""
    scene.cluster([GANG])
    scene.submit("train", replicas=GANG)
    scene.wait("train", "Running")
    proxy.forget()
    crash = proxy.crash(operator, on=point.on, nth=point.nth, moment=point.moment)
    scene.edit("train", suspend=True)
    crash.wait(timeout_s=15)

    operator.start()

    status = scene.wait_for("train", lambda s: s.get("state") == "Suspended" and "placement" not in s, "to be stopped")
    assert scene.pods("train") == {}
    assert [(attempt["attempt"], attempt["cause"]) for attempt in status["attempts"]] == [(1, "Suspended")]
    assert made(proxy, DELETE) == GANG
    scene.edit("train", suspend=False)
    assert scene.wait("train", "Running")["attempt"] == 2


ENDING = {
    "before the end is on record": Point(STATUS, 1, Moment.BEFORE),
    "when the end is on record": Point(STATUS, 1, Moment.AFTER),
}


@at(ENDING)
def test_a_success_during_which_the_operator_died_is_a_success(
    scene: Scene, operator: OperatorProcess, proxy: FaultProxy, point: Point
) -> None:
    """All replicas have ended well when it dies: started again it says so and gives the devices back."""
    scene.cluster([2])
    scene.submit("train", replicas=2, sim={"run": 1})
    scene.wait("train", "Running")
    crash = proxy.crash(operator, on=point.on, nth=point.nth, moment=point.moment)
    crash.wait(timeout_s=15)
    scene.submit("next", replicas=2)

    operator.start()

    assert scene.wait("train", "Succeeded")["attempt"] == 1
    scene.wait("next", "Running")
    assert made(proxy, CREATE) == 4


@at(ENDING)
def test_a_failure_is_charged_once_however_often_the_operator_dies(
    scene: Scene, operator: OperatorProcess, proxy: FaultProxy, point: Point
) -> None:
    """A replica fails and the operator dies at the record of it: one failure on record, the right one, and no more."""
    scene.cluster([2])
    scene.submit("train", replicas=2)
    scene.wait("train", "Running")
    crash = proxy.crash(operator, on=point.on, nth=point.nth, moment=point.moment)
    annotations = {"sim.berth.dev/fail-seconds": "0", "sim.berth.dev/exit-code": "9"}
    scene.api.patch(f"{scene.core}/pods/train-1-1", {"metadata": {"annotations": annotations}})
    crash.wait(timeout_s=15)

    operator.start()

    status = scene.wait_for("train", lambda s: "placement" not in s, "to be stopped")
    assert status["failures"] == 1
    (attempt,) = status["attempts"]
    assert (attempt["cause"], attempt["firstFailure"]["replica"], attempt["firstFailure"]["exitCode"]) == (
        "OwnFailure",
        1,
        9,
    )


def test_what_happened_while_the_operator_was_away_is_made_up_for(
    scene: Scene, operator: OperatorProcess, proxy: FaultProxy
) -> None:
    """Away in the middle of a start: one job is suspended, one deleted, one submitted, a node cordoned; all count."""
    scene.cluster([2, 2], [2])
    scene.submit("suspended", replicas=2)
    scene.wait("suspended", "Running")
    crash = proxy.crash(operator, on=CREATE, nth=1, moment=Moment.AFTER)
    scene.submit("deleted", replicas=2)
    crash.wait(timeout_s=15)
    held = scene.placed("deleted")
    scene.edit("suspended", suspend=True)
    scene.delete("deleted")
    scene.submit("submitted", replicas=4)
    scene.api.patch(f"/api/v1/nodes/{held[0]}", {"spec": {"unschedulable": True}})

    operator.start()

    scene.wait_gone("deleted")
    scene.wait_for("suspended", lambda s: "placement" not in s, "to be stopped")
    status = scene.wait("submitted", "Running")
    assert held[0] not in scene.placed("submitted")
    assert status["attempt"] == 1
    assert scene.over_committed() == {}


def test_a_creation_that_arrives_after_its_attempt_is_over_is_undone(
    scene: Scene, operator: OperatorProcess, proxy: FaultProxy
) -> None:
    """A create is still on its way when the operator dies; it lands when attempt 1 is long closed, and is deleted."""
    scene.cluster([2])
    late = proxy.hold(calls(verb="create", resource="pods", write=True))
    scene.submit("train", replicas=2)
    late.wait(timeout_s=15)
    operator.kill()
    scene.edit("train", suspend=True)
    operator.start()
    scene.wait_for("train", lambda s: s.get("state") == "Suspended" and "placement" not in s, "to be stopped")
    assert scene.pods("train") == {}

    late.lift()

    until(lambda: made(proxy, CREATE) == 1, "the late creation to land", timeout_s=10)
    until(lambda: scene.pods("train") == {}, "the late pod to be deleted", timeout_s=10)
    scene.edit("train", suspend=False)
    assert scene.wait("train", "Running")["attempt"] == 2
    assert list(scene.pods("train")) == ["train-2-0", "train-2-1"]


def test_an_operator_that_was_frozen_in_a_write_does_no_harm_when_it_wakes(
    scene: Scene, operator: OperatorProcess, proxy: FaultProxy
) -> None:
    """Frozen while it creates pods, it wakes to find the job suspended: what it still creates is deleted again."""
    scene.cluster([2])
    slow = proxy.hold(calls(verb="create", resource="pods", write=True))
    scene.submit("train", replicas=2)
    slow.wait(timeout_s=15)
    operator.pause()
    scene.edit("train", suspend=True)
    slow.lift()
    until(lambda: made(proxy, CREATE) == 1, "the creation to land", timeout_s=10)

    operator.resume()

    scene.wait_for("train", lambda s: s.get("state") == "Suspended" and "placement" not in s, "to be stopped")
    assert scene.pods("train") == {}


def test_a_stop_in_good_order_finishes_what_was_begun(
    scene: Scene, operator: OperatorProcess, proxy: FaultProxy
) -> None:
    """SIGTERM in the middle of a gang's start: the exit code is 0, and nothing has to be made twice afterwards."""
    scene.cluster([GANG])
    slow = proxy.hold(calls(verb="create", resource="pods", write=True))
    scene.submit("train", replicas=GANG)
    slow.wait(timeout_s=15)

    operator.signal(signal.SIGTERM)
    slow.lift()

    assert operator.wait(20) == 0
    assert len(scene.pods("train")) == GANG
    operator.start()
    assert scene.wait("train", "Running")["attempt"] == 1
    assert made(proxy, CREATE) == GANG
    assert {write.code for write in proxy.writes(own_writes)} == {200, 201}
