"""Why a job waits, told in status, events and logs with the same words; and without saying it again and again."""

import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner

from berth.__main__ import main
from e2e.faults.calls import own_writes
from e2e.faults.proxy import FaultProxy
from e2e.ground.waiting import until
from e2e.running import OperatorProcess
from tests.integration.scene import GPU, Scene

pytestmark = pytest.mark.cluster
pytest_plugins = ("tests.integration.operating",)


def _events(scene: Scene, name: str, reason: str) -> list[str]:
    return [event["note"] for event in scene.events(reason) if event["regarding"]["name"] == name]


def _assert_told_everywhere(scene: Scene, operator: OperatorProcess, name: str, reason: str, message: str) -> None:
    """The same text in `pending`, in the condition, in one event and in one line of the log."""
    pending = scene.wait_pending(name, reason)
    assert pending["message"] == message
    assert scene.condition(name, "Placed") == ("False", reason, message)
    until(lambda: bool(_events(scene, name, reason)), f"an event {reason} of {name}", timeout_s=15)
    assert _events(scene, name, reason) == [message]
    job = f"{scene.namespace}/{name}"
    assert [line["message"] for line in operator.logged() if line.get("job") == job] == [message]


def test_status_events_and_logs_say_the_same(scene: Scene, operator: OperatorProcess) -> None:
    """A few situations, each with its numbers."""
    scene.cluster([2, 2])
    scene.foreign_pod("left", scene.nodes[0], 8)
    scene.foreign_pod("right", scene.nodes[2], 8)
    scene.submit("pair", replicas=2, topology={"level": "leaf"})
    scene.submit("many", replicas=3)
    scene.submit("huge", replicas=5)
    scene.submit("lost", pools=["nowhere"])

    _assert_told_everywhere(
        scene,
        operator,
        "pair",
        "TopologyBlocked",
        "needs 2 free nodes under one leaf; the most free is 1 under spine-1/leaf-11 (of 2)",
    )
    _assert_told_everywhere(
        scene,
        operator,
        "many",
        "InsufficientDevices",
        f"needs 3 nodes; 2 of 4 are free in pool {scene.pool} (2 of 4 nodes: 0 of 8 {GPU} free)",
    )
    _assert_told_everywhere(scene, operator, "huge", "TooLarge", f"needs 5 nodes; pool {scene.pool} has 4")
    unknown = scene.wait_pending("lost", "UnknownPool")["message"]
    _assert_told_everywhere(scene, operator, "lost", "UnknownPool", unknown)


def test_a_long_job_does_not_pass_and_a_short_one_does(scene: Scene, operator: OperatorProcess) -> None:
    """Room is kept for the gang before it: it is told for whom, from when on, and how short it would have to be."""
    scene.cluster([3])
    scene.submit("running", replicas=2, maxDuration="2h")
    scene.wait("running", "Running")
    scene.submit("large", replicas=3, maxDuration="1h")
    large = scene.wait_pending("large", "InsufficientDevices")
    assert large["position"] == 1
    assert "may start at " in large["message"]
    assert large["message"].endswith("if running jobs end by their maxDuration")
    scene.submit("long", replicas=1, maxDuration="4h")

    pending = scene.wait_pending("long", "QueuedBehind")

    assert pending["position"] == 2
    assert pending["message"].startswith(f"there is room now, but it is kept for {scene.namespace}/large from ")
    assert pending["estimatedStart"] > large["estimatedStart"]
    change = pending["nearest"][0]
    assert change.startswith("maxDuration ")
    scene.edit("long", maxDuration=change.removeprefix("maxDuration ").partition(":")[0])
    scene.wait("long", "Running")


def test_a_job_that_waits_is_not_written_about_again_and_again(
    scene: Scene, operator: OperatorProcess, proxy: FaultProxy
) -> None:
    """Others come and go, positions and estimates change: neither status nor event follows each of them."""
    scene.cluster([2])
    scene.submit("running", replicas=2, maxDuration="2h")
    scene.wait("running", "Running")
    scene.submit("first", replicas=2, maxDuration="1h")
    scene.submit("last", replicas=2, maxDuration="1h")
    scene.wait_for("last", lambda status: status.get("pending", {}).get("position") == 2, "to be second")
    proxy.forget()
    before = scene.status("last")
    scene.submit("other", replicas=1)
    scene.wait_pending("other", "InsufficientDevices")
    scene.delete("first")
    scene.wait_for("other", lambda _: "first" not in scene.jobs(), "to see the first go")
    scene.submit("another", replicas=1)
    scene.wait_pending("another", "InsufficientDevices")

    writes = [str(write.call) for write in proxy.all_writes(own_writes)]

    assert f"apply trainingjobs/status {scene.namespace}/last" not in writes, f"{before}, then {scene.status('last')}"
    assert len(_events(scene, "last", "InsufficientDevices")) == 1


def test_the_last_cycle_runs_again_elsewhere_and_decides_the_same(
    scene: Scene, operator: OperatorProcess, tmp_path: Path
) -> None:
    """`/debug/snapshot` is enough for `berth replay`: the same plan, and the same words about the job that waits."""
    scene.cluster([2])
    scene.submit("running", replicas=2, maxDuration="2h")
    scene.wait("running", "Running")
    scene.submit("first", replicas=2)
    message = scene.wait_pending("first", "InsufficientDevices")["message"]
    path = tmp_path / "cycle.json"
    with urllib.request.urlopen(f"http://{operator.address()}/debug/snapshot") as answer:  # our own
        path.write_bytes(answer.read())

    replayed = CliRunner().invoke(main, ["replay", str(path)])
    explained = CliRunner().invoke(main, ["replay", str(path), "--explain", f"{scene.namespace}/first"])

    assert (replayed.exit_code, replayed.output.splitlines()[-1]) == (0, "the same plan as the operator's")
    assert explained.exit_code == 0
    assert f"InsufficientDevices: {message}" in explained.output
    assert "trainer" not in path.read_text(), "no template, so no container of it"
