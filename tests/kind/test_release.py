"""The release of the chart on real kubelets: upgraded under running gangs, uninstalled, installed again.

These tests come after all others, and the last one judges what the operators said in all of them.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from berth.api.names import LABEL_JOB_UID
from e2e.ground.api import ApiError
from e2e.ground.waiting import until
from e2e.images import berth
from e2e.kind import install
from e2e.kind.cluster import DEVICES, Cluster
from tests.kind.operators import Operators
from tests.kind.scene import Scene

pytestmark = [pytest.mark.kind, pytest.mark.timeout(1200)]

ROOT = berth.ROOT
HELD = "berth.dev/held-by-a-test"
LONG = {"TRAINER_SECONDS": "900"}
NEXT = "next"
NAMESPACE = f"/api/v1/namespaces/{install.NAMESPACE}"


def decided(scene: Scene, *jobs: str) -> dict[str, dict[str, Any]]:
    """What was decided about jobs: all of their statuses but when the operator last looked."""
    kept = ("state", "attempt", "attempts", "placement", "pool", "failures", "pending")
    return {name: {key: scene.status(name).get(key) for key in kept} for name in jobs}


def test_the_operator_keeps_to_the_restricted_standard(cluster: Cluster, operators: Operators) -> None:
    """Its namespace enforces it: its pods run there from its image as nobody in particular, and others are refused."""
    labels = cluster.api.get(NAMESPACE)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    operators.wait_image(berth.NAME)
    operators.wait_available()
    pods = operators.pods().values()
    statuses = [status for pod in pods for status in pod["status"]["containerStatuses"]]
    assert [status["ready"] for status in statuses] == [True, True]
    assert {pod["spec"]["serviceAccountName"] for pod in pods} == {"berth"}

    spec = next(iter(pods))["spec"]
    loose = {"containers": [{"name": "loose", "image": berth.NAME}], "serviceAccountName": spec["serviceAccountName"]}
    with pytest.raises(ApiError, match="violates PodSecurity"):
        cluster.api.create(f"{NAMESPACE}/pods?dryRun=All", {"metadata": {"name": "loose"}, "spec": loose})


def test_an_upgrade_and_a_rollback_touch_no_gang(scene: Scene) -> None:
    """Other pods of another image lead; who runs runs on, who waits waits on, and gets its turn from the new leader."""
    scene.submit("runs", replicas=2, devices=DEVICES, env=LONG)
    scene.wait("runs", "Running")
    scene.submit("waits", replicas=1, devices=DEVICES, env=LONG)
    until(lambda: "pending" in scene.status("waits"), "waits to say what it waits for", timeout_s=30)
    pods, before = scene.uids("runs"), decided(scene, "runs", "waits")

    scene.operators.gather()
    scene.cluster.name_image(berth.NAME, f"berth:{NEXT}")
    install.upgrade(scene.cluster, {"image": {"tag": NEXT}}, "--reset-then-reuse-values")
    scene.operators.wait_image(f"berth:{NEXT}")

    assert (scene.uids("runs"), decided(scene, "runs", "waits")) == (pods, before)

    scene.operators.gather()
    install.helm(scene.cluster).run(
        "rollback", install.RELEASE, "--namespace", install.NAMESPACE, "--wait", "--timeout", "180s", timeout_s=200
    )
    scene.operators.wait_image(berth.NAME)

    assert (scene.uids("runs"), decided(scene, "runs", "waits")) == (pods, before)
    scene.api.patch(scene.path("runs"), {"spec": {"suspend": True}})
    scene.wait("waits", "Running")


def test_uninstall_leaves_jobs_and_release_lets_go_of_them(scene: Scene) -> None:
    """Gangs run on without Berth, hold back nothing after `berth release`, and are taken over by the next release."""
    scene.submit("stays", replicas=2, devices=4, env=LONG)
    scene.wait("stays", "Running")
    pods = scene.uids("stays")
    told = release(scene, "--all")
    assert (told.returncode, "Berth runs" in told.stderr) == (1, True), told.stderr

    scene.operators.gather()
    install.helm(scene.cluster).run("uninstall", install.RELEASE, "--namespace", install.NAMESPACE, "--wait")
    until(lambda: not scene.operators.pods(), "the operators to be gone", timeout_s=60)

    crds = scene.cluster.kubectl("get", "crds", "-o", "name")
    assert "trainingjobs.berth.dev" in crds
    assert "acceleratorpools.berth.dev" in crds
    assert scene.status("stays")["state"] == "Running"
    assert scene.uids("stays") == pods
    assert {pod["status"]["phase"] for pod in scene.pods("stays").values()} == {"Running"}

    # A finalizer, as another version may set one, and the budget: what would hold a job and a node back.
    for path in (scene.path("stays"), *(f"/api/v1/namespaces/{scene.namespace}/pods/{pod}" for pod in pods)):
        scene.api.patch(path, {"metadata": {"finalizers": [HELD]}})
    assert budgets(scene) != []
    done = release(scene, "stays")
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if HELD in line] == [
        f"{kind} {scene.namespace}/{name}: {HELD} removed"
        for kind, name in [("TrainingJob", "stays"), *(("Pod", pod) for pod in sorted(pods))]
    ]
    assert budgets(scene) == []
    assert scene.uids("stays") == pods

    install.upgrade(scene.cluster, {"settings": dict(install.SETTINGS)})
    scene.operators.wait_leader()
    scene.submit("next", replicas=2, devices=4, env={"TRAINER_SECONDS": "1"})
    scene.wait("next", "Succeeded")
    assert scene.uids("stays") == pods
    scene.cluster.kubectl("-n", scene.namespace, "delete", "tj", "stays", "--timeout=60s")
    until(lambda: not scene.pods("stays"), "the job's pods to go with it", timeout_s=60)


def release(scene: Scene, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `berth release` in the scene's namespace, as a person would."""
    command = [sys.executable, "-m", "berth", "release", *words, "-n", scene.namespace]
    environ = {**os.environ, "PYTHONPATH": str(Path(ROOT) / "operator"), "KUBECONFIG": str(scene.cluster.kubeconfig)}
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)


def budgets(scene: Scene) -> list[str]:
    """PodDisruptionBudgets of gangs in the scene's namespace."""
    path = f"/apis/policy/v1/namespaces/{scene.namespace}/poddisruptionbudgets?labelSelector={LABEL_JOB_UID}"
    return [str(budget["metadata"]["name"]) for budget in scene.api.get(path)["items"]]


def test_the_operators_were_never_refused_anything_and_met_no_error(operators: Operators) -> None:
    """Of all operators that ever led or stood by: none was forbidden anything, and none met an error."""
    operators.gather()
    lines = operators.lines()

    assert len([line for line in lines if line["message"] == "leading"]) >= 1
    # RBAC names the user that may not; a namespace that is being deleted forbids new events to anybody.
    account = f"system:serviceaccount:{install.NAMESPACE}:berth"
    assert [line for line in lines if account in str(line)] == []
    assert [line for line in lines if line["level"] in {"ERROR", "CRITICAL"}] == []
    assert operators.others() == []
