"""Who goes first, who may pass, and what the others are told."""

import pytest

from e2e.faults.calls import own_writes
from e2e.faults.proxy import FaultProxy
from e2e.running import OperatorProcess
from tests.integration.scene import GPU, QUICK, Scene

pytestmark = pytest.mark.cluster
pytest_plugins = ("tests.integration.operating",)


def test_higher_priority_goes_first_then_earlier_submission(scene: Scene) -> None:
    """When devices become free, the job of the higher class starts though it was submitted later."""
    scene.cluster([2])
    scene.add_class(f"{scene.pool}-high", 1000)
    scene.submit("running", replicas=2)
    scene.wait("running", "Running")
    scene.submit("early", replicas=2)
    scene.wait_pending("early", "InsufficientDevices")
    scene.submit("urgent", replicas=2, priorityClassName=f"{scene.pool}-high")
    scene.wait_pending("urgent", "InsufficientDevices")
    assert scene.status("urgent")["priority"] == 1000

    scene.edit("running", suspend=True)

    scene.wait("urgent", "Running")
    assert scene.wait_pending("early", "InsufficientDevices")["message"].startswith(
        f"needs 2 nodes; 0 of 2 are free in pool {scene.pool} (2 of 2 nodes: 0 of 8 {GPU} free); "
        f"2 more come free when {scene.namespace}/urgent ends, which declares no maxDuration; may start at "
    )
    scene.edit("urgent", suspend=True)
    scene.wait("early", "Running")


def test_a_job_of_an_unknown_class_waits_until_the_class_is_there(scene: Scene) -> None:
    """The job names the class that is missing; it starts, with the class's value, as soon as somebody creates it."""
    scene.cluster([1])
    name = f"{scene.pool}-late"
    scene.submit("train", priorityClassName=name)
    assert scene.wait_pending("train", "UnknownPriorityClass")["message"] == (
        f"spec.priorityClassName: there is no PriorityClass {name}; create it, or name one that exists"
    )

    scene.add_class(name, 7)

    assert scene.wait("train", "Running")["priority"] == 7


def test_a_smaller_job_passes_one_that_does_not_fit(scene: Scene) -> None:
    """A gang that waits for room keeps nobody waiting who fits beside it."""
    scene.cluster([3])
    scene.submit("running", replicas=2)
    scene.wait("running", "Running")
    scene.submit("large", replicas=2)
    scene.wait_pending("large", "InsufficientDevices")

    scene.submit("small", replicas=1)

    scene.wait("small", "Running")
    assert scene.status("large")["state"] == "Pending"


def test_a_required_level_blocks_and_preferred_would_start_at_once(scene: Scene) -> None:
    """One node is free in each leaf; the pair is told so, and starts when its policy becomes Preferred."""
    scene.cluster([2, 2])
    scene.foreign_pod("left", scene.nodes[0], 8)
    scene.foreign_pod("right", scene.nodes[2], 8)
    scene.submit("pair", replicas=2, topology={"level": "leaf"})

    pending = scene.wait_pending(
        "pair",
        "TopologyBlocked",
        says="needs 2 free nodes under one leaf; the most free is 1 under spine-1/leaf-11 (of 2)",
    )

    assert pending["nearest"] == [
        "topology.policy Preferred: could start now over 2 leaves",
        "topology.level spine: could start now under spine-1",
        "replicas 1: could start now on node " + scene.nodes[1],
        "devicesPerReplica 4: could start now on node " + scene.nodes[1],
    ]
    scene.edit("pair", topology={"level": "leaf", "policy": "Preferred"})
    scene.wait("pair", "Running")
    assert scene.condition("pair", "Placed") == (
        "True",
        "Scattered",
        f"2 replicas on 2 nodes over 2 leaves under spine-1 of pool {scene.pool}",
    )


def test_the_first_listed_pool_that_has_room_is_taken(scene: Scene) -> None:
    """A job names two pools in order of preference: it goes to the second only while the first is full."""
    scene.cluster([2])
    second = f"{scene.pool}-second"
    scene.add_pool(second, nodeSelector={"matchLabels": {"scene": second}})
    scene.label(scene.cluster([2], pool=False), second)
    both = [second, scene.pool]
    scene.submit("one", replicas=2, pools=both)
    scene.wait("one", "Running")
    scene.submit("two", replicas=2, pools=both)
    scene.wait("two", "Running")

    assert [scene.status(name)["pool"] for name in ("one", "two")] == both
    scene.submit("three", replicas=2, pools=both)
    message = scene.wait_pending("three", "InsufficientDevices")["message"]
    for pool in both:
        assert f"needs 2 nodes; 0 of 2 are free in pool {pool} (2 of 2 nodes: 0 of 8 {GPU} free)" in message


def test_an_observer_writes_no_pod_and_says_what_it_would_do(
    scene: Scene, operator: OperatorProcess, proxy: FaultProxy
) -> None:
    """Mode Observe decides and reports; switched to Active, the same job starts."""
    operator.stop()
    operator.configure({**QUICK, "mode": "Observe"})
    try:
        operator.start()
        scene.cluster([2])
        proxy.forget()
        scene.submit("train", replicas=2)

        pending = scene.wait_pending("train", "Observing")

        assert pending["message"] == (
            f"would start now: 2 replicas on 2 nodes under spine-1/leaf-11 of pool {scene.pool}; "
            "Berth only observes (mode Observe)"
        )
        scene.submit("too-large", replicas=3)
        scene.wait_pending("too-large", "TooLarge")
        assert {str(write.call) for write in proxy.all_writes(own_writes)} == {
            f"apply trainingjobs/status {scene.namespace}/{name}" for name in ("train", "too-large")
        }
        assert scene.pods() == {}
    finally:
        operator.stop()
        operator.configure(QUICK)
        operator.start()
    scene.wait("train", "Running")
