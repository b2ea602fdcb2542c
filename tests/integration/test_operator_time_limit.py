"""`spec.maxDuration` on a real API server: a job that has held devices for as long as it may is stopped and Failed."""

import pytest

from tests.integration.scene import Scene

pytestmark = pytest.mark.cluster
pytest_plugins = ("tests.integration.operating",)


def test_a_job_that_is_out_of_time_is_stopped_and_failed(scene: Scene) -> None:
    """Its pods go, its devices go to the next, and its status has the numbers; a suspension in between is no reset."""
    scene.cluster([2])
    scene.submit("long", replicas=2, maxDuration="4s")
    scene.wait("long", "Running")
    scene.submit("next", replicas=2)
    scene.edit("long", suspend=True)
    scene.wait("long", "Suspended")
    held = scene.wait_for("long", lambda status: "placement" not in status, "to have let go").get("heldSeconds", 0)
    scene.wait("next", "Running")
    scene.edit("long", suspend=False)
    scene.edit("next", suspend=True)

    status = scene.wait("long", "Failed")

    limit, reason, message = scene.condition("long", "Finished")
    assert (limit, reason) == ("True", "MaxDurationExceeded")
    assert message == f"held devices for {status['heldSeconds']}s over 2 attempts, spec.maxDuration is 4s"
    assert max(4, held) <= status["heldSeconds"] <= 8
    assert status["attempts"][-1]["cause"] == "TimeLimit"
    assert status.get("failures", 0) == 0
