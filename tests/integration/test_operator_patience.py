"""Patience: a gang that would sit apart waits for a contiguous place that is near, through a crash, and then has it."""

from typing import Any

import pytest

from e2e.ground import stages
from e2e.running import OperatorProcess
from tests.integration.scene import Scene

pytestmark = pytest.mark.cluster
pytest_plugins = ("tests.integration.operating",)

SAYS = (
    "there is room now, but apart: 67 % of its pairs of replicas would not be under one spine; "
    "room under spine-1 is near, and it waits for that for at most 1h20m"
)


@pytest.fixture
def halves(scene: Scene) -> Scene:
    """Two spines of four nodes with two free each; of those who run, `ending` and no other says when it ends."""
    scene.cluster([4], [4])
    # Each pair takes the fullest spine that holds it, so `ending` and `leaving` share the first.
    lengths: dict[str, dict[str, Any]] = {"ending": {"maxDuration": "1h"}, "leaving": {}, "staying": {}}
    for name, more in lengths.items():
        scene.submit(name, replicas=2, **more)
        scene.wait(name, "Running")
    assert sorted(scene.placed("ending") + scene.placed("leaving")) == scene.nodes[:4]
    scene.delete("leaving")
    scene.wait_gone("leaving")
    return scene


@pytest.mark.parametrize("deleted", [False, True], ids=["who ends", "who is deleted"])
def test_a_gang_waits_for_a_contiguous_place_that_is_near(
    halves: Scene, operator: OperatorProcess, deleted: bool
) -> None:
    """It is told where and until when, is told the same after a crash, and starts there when the place is free."""
    scene = halves
    scene.submit("gang", replicas=4, maxDuration="10h")
    before = scene.wait_pending("gang", "ContiguousSoon")
    assert before["message"].startswith(SAYS)
    assert scene.condition("gang", "Placed")[:2] == ("False", "ContiguousSoon")
    operator.kill()
    operator.start()
    scene.wait("staying", "Running")
    scene.submit("bell", replicas=9)
    scene.wait_pending("bell", "TooLarge")
    after = scene.wait_pending("gang", "ContiguousSoon")
    assert after == before
    assert scene.pods("gang") == {}

    if deleted:
        scene.delete("ending")
    else:
        ended = {"metadata": {"annotations": {stages.RUN_SECONDS: "0"}}}
        for pod in scene.pods("ending"):
            scene.api.patch(f"{scene.core}/pods/{pod}", ended)
        scene.wait("ending", "Succeeded")

    status = scene.wait("gang", "Running")
    assert scene.placed("gang") == scene.nodes[:4]
    assert status["placement"]["spans"] == {"spine": 1, "leaf": 1, "node": 4}


def test_a_gang_that_says_nothing_of_its_length_sits_apart_at_once(halves: Scene) -> None:
    """What waiting costs it cannot be weighed against anything."""
    halves.submit("gang", replicas=4)
    status = halves.wait("gang", "Running")
    assert status["placement"]["spans"] == {"spine": 2, "leaf": 2, "node": 4}


def test_one_who_fits_where_the_patient_gang_does_not_wait_uses_what_is_free(halves: Scene) -> None:
    """The gang's place is kept, and nothing else is: there is no room apart for it now, and it starts no later."""
    halves.submit("gang", replicas=4, maxDuration="10h")
    before = halves.wait_pending("gang", "ContiguousSoon")
    halves.submit("passing", replicas=2)
    halves.wait("passing", "Running")
    assert set(halves.placed("passing")) < set(halves.nodes[4:])
    after = halves.wait_pending("gang", "InsufficientDevices")
    assert after["estimatedStart"] == before["estimatedStart"]
