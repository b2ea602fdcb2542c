"""The operator under the chart's own rights: everything that it does, nothing that it may do and does not.

The API server's audit log tells what the operator asks for in a life with all that happens to gangs. Each verb of each
rule must be needed by a request of that life that no other rule allows. Then each in turn is really taken out of its
role, and the API server's authorizer has to refuse one of those requests: the life would not have gone without it.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from berth.cli.commands import plugin
from e2e.chart.generate import ROOT
from e2e.chart.helm import Helm
from e2e.ground.api import Api
from e2e.ground.binaries import Binaries
from e2e.ground.controlplane import ControlPlane
from e2e.ground.waiting import until
from e2e.running import OperatorProcess
from tests.integration import audit
from tests.integration.charted import ACCOUNT, NAMESPACE, install, login, rendered, settings
from tests.integration.rights_life import Life, Role, live, may
from tests.integration.scene import Scene

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

FORBIDDEN = 403
VALUES = {"rbac": {"blockOwnerDeletion": True}}
OWNERS = audit.Grant("berth", "berth.dev", "trainingjobs/finalizers", "update")
"""It is asked for by an admission plugin, not by a request of the operator."""


PLANNED = [
    ("", "nodes"),
    ("", "pods"),
    ("scheduling.k8s.io", "priorityclasses"),
    ("berth.dev", "acceleratorpools"),
    ("berth.dev", "trainingjobs"),
]


def _of_operator(grant: audit.Grant) -> bool:
    return not grant.role.endswith(("-viewer", "-editor", "-planner"))


def _granted() -> list[audit.Grant]:
    """All that the operator's roles grant: the golden manifests, and what only some clusters need."""
    manifests = yaml.safe_load_all((ROOT / "tests" / "golden" / "default.yaml").read_text())
    roles = [found for found in manifests if found and found["kind"] in ("ClusterRole", "Role")]
    roles.sort(key=lambda role: str(role["kind"]))
    return [*(grant for grant in audit.grants(roles) if _of_operator(grant)), OWNERS]


GRANTED = _granted()
PLANNER = "berth-planner"
PLANNERS = [audit.Grant(PLANNER, group, resource, "list") for group, resource in PLANNED]


@pytest.fixture(scope="module")
def control_plane(programs: Binaries, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane of its own, which logs what the operator asks for, with the chart installed."""
    directory = tmp_path_factory.mktemp("rights")
    options = audit.policy(directory / "audit.yaml", ACCOUNT)
    options.append("--enable-admission-plugins=OwnerReferencesPermissionEnforcement")
    with ControlPlane(binaries=programs, extra_args={"kube-apiserver": options}) as plane:
        install(Helm(directory, kubeconfig=plane.kubeconfig), plane, VALUES)
        yield plane


@pytest.fixture(scope="module")
def audit_log(control_plane: ControlPlane) -> Path:
    """The API server's log of the operator's requests."""
    options = control_plane.child("kube-apiserver").argv
    return Path(next(option.partition("=")[2] for option in options if option.startswith("--audit-log-path=")))


@pytest.fixture(scope="module")
def life(control_plane: ControlPlane, audit_log: Path, tmp_path_factory: pytest.TempPathFactory) -> Life:
    """All that the operator asks for, lived once."""
    return live(control_plane, audit_log, tmp_path_factory.mktemp("life"))


@pytest.fixture
def operator(control_plane: ControlPlane, tmp_path: Path) -> Iterator[OperatorProcess]:
    """The operator, with the chart's settings and the chart's account."""
    with OperatorProcess(login(control_plane, tmp_path), tmp_path, settings=settings(control_plane)) as running:
        yield running


@pytest.fixture
def scene(api: Api, namespace: str, add_nodes: Any) -> Iterator[Scene]:
    """A corner of the cluster."""
    made = Scene(api, namespace, add_nodes, number=1)
    yield made
    made.clear()


def refusals(log: Path, since: int = 0) -> list[str]:
    """Requests that were refused, with what they were about; of the log from an offset on."""
    with log.open("rb") as file:
        file.seek(since)
        recent = log.with_name("recent.log")
        recent.write_bytes(file.read().rpartition(b"\n")[0])
    return sorted({str(request) for request, code in audit.requests(recent) if code == FORBIDDEN})


def test_each_verb_is_needed_and_none_is_missing(life: Life, tmp_path: Path) -> None:
    """One life, told by the audit log, against the rules of the rendered roles; both ways."""
    roles = [role for kind in ("ClusterRole", "Role") for role in rendered(Helm(tmp_path), kind)]
    granted = [grant for grant in audit.grants(roles) if _of_operator(grant)]
    assert granted == [grant for grant in GRANTED if grant != OWNERS]
    used = [request for request, _ in life.requests]
    # The fence is proven by pods that the policy has to refuse: that is no want of a right.
    proof = "create pods kube-system"
    assert [str(request) for request, code in life.requests if code == FORBIDDEN and str(request) != proof] == []
    assert [str(request) for request in audit.ungranted(granted, used)] == []
    assert audit.unneeded(granted, used) == []
    assert [line for line in life.lines if "orbidden" in json.dumps(line) or line["level"] == "ERROR"] == []


@pytest.mark.parametrize("taken", [grant for grant in GRANTED if grant != OWNERS], ids=str)
def test_no_verb_can_be_taken_away(life: Life, control_plane: ControlPlane, taken: audit.Grant) -> None:
    """Each in turn is taken out of its role: the API server's authorizer then refuses what that life has asked for."""
    needing = audit.relying(taken, GRANTED, [request for request, _ in life.requests])
    assert needing != []
    # The authorizer hears of a change of a role by a watch.
    with Role(control_plane.api, taken):
        for request in needing:
            until(
                lambda asked=request: not may(control_plane.api, ACCOUNT, asked),  # type: ignore[misc]
                f"{request} to be refused without {taken}",
                timeout_s=10,
            )
    for request in needing:
        until(
            lambda asked=request: may(control_plane.api, ACCOUNT, asked),  # type: ignore[misc]
            f"{request} to be allowed again",
            timeout_s=10,
        )


TAKEN = [
    ("services", "create", "create services"),
    ("pods", "delete", "delete pods"),
    ("trainingjobs/status", "patch", "patch trainingjobs/status"),
    ("poddisruptionbudgets", "get", "get poddisruptionbudgets"),
    ("events", "create", "create events"),
    ("trainingjobs/finalizers", "update", "create pods"),
]


@pytest.mark.parametrize(("resource", "verb", "refused"), TAKEN)
def test_a_right_that_is_taken_away_is_missed(
    scene: Scene, api: Api, operator: OperatorProcess, audit_log: Path, resource: str, verb: str, refused: str
) -> None:
    """A gang that runs and is suspended gets a refusal, which the metrics count; with the right it had none."""
    (taken,) = [g for g in GRANTED if (g.resource, g.verb, g.role) == (resource, verb, "berth")]
    before = audit_log.stat().st_size
    with Role(api, taken):
        try:
            scene.cluster([2])
            scene.submit("train", replicas=2)
            if resource in ("pods", "poddisruptionbudgets", "events"):
                scene.wait("train", "Running")
                scene.edit("train", suspend=True)
            until(
                lambda: any(told.startswith(refused) for told in refusals(audit_log, before)),
                lambda: f"a refusal of {refused}; there are {refusals(audit_log)}",
                timeout_s=20,
            )
            until(lambda: 'code="403"' in operator.get("/metrics")[1], "the refusal to be counted", timeout_s=10)
        finally:
            scene.delete("train")
    scene.wait_gone("train")


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


def test_a_planner_sees_where_things_are_and_what_would_fit(
    control_plane: ControlPlane, api: Api, scene: Scene, namespace: str, tmp_path: Path
) -> None:
    """Who is bound to berth-planner, and may edit a namespace, has all that `tree` and `plan` need, and no more."""
    scene.cluster([2])
    user = _planner(control_plane, namespace, tmp_path)
    control_plane.kubectl(
        "create", "rolebinding", "edits", "--clusterrole=edit", f"--serviceaccount={namespace}:planner", "-n", namespace
    )
    manifest = json.dumps(scene.manifest("new", replicas=2))
    until(lambda: user("tree").exit_code == 0, lambda: user("tree").output, timeout_s=15)
    until(lambda: user("plan", "-f", "-", "-n", namespace, stdin=manifest).exit_code == 0, "the plan", timeout_s=15)
    assert user("plan", "-f", "-", "-n", namespace, stdin=manifest).output.startswith(
        f"{namespace}/new could start now"
    )
    role = api.get(f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{PLANNER}")
    assert list(audit.grants([role])) == PLANNERS
    for taken in PLANNERS:
        with Role(api, taken):
            told = f'cannot list resource "{taken.resource}"'
            until(lambda told=told: told in user("tree").output, f"tree to say {told}", timeout_s=15)  # type: ignore[misc]


def _planner(plane: ControlPlane, namespace: str, directory: Path) -> Callable[..., Result]:
    """The plugin as a ServiceAccount that is bound to berth-planner has it."""
    plane.kubectl("create", "serviceaccount", "planner", "-n", namespace)
    name, subject = f"planner-{namespace}", f"--serviceaccount={namespace}:planner"
    plane.kubectl("create", "clusterrolebinding", name, f"--clusterrole={PLANNER}", subject)
    kubeconfig = login(plane, directory, name="planner", namespace=namespace)

    def run(*words: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(plugin, [*words, "--kubeconfig", str(kubeconfig)], input=stdin)

    return run


def test_the_operator_may_not_read_a_secret(control_plane: ControlPlane) -> None:
    """Nor make a pod run a command, nor give itself rights."""
    for verb, what in (("get", "secrets"), ("create", "pods/exec"), ("bind", "clusterroles"), ("update", "nodes")):
        assert not _may(control_plane, NAMESPACE, ACCOUNT, verb, what), f"{verb} {what}"
