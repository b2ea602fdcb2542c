"""A release of the chart on a real control plane: install, upgrade, rollback, uninstall, and what stays."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.chart.generate import CHART, ROOT
from e2e.chart.helm import Helm, HelmError
from e2e.ground import nodes
from e2e.ground.api import Api
from e2e.ground.binaries import Binaries
from e2e.ground.controlplane import ControlPlane
from e2e.ground.waiting import until
from e2e.running import OperatorProcess
from tests.integration.charted import NAMESPACE, deployment, install, login, settings
from tests.integration.scene import Scene

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]
DEPLOYMENT = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/berth"
_ROOM = {"cpu": "4", "memory": "8Gi", "ephemeral-storage": "20Gi", "pods": "20"}
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"


@pytest.fixture(scope="module")
def control_plane(programs: Binaries) -> Iterator[ControlPlane]:
    """A control plane of its own, with two nodes for the operator's pods."""
    with ControlPlane(binaries=programs) as plane:
        nodes.add(
            plane.api,
            [nodes.manifest(f"infra-{n}", resources=_ROOM) for n in (1, 2)],
        )
        yield plane


@pytest.fixture
def helm(control_plane: ControlPlane, tmp_path: Path) -> Helm:
    """Helm for that control plane."""
    return Helm(tmp_path, kubeconfig=control_plane.kubeconfig)


@pytest.fixture
def release(helm: Helm, control_plane: ControlPlane) -> Iterator[None]:
    """The chart, installed with two replicas, in a namespace with the restricted Pod Security Standard."""
    body: dict[str, Any] = {
        "metadata": {"name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}
    }
    if NAMESPACE not in control_plane.kubectl("get", "namespaces", "-o", "name").stdout:
        control_plane.api.create("/api/v1/namespaces", body)
    install(helm, control_plane)
    yield
    if "berth" in helm.run("list", "--short", "--namespace", NAMESPACE):
        helm.run("uninstall", "berth", "--namespace", NAMESPACE)


@pytest.fixture
def scene(release: None, api: Api, namespace: str, add_nodes: Any) -> Iterator[Scene]:
    """A corner of the cluster for gangs."""
    made = Scene(api, namespace, add_nodes, number=1)
    yield made
    made.clear()


def available(api: Api, replicas: int = 2) -> None:
    """Wait until the Deployment has so many pods, all of the newest kind."""

    def there() -> bool:
        found = api.get(DEPLOYMENT)
        status = found.get("status", {})
        current = status.get("observedGeneration") == found["metadata"]["generation"]
        wanted = (replicas, replicas, replicas)
        counts = tuple(status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas"))
        return current and counts == wanted

    until(there, lambda: f"{replicas} operators; there is {api.get(DEPLOYMENT).get('status')}", timeout_s=60)


def templates(api: Api) -> set[str]:
    """Which versions of the pod template the operator's pods are of."""
    return {pod["metadata"]["labels"]["pod-template-hash"] for pod in api.get(PODS)["items"]}


def test_the_pods_are_admitted_under_the_restricted_standard(release: None, helm: Helm, api: Api) -> None:
    """By the API server itself, at once and without a warning; they are spread over nodes."""
    available(api)
    pods = api.get(PODS)["items"]
    assert {pod["spec"]["nodeName"] for pod in pods} == {"infra-1", "infra-2"}
    pod = deployment(helm)["spec"]["template"]
    loose = {**pod, "metadata": {"name": "loose"}, "spec": {**pod["spec"], "hostNetwork": True}}
    with pytest.raises(RuntimeError, match="violates PodSecurity"):
        api.create(f"{PODS}?dryRun=All", {"apiVersion": "v1", "kind": "Pod", **loose})


def test_settings_that_can_change_at_run_time_start_no_pods(
    release: None, helm: Helm, control_plane: ControlPlane
) -> None:
    """The ConfigMap changes and the pods stay; another address to listen on replaces them, and a rollback again."""
    api = control_plane.api
    available(api)
    first = templates(api)
    install(helm, control_plane, {"settings": {"mode": "Observe"}}, upgrade=True)
    assert settings(control_plane)["mode"] == "Observe"
    available(api)
    assert templates(api) == first

    install(helm, control_plane, {"settings": {"listen": "0.0.0.0:9090"}}, upgrade=True)
    until(lambda: len(templates(api)) == 1 and templates(api) != first, "new pods", timeout_s=60)
    available(api)

    helm.run("rollback", "berth", "1", "--namespace", NAMESPACE)
    until(lambda: templates(api) == first, "pods as at first", timeout_s=60)
    assert settings(control_plane)["mode"] == "Active"


def test_jobs_outlive_upgrade_rollback_and_uninstall(
    scene: Scene, helm: Helm, control_plane: ControlPlane, tmp_path: Path
) -> None:
    """No pod of a gang starts anew. After the uninstall CRDs, jobs, pods and the fence are there, for the next install.

    The fence has to stay for that: see `e2e.chart.policies`.
    """
    scene.cluster([2])
    first = login(control_plane, tmp_path)
    with OperatorProcess(first, tmp_path, settings=settings(control_plane)) as operator:
        scene.submit("train", replicas=2)
        scene.wait("train", "Running")
        before = {name: pod["metadata"]["uid"] for name, pod in scene.pods("train").items()}
        install(helm, control_plane, {"settings": {"mode": "Observe", "connections": 32}}, upgrade=True)
        helm.run("rollback", "berth", "1", "--namespace", NAMESPACE)
        operator.restart()
        assert scene.status("train")["state"] == "Running"

    told = helm.run("uninstall", "berth", "--namespace", NAMESPACE)
    assert "trainingjobs.berth.dev" in told
    crds = control_plane.kubectl("get", "crd", "-o", "name").stdout
    assert "trainingjobs.berth.dev" in crds
    assert "acceleratorpools.berth.dev" in crds
    assert {name: pod["metadata"]["uid"] for name, pod in scene.pods("train").items()} == before
    left = control_plane.kubectl("get", "clusterroles,validatingadmissionpolicies", "-o", "name").stdout.split()
    assert [name for name in left if "berth" in name] == [
        "validatingadmissionpolicy.admissionregistration.k8s.io/berth-fence"
    ]

    install(helm, control_plane)
    with OperatorProcess(
        login(control_plane, tmp_path), tmp_path, settings=settings(control_plane), name="again"
    ) as operator:
        scene.edit("train", suspend=True)
        scene.wait("train", "Suspended")
        scene.edit("train", suspend=False)
        scene.wait("train", "Running")
        assert operator.logged(level="ERROR") == []


def test_a_change_of_a_kind_arrives_with_the_upgrade(
    release: None, helm: Helm, control_plane: ControlPlane, tmp_path: Path
) -> None:
    """Unlike CRDs in a chart's `crds/`, which Helm never upgrades; and it goes back with a rollback."""
    older = tmp_path / "older"
    shutil.copytree(ROOT / CHART, older)
    template = older / "templates" / "crds" / "berth.dev_trainingjobs.yaml"
    template.write_text(template.read_text().replace("- name: Replicas\n", "- name: Pods\n"))
    install(helm, control_plane, upgrade=True, chart=older)
    assert "Pods" in columns(control_plane)
    install(helm, control_plane, upgrade=True)
    assert "Replicas" in columns(control_plane)
    helm.run("rollback", "berth", "--namespace", NAMESPACE)
    assert "Pods" in columns(control_plane)


def columns(plane: ControlPlane) -> list[str]:
    """Columns that `kubectl get trainingjobs` shows."""
    crd = plane.api.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/trainingjobs.berth.dev")
    return [column["name"] for column in crd["spec"]["versions"][0]["additionalPrinterColumns"]]


def test_kinds_that_were_applied_without_helm_can_be_taken_over(
    release: None, helm: Helm, control_plane: ControlPlane
) -> None:
    """Helm refuses what is not its own and says how to take it; so does the guide."""
    helm.run("uninstall", "berth", "--namespace", NAMESPACE)
    control_plane.kubectl("delete", "-f", str(ROOT / "crds"), "--wait")
    control_plane.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
    with pytest.raises(HelmError, match="cannot be imported into the current release"):
        install(helm, control_plane)
    options = ["--namespace", NAMESPACE, "--take-ownership"]
    helm.run("upgrade", "--install", "berth", str(ROOT / CHART), *options, values={})
    crd = yaml.safe_load(control_plane.kubectl("get", "crd", "trainingjobs.berth.dev", "-o", "yaml").stdout)
    assert crd["metadata"]["annotations"]["meta.helm.sh/release-name"] == "berth"
