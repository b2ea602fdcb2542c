"""The commands for people against a real control plane with an operator, with a user's own rights."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from berth.cli import completing
from berth.cli.commands import plugin
from e2e.ground.api import Api, JsonObject
from e2e.ground.controlplane import ControlPlane
from e2e.ground.waiting import until
from tests.integration.scene import ROOT, Scene

pytestmark = pytest.mark.cluster
pytest_plugins = ("tests.integration.operating",)

_SECONDS = 60.0


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Plugin:
    """The plugin as a user of one kubeconfig has it, on a terminal of so many columns."""

    kubeconfig: Path
    columns: int = 160

    def command(self) -> list[str]:
        """The same as a program."""
        return [sys.executable, "-c", "from berth.cli.commands import kubectl; kubectl()"]

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": str(ROOT / "operator"),
            "KUBECONFIG": str(self.kubeconfig),
            "COLUMNS": str(self.columns),
        }

    def __call__(self, *words: str, stdin: str | None = None) -> Ended:
        """Run it in this process, which spares its imports."""
        runner = CliRunner(env={"KUBECONFIG": str(self.kubeconfig), "COLUMNS": str(self.columns)})
        done = runner.invoke(plugin, list(words), input=stdin)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Ended(done.exit_code, done.stdout, done.stderr)


@pytest.fixture
def berth(control_plane: ControlPlane) -> Plugin:
    """As administrator."""
    return Plugin(control_plane.kubeconfig)


@pytest.fixture
def tenant(control_plane: ControlPlane, api: Api, namespace: str, tmp_path: Path) -> Callable[..., Plugin]:
    """As a user who may do only what these rules of one namespace allow."""
    core, rbac = f"/api/v1/namespaces/{namespace}", f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    api.create(f"{core}/serviceaccounts", {"metadata": {"name": "tenant"}})

    def user(*rules: JsonObject) -> Plugin:
        if rules:
            api.create(f"{rbac}/roles", {"metadata": {"name": "tenant"}, "rules": list(rules)})
            subject = {"kind": "ServiceAccount", "name": "tenant", "namespace": namespace}
            role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "tenant"}
            api.create(f"{rbac}/rolebindings", {"metadata": {"name": "tenant"}, "subjects": [subject], "roleRef": role})
        answer = api.create(f"{core}/serviceaccounts/tenant/token", {"spec": {"expirationSeconds": 3600}})
        config = yaml.safe_load(control_plane.kubeconfig.read_text())
        config["users"] = [
            {"name": user["name"], "user": {"token": answer["status"]["token"]}} for user in config["users"]
        ]
        path = tmp_path / "tenant"
        path.write_text(yaml.safe_dump(config))
        return Plugin(path)

    return user


def test_a_job_that_runs_one_that_waits_and_one_that_failed(scene: Scene, berth: Plugin) -> None:
    """Each command tells of each what its status tells, in the same words."""
    scene.cluster([2, 2])
    scene.submit("runs", replicas=2, topology={"level": "leaf"}, maxDuration="2h")
    scene.wait("runs", "Running")
    scene.submit("fails", devices=4, sim={"run": 1, "fail": 1, "exit_code": 3}, backoffLimit=0)
    scene.wait("fails", "Failed", timeout_s=30)
    scene.submit("rests", suspend=True)
    scene.wait("rests", "Suspended")
    scene.submit("succeeds", devices=1, sim={"run": 1})
    scene.wait("succeeds", "Succeeded", timeout_s=30)
    scene.submit("waits", replicas=3, maxDuration="1h")  # the last, so that what it is told stays true
    pending = scene.wait_pending("waits", "InsufficientDevices")
    n = ("-n", scene.namespace)

    queue = berth("queue", *n)
    assert (queue.code, queue.err) == (0, "")
    assert [re.split(" {2,}", line.strip())[:2] for line in queue.lines] == [["POS", "NAME"], ["1", "waits"]]
    assert pending["message"][:40] in queue.out
    assert berth("queue", *n, "-o", "name").lines == ["trainingjob.berth.dev/waits"]
    assert [job["status"]["pending"]["position"] for job in berth("queue", *n, "-o", "json").json["items"]] == [1]

    codes = {name: berth("explain", name, *n, "--exit-code").code for name in scene.jobs()}
    assert codes == {"runs": 0, "fails": 4, "waits": 3, "rests": 3, "succeeds": 0}
    waits = berth("explain", f"{scene.namespace}/waits")
    assert waits.lines[0] == f"{scene.namespace}/waits is Pending: InsufficientDevices"
    assert all(change in waits.out for change in pending["nearest"])
    assert pending["estimatedStart"] in waits.out
    runs = berth("explain", "runs", *n).out
    assert "True, Contiguous: 2 replicas on 2 nodes under spine-1/leaf-1" in runs
    assert "exit code 3" in berth("explain", "fails", *n).out
    assert "spec.suspend is true" in berth("explain", "rests", *n).out

    history = berth("history", "fails", *n)
    assert history.lines[0] == f"{scene.namespace}/fails is Failed"
    assert re.search(r"^ +1  \S+Z +\S+  OwnFailure +replica 0 on node \S+, exit code 3", history.out, re.MULTILINE)
    assert re.search(r"^ +1  \S+Z +\S+  Succeeded +-$", berth("history", "succeeds", *n).out, re.MULTILINE)
    assert berth("history", "runs", *n, "-o", "yaml").out.startswith(
        "apiVersion: berth.dev/v1alpha1\nkind: TrainingJob"
    )

    scene.wait_pool(scene.pool, lambda status: status["devices"]["used"] == 16)
    [row] = [line.split() for line in berth("top").lines if line.startswith(f"{scene.pool} ")]
    assert row[:7] == [scene.pool, "4", "32", "16", "16", "0", "True"]
    tree = berth("tree", scene.pool)
    assert tree.err == ""
    assert [line.split() for line in tree.lines][1:] == [
        [scene.pool, "4", "32", "16", "16", "0", "-"],
        ["spine-1", "4", "32", "16", "16", "0", "-"],
        ["leaf-11", "2", "16", "0", "16", "0", f"{scene.namespace}/runs", "16"],
        ["leaf-12", "2", "16", "16", "0", "0", "-"],
    ]


def test_what_is_not_there_is_told_with_a_remedy(scene: Scene, berth: Plugin) -> None:
    """Exit code 1 for what is not there; nobody who waits is no error."""
    scene.cluster([1])
    job = berth("explain", "nothing", "-n", scene.namespace)
    assert (job.code, job.out) == (1, "")
    lists = f"`kubectl get trainingjobs -n {scene.namespace}` lists what there is"
    assert job.err == f"Error: there is no TrainingJob {scene.namespace}/nothing; {lists}\n"
    pool = berth("tree", "nowhere")
    assert (pool.code, pool.err[: pool.err.index(";")]) == (1, "Error: there is no AcceleratorPool nowhere")
    queue = berth("queue", "-n", scene.namespace)
    assert (queue.code, queue.out, queue.err) == (0, "", f"No job waits in namespace {scene.namespace}.\n")


def test_a_user_without_rights_is_told_which_are_missing(scene: Scene, tenant: Callable[..., Plugin]) -> None:
    """By verb, kind and namespace; what needs the whole cluster names all of them at once."""
    scene.cluster([1])
    scene.submit("runs", maxDuration="1h")
    scene.wait("runs", "Running")
    user = tenant()
    refused = user("queue", "-n", scene.namespace)
    assert refused.code == 1
    assert 'cannot list resource "trainingjobs" in API group "berth.dev" in the namespace' in refused.err
    assert "grant it in a role bound to that user" in refused.err
    tree = user("tree").err
    for kind in ("nodes", "pods", "priorityclasses", "acceleratorpools", "trainingjobs"):
        assert f'cannot list resource "{kind}"' in tree
    assert len(tree.splitlines()) == 6
    plan = user("plan", "-f", "-", "-n", scene.namespace, stdin=json.dumps(scene.manifest("new")))
    assert 'cannot create resource "trainingjobs"' in plan.err
    release = user("release", "--all", "-n", scene.namespace)
    assert release.err.startswith("Error: whether an operator runs cannot be told: ")


def test_a_user_who_may_read_jobs_needs_no_more_to_see_them(scene: Scene, tenant: Callable[..., Plugin]) -> None:
    """Statuses say it all: neither nodes nor pods nor pools are looked at."""
    scene.cluster([1])
    scene.submit("runs", maxDuration="1h")
    scene.wait("runs", "Running")
    scene.submit("waits")
    scene.wait_pending("waits", "InsufficientDevices")
    user = tenant({"apiGroups": ["berth.dev"], "resources": ["trainingjobs"], "verbs": ["get", "list"]})
    n = ("-n", scene.namespace)
    assert user("queue", *n, "-o", "name").lines == ["trainingjob.berth.dev/waits"]
    assert (user("explain", "waits", *n).code, user("history", "runs", *n).code) == (0, 0)


def test_a_plan_is_what_then_happens(scene: Scene, berth: Plugin) -> None:
    """Nodes of a job that fits, reason and changes of one that does not: as the operator says them afterwards."""
    scene.cluster([2, 2], [2])
    scene.foreign_pod("notebook", scene.nodes[5], 4)
    scene.submit("runs", replicas=2, topology={"level": "leaf"}, maxDuration="2h")
    scene.wait("runs", "Running")
    n = ("-n", scene.namespace)

    fits = scene.manifest("fits", replicas=2, topology={"level": "leaf"}, maxDuration="1h")
    told = berth("plan", "-f", "-", *n, "--exit-code", stdin=yaml.safe_dump(fits))
    assert (told.code, told.lines[0]) == (0, f"{scene.namespace}/fits could start now")
    planned = berth("plan", "-f", "-", *n, "-o", "json", stdin=json.dumps(fits)).json["status"]
    assert "fits" not in scene.jobs()
    scene.submit("fits", replicas=2, topology={"level": "leaf"}, maxDuration="1h")
    scene.wait("fits", "Running")
    status = scene.status("fits")
    assert {key: planned["placement"][key] for key in ("nodes", "domain", "level", "spans")} == {
        key: status["placement"][key] for key in ("nodes", "domain", "level", "spans")
    }

    large = scene.manifest("large", replicas=2, topology={"level": "leaf"})
    told = berth("plan", "-f", "-", *n, "--exit-code", stdin=yaml.safe_dump(large))
    assert (told.code, told.lines[0]) == (3, f"{scene.namespace}/large would wait: InsufficientDevices")
    planned = berth("plan", "-f", "-", *n, "-o", "json", stdin=json.dumps(large)).json["status"]
    scene.submit("large", replicas=2, topology={"level": "leaf"})
    status = scene.wait_for("large", lambda s: "estimatedStart" in s.get("pending", {}), "to have an estimate")
    assert {**planned["pending"], "nearest": tuple(planned["pending"]["nearest"])} == {
        **status["pending"],
        "nearest": tuple(status["pending"]["nearest"]),
    }

    placed = berth("plan", "-f", "-", *n, stdin=yaml.safe_dump(fits))
    assert placed.lines[0] == f"{scene.namespace}/fits is placed already (Running)"
    smaller = berth("plan", "-f", "-", *n, stdin=yaml.safe_dump({**large, "spec": {**large["spec"], "replicas": 1}}))
    assert smaller.lines[0] == f"{scene.namespace}/large could start now"


def test_a_plan_of_a_bad_manifest_says_what_the_api_server_says(scene: Scene, berth: Plugin, tmp_path: Path) -> None:
    """Field, value and remedy; and what no schema knows, as the operator would refuse it."""
    scene.cluster([1])
    file = tmp_path / "job.yaml"

    def plan(**spec: Any) -> Ended:
        file.write_text(yaml.safe_dump(scene.manifest("bad", **spec)))
        return berth("plan", "-f", str(file), "-n", scene.namespace)

    zero = plan(replicas=0)
    assert (zero.code, zero.out) == (1, "")
    assert "spec.replicas: Invalid value: 0: must be from 1 to 5000" in zero.err
    assert 'unknown field "spec.replcas"' in plan(replcas=3).err
    shape = plan(container={"resources": {"limits": {"nvidia.com/gpu": "4"}}})
    assert (shape.code, shape.lines[0]) == (0, f"{scene.namespace}/bad would wait: TemplateRefused")
    assert plan(priorityClassName="nobody").lines[0].endswith("would wait: UnknownPriorityClass")
    assert plan(suspend=True).lines[0] == f"{scene.namespace}/bad would be Suspended"


@pytest.fixture
def dead_lease(api: Api, scene: Scene) -> Iterator[str]:
    """A Lease whose holder has been killed: it stands there, and nobody renews it."""
    name, leases = f"dead-{scene.pool}", "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
    api.create(leases, {"metadata": {"name": name}, "spec": {"holderIdentity": "killed", "leaseDurationSeconds": 2}})
    yield name
    api.delete(f"{leases}/{name}")


def test_release_lets_go_where_no_operator_leads(scene: Scene, api: Api, berth: Plugin, dead_lease: str) -> None:
    """Finalizers of Berth's go, those of others stay; budgets go; jobs and pods run on."""
    scene.cluster([2])
    scene.submit("runs", replicas=2)
    scene.wait("runs", "Running")
    finalizers = ["berth.dev/accounting", "example.com/theirs"]
    scene.api.patch(f"{scene.jobs_path}/runs", {"metadata": {"finalizers": finalizers}})
    budgets = f"/apis/policy/v1/namespaces/{scene.namespace}/poddisruptionbudgets"
    n = ("-n", scene.namespace)

    dry = berth("release", "--all", *n, "--dry-run")
    assert (dry.code, dry.lines) == (
        0,
        [
            f"TrainingJob {scene.namespace}/runs: berth.dev/accounting removed (dry run)",
            f"PodDisruptionBudget {scene.namespace}/runs-1: deleted (dry run)",
            "1 gang holds its devices; the pods are left alone, and kubectl delete tj takes its job away with them",
        ],
    )
    assert scene.job("runs")["metadata"]["finalizers"] == finalizers
    assert len(api.get(budgets)["items"]) == 1

    unknown = berth("release", "runs", *n, "--lease-name", "nobodys")
    assert (unknown.code, unknown.out) == (1, "")
    assert unknown.err.startswith("Error: there is no Lease kube-system/nobodys, so whether an operator runs cannot be")
    done = berth("release", "runs", *n, "--lease-name", dead_lease)
    assert (done.code, [line.replace(" (dry run)", "") for line in dry.lines]) == (0, done.lines)
    assert scene.job("runs")["metadata"]["finalizers"] == ["example.com/theirs"]
    assert api.get(budgets)["items"] == []
    assert len(scene.pods("runs")) == 2
    again = berth("release", "runs", *n, "--force").lines
    assert again[0] == "nothing of Berth's holds anything back: no finalizer, no PodDisruptionBudget"
    scene.api.patch(f"{scene.jobs_path}/runs", {"metadata": {"finalizers": []}})


def test_release_leaves_a_cluster_alone_in_which_an_operator_leads(scene: Scene, api: Api, berth: Plugin) -> None:
    """Its Lease moves."""
    scene.cluster([1])
    leases = api.get("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases")["items"]
    held = [one for one in leases if one["metadata"]["name"].startswith("berth-") and one["spec"].get("holderIdentity")]
    renewed = max(held, key=lambda one: str(one["spec"]["renewTime"]))["metadata"]["name"]
    refused = berth("release", "--all", "-n", scene.namespace, "--lease-name", renewed)
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.startswith(f"Error: Berth runs: berth holds the Lease kube-system/{renewed} and renews it; ")


def test_a_watch_prints_again_when_something_changed_and_ends_with_ctrl_c(scene: Scene, berth: Plugin) -> None:
    """The first print is what is there; each later one what has become of it."""
    scene.cluster([1])
    scene.submit("waits", pools=["nowhere"])
    scene.wait_pending("waits", "UnknownPool")
    words = [*berth.command(), "explain", "waits", "-n", scene.namespace, "--watch"]
    with subprocess.Popen(words, env=berth.environment(), stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        try:
            seen: list[str] = []
            for line in running.stdout:
                seen.append(line.rstrip("\n"))
                if line.startswith(f"{scene.namespace}/waits is Pending"):
                    scene.edit("waits", pools=[scene.pool])
                if line.startswith(f"{scene.namespace}/waits is Running"):
                    break
            running.send_signal(signal.SIGINT)
            running.stdout.read()
            until(lambda: running.poll() is not None, "the watch to end", timeout_s=10)
        finally:
            running.kill()
    assert running.returncode == 130
    assert f"{scene.namespace}/waits is Pending: UnknownPool" in seen
    assert re.fullmatch(r"--- \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", seen[0])


def test_names_of_jobs_and_pools_are_completed(scene: Scene, berth: Plugin) -> None:
    """By the options that were given so far, with or without the namespace before a slash; none is offered twice."""
    scene.cluster([1])
    for name in ("beta", "alpha"):
        scene.submit(name, suspend=True)
    there = ("--kubeconfig", str(berth.kubeconfig), "-n", scene.namespace)

    def offered(*words: str) -> list[str]:
        return list(completing.candidates(plugin, words))[:-1]

    assert offered("explain", *there, "") == ["alpha", "beta"]
    assert offered("history", *there, "al") == ["alpha"]
    assert offered("release", *there, "beta", "") == ["alpha"]
    assert offered("explain", *there[:2], f"{scene.namespace}/b") == [f"{scene.namespace}/beta"]
    assert scene.pool in offered("tree", *there[:2], "")
    assert offered("queue", *there, "--pool", scene.pool) == [scene.pool]


def test_kubectl_runs_the_plugin(scene: Scene, control_plane: ControlPlane, berth: Plugin, tmp_path: Path) -> None:
    """A program called kubectl-berth in the PATH is `kubectl berth`; kubectl passes options and exit codes on."""
    scene.cluster([1])
    program = tmp_path / "kubectl-berth"
    program.write_text(f"#!{sys.executable}\nfrom berth.cli.commands import kubectl\nkubectl()\n")
    program.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["kubectl", "berth", "explain", "nothing", "-n", scene.namespace],
        env={**berth.environment(), "PATH": path},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert done.returncode == 1
    assert f"there is no TrainingJob {scene.namespace}/nothing" in done.stderr
