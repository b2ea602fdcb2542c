"""Settings that change while the operator runs."""

from collections.abc import Iterator

import pytest

from e2e.ground.waiting import until
from e2e.running import OperatorProcess
from tests.integration.scene import QUICK, Scene

pytestmark = pytest.mark.cluster
pytest_plugins = ("tests.integration.operating",)


@pytest.fixture
def changing(operator: OperatorProcess) -> Iterator[OperatorProcess]:
    """The operator, with the usual settings again after the test."""
    yield operator
    operator.configure(QUICK)
    operator.restart()


def taken(operator: OperatorProcess, times: int) -> None:
    until(lambda: len(operator.logged(message="settings changed")) == times, "the settings to be taken", timeout_s=20)


def test_an_observer_begins_to_act_without_a_restart(scene: Scene, changing: OperatorProcess) -> None:
    """What it only told of, it does; and an actor that is told to observe leaves what runs alone."""
    pid = changing.pid
    changing.configure({**QUICK, "mode": "Observe"})
    taken(changing, 1)
    scene.cluster([2])
    scene.submit("train", replicas=2)
    scene.wait_pending("train", "Observing")
    changing.configure(QUICK)

    scene.wait("train", "Running")
    changing.configure({**QUICK, "mode": "Observe"})
    taken(changing, 3)
    scene.edit("train", suspend=True)
    scene.submit("later", replicas=1)
    scene.wait_pending("later", "InsufficientDevices")
    assert len(scene.pods("train")) == 2
    changing.configure(QUICK)
    scene.wait("train", "Suspended")
    assert changing.pid == pid


def test_a_file_with_a_mistake_changes_nothing_and_is_told(scene: Scene, changing: OperatorProcess) -> None:
    """In the log with field, value and remedy, and in the metrics until it is mended."""
    changing.configure({**QUICK, "mode": "Asleep"})
    until(lambda: "berth_settings_valid 0.0" in changing.get("/metrics")[1], "the metric", timeout_s=20)
    (line,) = changing.logged(message="settings not changed: the file has a mistake")
    assert "mode: 'Asleep': Input should be 'Active' or 'Observe'" in line["error"]
    scene.cluster([1])
    scene.submit("train", replicas=1)
    scene.wait("train", "Running")

    changing.configure({**QUICK, "connections": 3})
    until(lambda: "berth_settings_waiting 1.0" in changing.get("/metrics")[1], "the metric", timeout_s=20)
    assert "berth_settings_valid 1.0" in changing.get("/metrics")[1]
