"""What the policies as a whole promise: they check, their defaults suit, and a missing parameter closes, not opens."""

import json
from collections.abc import Callable, Iterator

import pytest
import yaml

from e2e.ground.api import Api
from e2e.ground.controlplane import ControlPlane
from e2e.ground.waiting import until
from e2e.running import OperatorProcess
from tests.integration.scene import ROOT
from tests.integration.tenants import ADMISSION, PARAMETERS, Tenant, hold_again, refusal
from tests.manifests import job

pytestmark = pytest.mark.cluster
pytest_plugins = ("tests.integration.guarding",)

POLICIES = f"{ADMISSION}/validatingadmissionpolicies"
WRONG = {
    "metadata": {"name": "mistyped"},
    "spec": {
        "matchConstraints": {
            "resourceRules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
            ]
        },
        "validations": [{"expression": "object.spec.replicas > 1"}],
    },
}


def warnings(api: Api, name: str) -> list[str]:
    """What the API server's type checker has against a policy, once it has looked at it."""

    def looked() -> bool:
        policy = api.get(f"{POLICIES}/{name}")
        return bool(policy.get("status", {}).get("observedGeneration") == policy["metadata"]["generation"])

    until(looked, f"policy {name} to be checked", timeout_s=30)
    found = api.get(f"{POLICIES}/{name}")["status"].get("typeChecking", {}).get("expressionWarnings", [])
    return [entry["warning"] for entry in found]


def test_no_expression_of_a_policy_has_a_wrong_type(guarded_plane: ControlPlane) -> None:
    """A field that does not exist would refuse everything on the day when it is looked at."""
    api = guarded_plane.api
    names = [policy["metadata"]["name"] for policy in api.get(POLICIES)["items"]]
    api.create(POLICIES, WRONG)
    try:
        assert "undefined field 'replicas'" in warnings(api, "mistyped")[0], "the checker is at work"
    finally:
        api.delete(f"{POLICIES}/mistyped")
    assert {name: warnings(api, name) for name in names} == {name: [] for name in names}
    assert len(names) >= 6


def test_every_policy_fails_closed_and_is_bound(guarded_plane: ControlPlane) -> None:
    """What cannot be judged is refused, and so is what is judged without its parameters."""
    api = guarded_plane.api
    policies = {policy["metadata"]["name"]: policy["spec"] for policy in api.get(POLICIES)["items"]}
    bindings = [binding["spec"] for binding in api.get(f"{ADMISSION}/validatingadmissionpolicybindings")["items"]]
    assert {spec["failurePolicy"] for spec in policies.values()} == {"Fail"}
    assert {binding["policyName"] for binding in bindings} == set(policies)
    assert {binding["validationActions"][0] for binding in bindings} == {"Deny"}
    with_parameters = {name for name, spec in policies.items() if "paramKind" in spec}
    assert {
        binding["policyName"] for binding in bindings if binding.get("paramRef", {}).get("parameterNotFoundAction")
    } == with_parameters


def test_the_first_leader_of_a_cluster_has_a_fence(guarded_plane: ControlPlane, berth: OperatorProcess) -> None:
    """Nobody led before it, so its Lease has counted no term yet; there is an epoch before its own all the same."""
    (leading,) = berth.logged(message="leading")
    assert leading["epoch"] == 0
    fence = guarded_plane.api.get("/api/v1/namespaces/kube-system/configmaps/berth-operator")
    assert fence["data"]["epoch"] == "1"
    assert berth.logged(policy="berth-fence") == []


@pytest.fixture
def without_parameters(guarded_plane: ControlPlane) -> Iterator[None]:
    """The ConfigMap of the parameters is away."""
    guarded_plane.api.delete(PARAMETERS)
    yield
    guarded_plane.kubectl("apply", "-f", str(ROOT / "policies" / "parameters.yaml"))
    hold_again(guarded_plane)


def test_without_parameters_managed_namespaces_close_and_others_go_on(
    new_tenant: Callable[..., Tenant], without_parameters: None
) -> None:
    """Whoever deletes them stops managed namespaces, not the cluster; jobs are still taken, and wait."""
    closed, other = new_tenant(), new_tenant(managed=False)
    until(
        lambda: "no params found" in refusal(lambda: closed.api.create(f"{closed.core}/pods", closed.pod())),
        "the policies to miss their parameters",
        timeout_s=15,
    )
    assert refusal(lambda: other.api.create(f"{other.core}/pods", other.pod())) == "taken"
    assert refusal(lambda: closed.api.create(closed.jobs, job())) == "taken"


@pytest.mark.parametrize(("action", "said"), [("Warn", "Warning: "), ("Audit", "")])
def test_a_policy_that_warns_or_audits_lets_pass(
    guarded_plane: ControlPlane, tenant: Tenant, action: str, said: str
) -> None:
    """The way to find out first who would be refused."""
    path = f"{ADMISSION}/validatingadmissionpolicybindings/berth-accelerators"
    manifest = tenant.pod(container={"resources": {"limits": {"nvidia.com/gpu": "8"}}})
    manifest = {"apiVersion": "v1", "kind": "Pod", **manifest}
    text = "nvidia.com/gpu is given to TrainingJobs only"
    guarded_plane.api.patch(path, {"spec": {"validationActions": [action]}})
    try:

        def heard() -> bool:
            options = ["create", "--dry-run=server", f"--as={tenant.user}", "-n", tenant.namespace, "-f", "-"]
            done = guarded_plane.kubectl(*options, stdin=json.dumps(manifest), check=False)
            told = said in done.stderr and text in done.stderr if said else done.stderr == ""
            return done.returncode == 0 and told

        # What the binding said before is heard for a moment yet, whichever it was.
        until(heard, f"the pod to be taken, by {action}", timeout_s=15)
    finally:
        guarded_plane.api.patch(path, {"spec": {"validationActions": ["Deny"]}})
        hold_again(guarded_plane)


def test_only_the_documented_names_of_berth_stand_in_the_files() -> None:
    """The service account is named as a user, and nothing else of an installation is: a chart may replace it."""
    for path in sorted((ROOT / "policies").glob("*.yaml")):
        text = path.read_text()
        assert text.count("berth-system") == text.count("system:serviceaccount:berth-system:berth'"), path
        for document in yaml.safe_load_all(text):
            assert document["metadata"]["name"].startswith("berth-"), path
