"""The ground holds: what the other tests against a control plane take for granted."""

import json
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from e2e.ground import nodes, ports, stages, workspace
from e2e.ground.api import Api, JsonObject
from e2e.ground.binaries import Binaries
from e2e.ground.controlplane import ControlPlane
from e2e.ground.processes import ChildError, Identity
from e2e.ground.waiting import until

pytestmark = pytest.mark.cluster

AddNodes = Callable[[Iterable[JsonObject]], list[str]]

_ROOT = Path(__file__).resolve().parents[2]
_SIZE = {"cpu": "8", "memory": "64Gi", "pods": "110", "nvidia.com/gpu": "8"}
_SMALL = ("etcd", "kube-apiserver")


def pod(name: str, node: str, annotations: dict[str, str] | None = None) -> JsonObject:
    """A pod of one device that may run on one node only."""
    terms = [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}]
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}
    container = {"name": "main", "image": "none", "resources": {"limits": {"nvidia.com/gpu": "1"}}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "annotations": annotations or {}},
        "spec": {"affinity": affinity, "containers": [container], "restartPolicy": "Never"},
    }


def phase_reached(api: Api, namespace: str, name: str, phase: str) -> JsonObject:
    """The pod, as soon as it is in a phase."""
    path = f"/api/v1/namespaces/{namespace}/pods/{name}"

    def there() -> JsonObject | None:
        found = api.get(path)
        return found if found["status"]["phase"] == phase else None

    found = until(there, f"pod {name} to be {phase}", timeout_s=30)
    assert found is not None
    return found


def terminated(found: JsonObject) -> Any:
    """How the pod's container ended."""
    return found["status"]["containerStatuses"][0]["state"]["terminated"]


def test_every_component_runs_and_the_versions_agree(control_plane: ControlPlane) -> None:
    """kubectl and the API server are of one version, and five programs run."""
    versions = json.loads(control_plane.kubectl("version", "--output=json").stdout)

    assert versions["serverVersion"]["gitVersion"] == versions["clientVersion"]["gitVersion"]
    assert {"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok"} == set(control_plane.pids)


def test_rbac_refuses_whoever_shows_no_certificate(control_plane: ControlPlane) -> None:
    """An anonymous request for nodes is forbidden."""
    trusted = ssl.create_default_context(cafile=str(control_plane.directory / "pki" / "ca.crt"))

    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{control_plane.server}/api/v1/nodes", context=trusted, timeout=10)

    with refused.value as answer:
        assert answer.code == 403
        assert "system:anonymous" in answer.read().decode()


def test_etcd_serves_nobody_without_a_certificate(control_plane: ControlPlane) -> None:
    """etcd, which holds every secret, ends the handshake with a client that shows no certificate."""
    trusted = ssl.create_default_context(cafile=str(control_plane.directory / "pki" / "ca.crt"))

    with pytest.raises((urllib.error.URLError, ssl.SSLError), match="certificate required"):
        urllib.request.urlopen(f"{control_plane.layout.url('etcd')}/version", context=trusted, timeout=10)


def test_a_pod_bound_by_name_is_scheduled_and_runs(api: Api, namespace: str, add_nodes: AddNodes) -> None:
    """The real scheduler binds a pod with affinity to one node's name, and KWOK makes it Running and Ready."""
    _, wanted = add_nodes(nodes.manifest(name, resources=_SIZE) for name in ("bound-a", "bound-b"))

    api.create(f"/api/v1/namespaces/{namespace}/pods", pod("one", wanted))
    found = phase_reached(api, namespace, "one", "Running")

    conditions = {held["type"]: held for held in found["status"]["conditions"]}
    assert wanted == found["spec"]["nodeName"]
    assert "True" == conditions["PodScheduled"]["status"] == conditions["Ready"]["status"]
    assert "running" in found["status"]["containerStatuses"][0]["state"]


def test_a_pod_without_annotations_runs_until_it_is_deleted(api: Api, namespace: str, add_nodes: AddNodes) -> None:
    """Nothing ends it, and a deleted pod is gone at once."""
    (node,) = add_nodes([nodes.manifest("forever", resources=_SIZE)])
    path = f"/api/v1/namespaces/{namespace}/pods"
    api.create(path, pod("one", node))
    phase_reached(api, namespace, "one", "Running")
    time.sleep(1.0)
    assert api.get(f"{path}/one")["status"]["phase"] == "Running"

    started = time.monotonic()
    api.delete(f"{path}/one")
    until(lambda: api.gone(f"{path}/one"), "the pod to go", timeout_s=10)

    assert time.monotonic() - started < 2


def test_a_pod_succeeds_after_its_run_seconds(api: Api, namespace: str, add_nodes: AddNodes) -> None:
    """It runs for as long as it says, also when it is changed meanwhile, and ends with exit code 0."""
    (node,) = add_nodes([nodes.manifest("run", resources=_SIZE)])
    path = f"/api/v1/namespaces/{namespace}/pods"
    api.create(path, pod("one", node, {stages.RUN_SECONDS: "2.5"}))
    phase_reached(api, namespace, "one", "Running")
    started = time.monotonic()
    time.sleep(1.5)
    api.patch(f"{path}/one", {"metadata": {"annotations": {"changed": "in between"}}})

    found = phase_reached(api, namespace, "one", "Succeeded")

    assert 2.2 < time.monotonic() - started < 3.5
    assert (terminated(found)["exitCode"], terminated(found)["reason"]) == (0, "Completed")
    assert {"False"} == {held["status"] for held in found["status"]["conditions"] if held["type"] == "Ready"}


def test_a_pod_fails_after_its_fail_seconds(api: Api, namespace: str, add_nodes: AddNodes) -> None:
    """It fails with the exit code it names, before it would have succeeded."""
    (node,) = add_nodes([nodes.manifest("fail", resources=_SIZE)])
    path = f"/api/v1/namespaces/{namespace}/pods"
    annotations = {stages.RUN_SECONDS: "30", stages.FAIL_SECONDS: "1", stages.EXIT_CODE: "137"}

    api.create(path, pod("one", node, annotations))
    found = phase_reached(api, namespace, "one", "Failed")

    assert (terminated(found)["exitCode"], terminated(found)["reason"]) == (137, "Error")
    assert terminated(found)["message"] == "simulated failure after 1 s"


def test_a_pod_that_succeeds_earlier_than_it_would_fail_succeeds(api: Api, namespace: str, add_nodes: AddNodes) -> None:
    """Of run-seconds and fail-seconds, the earlier happens; without exit-code a failure has code 1."""
    (node,) = add_nodes([nodes.manifest("earlier", resources=_SIZE)])
    path = f"/api/v1/namespaces/{namespace}/pods"

    api.create(path, pod("early", node, {stages.RUN_SECONDS: "0.5", stages.FAIL_SECONDS: "9"}))
    api.create(path, pod("crash", node, {stages.FAIL_SECONDS: "0.5"}))

    assert terminated(phase_reached(api, namespace, "early", "Succeeded"))["exitCode"] == 0
    assert terminated(phase_reached(api, namespace, "crash", "Failed"))["exitCode"] == 1


def test_a_running_pod_can_be_told_to_fail(api: Api, namespace: str, add_nodes: AddNodes) -> None:
    """An annotation that comes later counts from the moment it came."""
    (node,) = add_nodes([nodes.manifest("later", resources=_SIZE)])
    path = f"/api/v1/namespaces/{namespace}/pods"
    api.create(path, pod("one", node))
    phase_reached(api, namespace, "one", "Running")

    api.patch(f"{path}/one", {"metadata": {"annotations": {stages.FAIL_SECONDS: "0"}}})

    assert terminated(phase_reached(api, namespace, "one", "Failed"))["exitCode"] == 1


def test_a_simulation_that_is_no_number_is_told(api: Api, namespace: str, add_nodes: AddNodes) -> None:
    """The pod fails and names the annotation, it does not run forever or end at once as if that was wanted."""
    (node,) = add_nodes([nodes.manifest("wrong", resources=_SIZE)])

    api.create(f"/api/v1/namespaces/{namespace}/pods", pod("one", node, {stages.RUN_SECONDS: "2min"}))
    found = phase_reached(api, namespace, "one", "Failed")

    assert found["status"]["reason"] == "InvalidSimulation"
    assert '"sim.berth.dev/run-seconds":"2min"' in found["status"]["message"]


def test_a_deleted_pod_takes_its_terminate_seconds(api: Api, namespace: str, add_nodes: AddNodes) -> None:
    """It stays for as long as it says, but not longer than its grace period."""
    (node,) = add_nodes([nodes.manifest("terminate", resources=_SIZE)])
    path = f"/api/v1/namespaces/{namespace}/pods"
    gone_after = {}
    for name, seconds, grace in (("short", "1.5", 30), ("long", "60", 3)):
        api.create(path, pod(name, node, {stages.TERMINATE_SECONDS: seconds}))
        phase_reached(api, namespace, name, "Running")
        started = time.monotonic()
        api.delete(f"{path}/{name}?gracePeriodSeconds={grace}")
        until(partial(api.gone, f"{path}/{name}"), f"{name} to go", timeout_s=59)
        gone_after[name] = time.monotonic() - started

    # Upper bounds are those of the other rule, not of a quick machine: the grace period, and terminate-seconds.
    assert 1.4 < gone_after["short"] < 30
    assert 2.9 < gone_after["long"] < 60


def test_a_node_keeps_the_capacity_it_was_given(api: Api, add_nodes: AddNodes) -> None:
    """KWOK, which fills in what is missing, leaves our figures alone; a device that fails counts at once."""
    (node,) = add_nodes([nodes.manifest("capacity", resources=_SIZE, labels={"rack": "r1"})])
    nodes.set_allocatable(api, node, {"nvidia.com/gpu": "7"})

    found = api.get(f"/api/v1/nodes/{node}")

    assert found["status"]["capacity"] == _SIZE
    assert found["status"]["allocatable"] == {**_SIZE, "nvidia.com/gpu": "7"}
    assert found["metadata"]["labels"]["rack"] == "r1"


def test_a_cordoned_or_tainted_node_gets_no_pods(api: Api, namespace: str, add_nodes: AddNodes) -> None:
    """Pods wait while the node is closed, and run when it is open again."""
    names = add_nodes(nodes.manifest(name, resources=_SIZE) for name in ("cordoned", "tainted"))
    cordoned, tainted = names
    nodes.cordon(api, cordoned)
    nodes.taint(api, tainted, "sim.berth.dev/broken", value="yes")
    for name in names:
        api.create(f"/api/v1/namespaces/{namespace}/pods", pod(name, name))
    for name in names:
        until(partial(_unschedulable, api, namespace, name), f"{name} to wait", timeout_s=20)

    nodes.cordon(api, cordoned, unschedulable=False)
    nodes.untaint(api, tainted, "sim.berth.dev/broken")

    for name in names:
        phase_reached(api, namespace, name, "Running")


def _unschedulable(api: Api, namespace: str, name: str) -> bool:
    conditions = api.get(f"/api/v1/namespaces/{namespace}/pods/{name}")["status"].get("conditions", [])
    return any(held.get("reason") == "Unschedulable" for held in conditions)


def test_a_lost_node_holds_its_pods_until_it_is_back(api: Api, namespace: str, add_nodes: AddNodes) -> None:
    """Nothing happens to the pods of a lost node: none ends, a deleted one stays; all goes on after the recovery."""
    (node,) = add_nodes([nodes.manifest("lost", resources=_SIZE)])
    path = f"/api/v1/namespaces/{namespace}/pods"
    api.create(path, pod("one", node))
    phase_reached(api, namespace, "one", "Running")

    nodes.fail(api, node)
    until(lambda: _tainted(api, node, "node.kubernetes.io/unreachable"), "the node's taint", timeout_s=20)
    api.delete(f"{path}/one")
    time.sleep(1.5)
    assert "deletionTimestamp" in api.get(f"{path}/one")["metadata"]

    nodes.recover(api, node)
    until(lambda: api.gone(f"{path}/one"), "the deleted pod to go", timeout_s=20)


def _tainted(api: Api, node: str, key: str) -> bool:
    return any(held["key"] == key for held in api.get(f"/api/v1/nodes/{node}")["spec"].get("taints", []))


def test_a_new_kwok_takes_the_nodes_of_the_old_one(
    control_plane: ControlPlane, namespace: str, add_nodes: AddNodes
) -> None:
    """After KWOK was killed and started again, pods run on the nodes that were there before."""
    api = control_plane.api
    (node,) = add_nodes([nodes.manifest("survivor", resources=_SIZE)])

    control_plane.kill("kwok")
    api.create(f"/api/v1/namespaces/{namespace}/pods", pod("one", node))
    control_plane.start_component("kwok")

    phase_reached(api, namespace, "one", "Running")


def test_two_control_planes_live_side_by_side(control_plane: ControlPlane, programs: Binaries) -> None:
    """Neither sees the other's objects, and each refuses the other's administrator."""
    with ControlPlane(components=_SMALL, binaries=programs) as other:
        other.api.create("/api/v1/namespaces", {"metadata": {"name": "only-here"}})

        assert not set(other.ports.values()) & set(control_plane.ports.values())
        assert control_plane.api.gone("/api/v1/namespaces/only-here")
        stranger = other.api.at(control_plane.server)
        with pytest.raises(ssl.SSLError, match="certificate verify failed"):
            stranger.get("/api/v1/namespaces")


def test_a_taken_port_is_refused_by_its_number(control_plane: ControlPlane, programs: Binaries) -> None:
    """The error names the port and what to do, and nothing is started."""
    taken = control_plane.ports["kube-apiserver"]

    with pytest.raises(ports.PortTakenError, match=f"port {taken} .* is taken; stop what listens there"):
        ControlPlane(base_port=taken, binaries=programs).start()


def test_a_component_that_dies_during_the_start_is_named_with_its_last_words(
    tmp_path: Path, programs: Binaries
) -> None:
    """The start ends at once, says what the component said, and leaves nothing running."""
    plane = ControlPlane(
        tmp_path / "cp", components=_SMALL, extra_args={"kube-apiserver": ["--no-such-flag"]}, binaries=programs
    )

    with pytest.raises(ChildError, match=r"(?s)kube-apiserver ended with exit code 1.*unknown flag: --no-such-flag"):
        plane.start()

    assert plane.pids == {}
    assert list((tmp_path / "cp").glob("*.pid")) == []


def test_a_component_can_be_killed_frozen_and_brought_back(tmp_path: Path, programs: Binaries) -> None:
    """The API server comes back on its port with its data, and a frozen one answers nobody."""
    kept = "/api/v1/namespaces/kept"
    with ControlPlane(tmp_path / "cp", components=_SMALL, binaries=programs) as plane:
        plane.api.create("/api/v1/namespaces", {"metadata": {"name": "kept"}})

        plane.kill("kube-apiserver")
        with pytest.raises(ConnectionRefusedError):
            plane.api.get(kept)
        plane.kill("etcd")
        plane.start_component("etcd")
        plane.start_component("kube-apiserver")
        assert not plane.api.gone(kept)

        plane.pause("kube-apiserver")
        with Api.from_kubeconfig(plane.kubeconfig, timeout_s=1) as impatient, pytest.raises(TimeoutError):
            impatient.get(kept)
        plane.resume("kube-apiserver")
        assert not plane.api.gone(kept)


def test_a_stop_leaves_the_logs_and_nothing_else(tmp_path: Path, programs: Binaries) -> None:
    """A directory serves one control plane at a time; after the stop all processes are gone and the logs are there."""
    directory = tmp_path / "cp"
    with ControlPlane(directory, components=_SMALL, binaries=programs) as plane:
        with pytest.raises(workspace.DirectoryInUseError, match="runs a control plane there"):
            ControlPlane(directory, components=_SMALL, binaries=programs).start()
        children = _children(directory, 2)

    assert [child.alive for child in children] == [False, False]
    assert (directory / "kube-apiserver.log").exists()
    plane.stop()
    assert workspace.claim(directory) == directory
    assert not (directory / "kube-apiserver.log").exists()


def test_nothing_runs_on_after_the_owner_was_killed(tmp_path: Path, programs: Binaries) -> None:
    """SIGKILL, which no owner can answer, takes the control plane along."""
    directory = tmp_path / "cp"
    owner = _up(directory, "--port", str(_room_for_six()))
    until(lambda: _children(directory, 5), "the control plane", timeout_s=60)
    children = _children(directory, 5)

    owner.kill()
    owner.wait(10)

    until(lambda: not any(child.alive for child in children), "the children to die", timeout_s=10)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nothing_runs_on_after_an_interrupted_start(number: signal.Signals, tmp_path: Path, programs: Binaries) -> None:
    """Ctrl-C or SIGTERM while the API server is coming up ends everything in good order."""
    directory = tmp_path / "cp"
    owner = _up(directory)
    until(lambda: _children(directory, 2), "the API server to be started", timeout_s=60)
    children = _children(directory, 2)
    time.sleep(0.3)

    owner.send_signal(number)

    assert owner.wait(20) != 0 or number is signal.SIGINT
    assert [child.alive for child in children] == [False, False]
    assert list(directory.glob("*.pid")) == []


def test_a_detached_control_plane_is_stopped_by_down(tmp_path: Path, programs: Binaries) -> None:
    """``up --detach`` returns with a kubeconfig that works; ``down`` ends it, and has nothing to do after that."""
    directory = tmp_path / "cp"
    try:
        said = _run("up", "--detach", "--dir", str(directory), "--model", "e2e/models/small-h800.yaml")
        children = _children(directory, 5)
        with Api.from_kubeconfig(directory / "kubeconfig") as api:
            count = len(api.get("/api/v1/nodes")["items"])
    finally:
        stopped = _run("down", "--dir", str(directory))

    assert f"export KUBECONFIG={directory / 'kubeconfig'}" in said
    assert "16 nodes, 2 x spine, 4 x leaf, 128 x nvidia.com/gpu" in said
    assert count == 16
    assert "stopped the control plane" in stopped
    assert not any(child.alive for child in children)
    assert "no control plane runs" in _run("down", "--dir", str(directory))


def test_the_files_of_a_killed_owner_are_cleared_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A temporary directory whose owner died goes; that of a living owner stays."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    kept = workspace.claim(None)
    dead = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    identity = Identity.of(dead.pid)
    assert identity is not None
    orphan = tmp_path / "berth-ground-orphan"
    orphan.mkdir()
    identity.write(orphan / "ground.json")
    dead.communicate()

    workspace.claim(None)

    assert (kept.exists(), orphan.exists()) == (True, False)


def _up(directory: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "e2e.ground", "up", "--dir", str(directory), *arguments]
    return subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _run(*arguments: str) -> str:
    command = [sys.executable, "-m", "e2e.ground", *arguments]
    return subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=True, timeout=90).stdout


def _children(directory: Path, count: int) -> list[Identity]:
    """Who runs by the pid files of a directory, once they are at least ``count``."""
    found = [Identity.read(path) for path in directory.glob("*.pid")]
    running = [identity for identity in found if identity is not None]
    return running if len(running) >= count else []


def _room_for_six() -> int:
    return next(base for base in range(20_000, 32_000, 6) if all(ports.is_free(base + step) for step in range(6)))
