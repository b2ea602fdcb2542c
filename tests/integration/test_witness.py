"""The harness's own witness: a watch that ends takes nothing from what it sees."""

import time

import pytest

from tests.integration.scene import Scene, devices_held
from tests.integration.witness import Witness

pytestmark = pytest.mark.cluster
pytest_plugins = ("tests.integration.operating",)


def test_a_witness_whose_watches_end_sees_every_pod_come_and_go(scene: Scene) -> None:
    """One watch a second, and a pod every quarter of one: each is seen to come, and to hold its devices."""
    nodes = scene.cluster([4])
    with Witness(scene.api, f"{scene.core}/pods", held=devices_held, most=8, watch_s=1) as witness:
        for number in range(12):
            scene.foreign_pod(f"pod-{number}", nodes[number % 4], 3)
            time.sleep(0.25)
        witness.catch_up()
        assert witness.watches > 2
        assert witness.seen >= 12
        assert witness.twice == set(nodes), "three pods of three devices each on nodes of eight"
