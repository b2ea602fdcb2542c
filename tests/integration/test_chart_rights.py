"""The operator under the chart's own rights: everything that it does, nothing that it may do and does not.

The API server's audit log tells what the operator asks for in a life with all that happens to gangs. Each verb of each
rule must be needed by a request of that life that no other rule allows: so each that is taken away is missed.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from berth.api.names import LABEL_JOB_UID
from e2e.chart.helm import Helm
from e2e.faults.calls import calls
from e2e.faults.proxy import FaultProxy
from e2e.faults.rules import Moment
from e2e.ground import nodes
from e2e.ground.api import Api, JsonObject
from e2e.ground.binaries import Binaries
from e2e.ground.controlplane import ControlPlane
from e2e.ground.waiting import until
from e2e.running import OperatorProcess
from tests.integration import audit
from tests.integration.charted import ACCOUNT, NAMESPACE, install, login, rendered, settings
from tests.integration.scene import Scene

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

NPU = "huawei.com/Ascend910"
FORBIDDEN = 403


@pytest.fixture(scope="module")
def control_plane(programs: Binaries, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane of its own, which logs what the operator asks for, with the chart installed."""
    directory = tmp_path_factory.mktemp("rights")
    options = audit.policy(directory / "audit.yaml", ACCOUNT)
    with ControlPlane(binaries=programs, extra_args={"kube-apiserver": options}) as plane:
        install(Helm(directory, kubeconfig=plane.kubeconfig), plane)
        yield plane


@pytest.fixture(scope="module")
def audit_log(control_plane: ControlPlane) -> Path:
    """The API server's log of the operator's requests."""
    options = control_plane.child("kube-apiserver").argv
    return Path(next(option.partition("=")[2] for option in options if option.startswith("--audit-log-path=")))


@pytest.fixture
def proxy(control_plane: ControlPlane, tmp_path: Path) -> Iterator[FaultProxy]:
    """A proxy that logs in as the operator's ServiceAccount."""
    with FaultProxy(login(control_plane, tmp_path), tmp_path / "proxy") as running:
        yield running


@pytest.fixture
def operator(control_plane: ControlPlane, proxy: FaultProxy, tmp_path: Path) -> Iterator[OperatorProcess]:
    """The operator, with the chart's settings and the chart's account."""
    with OperatorProcess(proxy.kubeconfig, tmp_path, settings=settings(control_plane), name="first") as running:
        yield running


@pytest.fixture
def scene(api: Api, namespace: str, add_nodes: Any) -> Iterator[Scene]:
    """A corner of the cluster."""
    made = Scene(api, namespace, add_nodes, number=1)
    yield made
    made.clear()


def meet(scene: Scene, job: str) -> None:
    """A Service and a budget of a job that has none yet, as of a rank 0 that has gone."""
    uid = scene.job(job)["metadata"]["uid"]
    metadata = {"name": f"{job}-1", "labels": {LABEL_JOB_UID: uid}}
    scene.api.create(f"{scene.core}/services", {"metadata": metadata, "spec": {"clusterIP": "None"}})
    budgets = f"/apis/policy/v1/namespaces/{scene.namespace}/poddisruptionbudgets"
    scene.api.create(budgets, {"metadata": metadata, "spec": {"maxUnavailable": 0}})


def a_life(scene: Scene, proxy: FaultProxy) -> None:
    """Gangs that run, lose answers, nodes and pods, are suspended, finished and removed."""
    scene.cluster([4, 4])
    # An answer that is lost: the pod is found made, and read; the same with a status, and the job is read.
    lost = proxy.refuse(calls(verb="create", resource="pods", dry_run=False), status=0, times=1, moment=Moment.AFTER)
    silent = proxy.refuse(calls(resource="trainingjobs", subresource="status"), status=0, times=1, moment=Moment.AFTER)
    scene.submit("train", replicas=3)
    scene.wait("train", "Running")
    assert (lost.refused, silent.refused) == (1, 1)

    # A node is lost: the gang's pods are marked and deleted, its Service and budget removed, and it goes on.
    gone = scene.placed("train")[1]
    nodes.remove(scene.api, [gone])
    scene.nodes.remove(gone)
    scene.wait_for("train", lambda s: s.get("attempt") == 2 and s.get("state") == "Running", "to be repaired")

    # A Service and a budget that are there with another owner get the right one.
    scene.submit("met", replicas=2, suspend=True)
    scene.wait("met", "Suspended")
    meet(scene, "met")
    scene.edit("met", suspend=False)
    scene.wait("met", "Running")

    # A job that begins to wait for the same, twice: an event that is repeated.
    scene.submit("waits", replicas=4)
    scene.wait_pending("waits", "InsufficientDevices")
    scene.edit("waits", suspend=True)
    scene.wait("waits", "Suspended")
    scene.edit("waits", suspend=False)
    scene.wait_pending("waits", "InsufficientDevices")

    # Suspended, and finished, and removed when its time is over.
    for name in ("train", "met"):
        scene.edit(name, suspend=True)
        scene.wait(name, "Suspended")
    scene.delete("waits")
    scene.submit("short", replicas=2, sim={"run": 1}, ttlSecondsAfterFinished=1)
    scene.wait_for("short", lambda s: s.get("state") == "Succeeded", "to succeed")
    until(lambda: "short" not in scene.jobs(), "the job to be removed", timeout_s=20)


def ascend(scene: Scene) -> None:
    """A pool whose devices' health stands in ConfigMaps."""
    added = scene._add_nodes(  # a node that the scene's pool does not select
        [nodes.manifest("npu-1", resources={"cpu": "64", "pods": "110", NPU: "8"}, labels={"scene": "npu"})]
    )
    scene.nodes += added
    scene.add_pool("npu", profile="ascend-910a-8", nodeSelector={"matchLabels": {"scene": "npu"}}, topology=[])


def refusals(log: Path) -> list[str]:
    """Requests that were refused for want of a right."""
    return sorted({str(request) for request, code in audit.requests(log) if code == FORBIDDEN})


def test_each_verb_is_needed_and_none_is_missing(
    scene: Scene,
    control_plane: ControlPlane,
    proxy: FaultProxy,
    operator: OperatorProcess,
    audit_log: Path,
    tmp_path: Path,
) -> None:
    """One life, told by the audit log, against the rules of the rendered roles; both ways."""
    a_life(scene, proxy)
    ascend(scene)
    scene.wait_pool("npu", lambda status: status["nodes"]["total"] == 1)
    heard = calls(verb="watch", resource="configmaps")
    until(lambda: proxy.told(heard, "BOOKMARK") >= 0 and _watched(audit_log), "a watch of ConfigMaps", timeout_s=20)

    # The next leader raises the epoch, and reads the statuses that pools have.
    with OperatorProcess(
        login(control_plane, tmp_path), tmp_path, settings=settings(control_plane), name="second", wait=False
    ) as second:
        until(second.stands_by, "the second to stand by", timeout_s=15)
        operator.stop()
        until(second.ready, "the second to lead", timeout_s=15)
        scene.submit("last", replicas=1)
        scene.wait("last", "Running")
        assert second.logged(level="ERROR") == []
    assert operator.returncode == 0

    helm = Helm(tmp_path)
    own = [role for kind in ("ClusterRole", "Role") for role in rendered(helm, kind) if not _of_users(role)]
    granted = list(audit.grants(own))
    assert len(granted) > 30
    used = [request for request, _ in audit.requests(audit_log)]
    # The fence is proven by pods that the policy has to refuse: that is no want of a right.
    proof = "create pods kube-system"
    assert [told for told in refusals(audit_log) if told != proof] == []
    assert [str(request) for request in audit.ungranted(granted, used)] == []
    assert audit.unneeded(granted, used) == []
    lines = [line for running in (operator, second) for line in running.logged(all_starts=True)]
    assert [line for line in lines if "orbidden" in json.dumps(line)] == []


def _watched(log: Path) -> bool:
    return any((r.resource, r.verb) == ("configmaps", "watch") for r, _ in audit.requests(log))


def _of_users(role: JsonObject) -> bool:
    return str(role["metadata"]["name"]).endswith(("-viewer", "-editor"))


TAKEN = [
    ("services", "create"),
    ("pods", "delete"),
    ("trainingjobs/status", "patch"),
    ("poddisruptionbudgets", "get"),
    ("events", "create"),
]


@pytest.mark.parametrize(("resource", "verb"), TAKEN)
def test_a_right_that_is_taken_away_is_missed(
    scene: Scene, api: Api, operator: OperatorProcess, audit_log: Path, resource: str, verb: str
) -> None:
    """A gang that runs and is suspended gets a refusal, which the metrics count; with the right it had none."""
    path = "/apis/rbac.authorization.k8s.io/v1/clusterroles/berth"
    role = api.get(path)
    rules = [_without(rule, resource, verb) for rule in role["rules"]]
    before = audit_log.stat().st_size
    api.patch(path, {"rules": [rule for rule in rules if rule["verbs"]]})
    try:
        scene.cluster([2])
        scene.submit("train", replicas=2)
        if resource in ("pods", "poddisruptionbudgets", "events"):
            scene.wait("train", "Running")
            scene.edit("train", suspend=True)
        until(
            lambda: _refused_since(audit_log, before, resource, verb),
            lambda: f"a refusal of {verb} {resource}; there are {refusals(audit_log)}",
            timeout_s=20,
        )
        until(lambda: 'code="403"' in operator.get("/metrics")[1], "the refusal to be counted", timeout_s=10)
    finally:
        api.patch(path, {"rules": role["rules"]})
        scene.delete("train")
        scene.wait_gone("train")


def _refused_since(log: Path, before: int, resource: str, verb: str) -> bool:
    with log.open("rb") as file:
        file.seek(before)
        recent = log.with_name("recent.log")
        recent.write_bytes(file.read().rpartition(b"\n")[0])
    return any((r.resource, r.verb, c) == (resource, verb, FORBIDDEN) for r, c in audit.requests(recent))


def _without(rule: JsonObject, resource: str, verb: str) -> JsonObject:
    if rule["resources"] != [resource]:
        return rule
    return {**rule, "verbs": [kept for kept in rule["verbs"] if kept != verb]}


def test_users_get_jobs_by_kubernetes_own_roles_and_no_status(control_plane: ControlPlane, namespace: str) -> None:
    """view sees, edit changes; a status is nobody's, a pool is the platform team's."""
    bound = {"viewer": "view", "editor": "edit", "owner": "admin"}
    for user, role in bound.items():
        control_plane.kubectl("create", "rolebinding", user, f"--clusterrole={role}", f"--user={user}", "-n", namespace)
    jobs, pools = "trainingjobs.berth.dev", "acceleratorpools.berth.dev"
    until(lambda: _may(control_plane, namespace, "editor", "create", jobs), "the roles to be aggregated", timeout_s=15)
    asked: Iterable[tuple[str, str, str, bool]] = [
        ("viewer", "list", jobs, True),
        ("viewer", "create", jobs, False),
        ("editor", "delete", jobs, True),
        ("owner", "patch", jobs, True),
        ("owner", "patch", f"{jobs}/status", False),
        ("owner", "create", pools, False),
    ]
    found = [(user, verb, what, _may(control_plane, namespace, user, verb, what)) for user, verb, what, _ in asked]
    assert found == asked


def _may(plane: ControlPlane, namespace: str, user: str, verb: str, what: str) -> bool:
    resource, _, subresource = what.partition("/")
    options = [f"--subresource={subresource}"] if subresource else []
    done = plane.kubectl("auth", "can-i", verb, resource, *options, f"--as={user}", "-n", namespace, check=False)
    return done.stdout.strip() == "yes"


def test_the_operator_may_not_read_a_secret(control_plane: ControlPlane) -> None:
    """Nor make a pod run a command, nor give itself rights."""
    for verb, what in (("get", "secrets"), ("create", "pods/exec"), ("bind", "clusterroles"), ("update", "nodes")):
        assert not _may(control_plane, NAMESPACE, ACCOUNT, verb, what), f"{verb} {what}"
