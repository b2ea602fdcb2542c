"""The present cluster played forward: what `berth snapshot` writes of a real control plane, and what is asked of it."""

import json
from pathlib import Path

import pytest
import yaml

from e2e.ground.controlplane import ControlPlane
from tests.integration.scene import Scene
from tests.integration.test_plugin import Plugin

pytestmark = pytest.mark.cluster
pytest_plugins = ("tests.integration.operating",)


@pytest.fixture
def berth(control_plane: ControlPlane) -> Plugin:
    """As administrator."""
    return Plugin(control_plane.kubeconfig)


def test_a_snapshot_is_a_scenario_that_starts_jobs_when_the_operator_expects_it(
    scene: Scene, berth: Plugin, tmp_path: Path
) -> None:
    """Who runs, where and since when; who waits; what others hold. Played forward, the job that waits starts when its
    status says, and a smaller one starts now."""
    scene.cluster([2, 2], [2])
    scene.foreign_pod("notebook", scene.nodes[5], 4)
    scene.submit("runs", replicas=2, topology={"level": "leaf", "policy": "Required"}, maxDuration="2h")
    scene.wait("runs", "Running")
    scene.submit("waits", replicas=4, maxDuration="1h")
    status = scene.wait_for("waits", lambda s: "estimatedStart" in s.get("pending", {}), "to have an estimate")
    scene.submit("rests", suspend=True)
    scene.wait("rests", "Suspended")
    n = ("-n", scene.namespace)

    found = berth("snapshot")
    assert found.code == 0
    written = yaml.safe_load(found.out)
    [pool] = [pool for pool in written["cluster"]["pools"] if pool["name"] == scene.pool]
    assert [host["name"] for host in pool["hosts"]] == scene.nodes
    assert pool["hosts"][5]["taken"] == {"nvidia.com/gpu": 4, "pods": 1}
    assert {host["name"] for host in pool["hosts"] if "taken" in host} == {scene.nodes[5]}
    jobs = {
        job["name"].partition("/")[2]: job
        for job in written["workload"]["jobs"]
        if job["name"].startswith(f"{scene.namespace}/")
    }
    assert jobs.keys() == {"runs", "waits", "rests"}
    assert jobs["runs"]["level"] == "leaf"
    assert jobs["runs"]["policy"] == "Required"
    assert jobs["runs"]["maxDuration"] == "2h"
    assert jobs["rests"]["heldBack"] == "Suspended"
    assert "placed" not in jobs["waits"]

    file = tmp_path / "now.yaml"
    file.write_text(found.out)
    asked = berth("simulate", str(file), "--job", f"{scene.namespace}/waits", "--replicas", "2", "-o", "json")
    as_it_is, smaller = json.loads(asked.out)
    assert as_it_is["startsAt"] == status["pending"]["estimatedStart"]
    assert (smaller["replicas"], smaller["startsIn"]) == (2, 0)

    live = berth("simulate", "--from-cluster", *n, "--set", "job=waits,replicas=2")
    assert live.code == 0
    assert live.lines[0] == f"{scene.namespace}/waits, played forward by Berth's own rules:"
    [starts] = [line for line in live.lines if line.startswith("starts")]
    assert f"({as_it_is['startsAt']})" in starts
    assert "now (" in starts


def test_what_cannot_be_asked_is_said(scene: Scene, berth: Plugin) -> None:
    """A job that is not there; one that has its devices; a field that is no number; a field that is none."""
    scene.cluster([1])
    scene.submit("runs", maxDuration="2h")
    scene.wait("runs", "Running")
    scene.submit("waits", maxDuration="1h")
    scene.wait_pending("waits", "InsufficientDevices")
    n, name = ("-n", scene.namespace), f"{scene.namespace}/waits"

    def ask(*words: str) -> tuple[int, str]:
        ended = berth("simulate", "--from-cluster", *n, *words)
        return ended.code, [line for line in ended.err.splitlines() if not line.startswith("note: ")][-1]

    assert ask("--job", "wait")[1] == (
        f"Error: the cluster: '{scene.namespace}/wait': there is no such job; did you mean {name}?"
    )
    assert ask("--job", "runs") == (
        1,
        f"Error: {scene.namespace}/runs has its devices already; ask about a job that waits",
    )
    code, text = ask("--set", "job=waits,replicas=many")
    assert (code, text) == (
        1,
        "Error: waits with replicas many: workload.jobs[1].replicas: 'many': must be a whole number",
    )
    assert "there is no such field" in ask("--set", "job=waits,replcas=2")[1]
