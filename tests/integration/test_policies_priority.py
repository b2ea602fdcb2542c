"""Which namespace may use which PriorityClass, in its jobs and in its pods."""

from collections.abc import Iterator

import pytest

from e2e.ground.controlplane import ControlPlane
from e2e.ground.waiting import until
from tests.integration.scene import CLASSES, Scene
from tests.integration.tenants import Tenant, refusal
from tests.manifests import job

pytestmark = pytest.mark.cluster
pytest_plugins = ("tests.integration.guarding",)

CLASSES_ALLOWED = "/api/v1/namespaces/kube-system/configmaps/berth-priority-classes"


def not_for(policy: str, name: str, namespace: str) -> str:
    return (
        f'{policy}: spec.priorityClassName: "{name}" is not for namespace {namespace}; leave it out or name another, '
        "or have the ConfigMap kube-system/berth-priority-classes allow it"
    )


@pytest.fixture
def classes(guarded_plane: ControlPlane, tenant: Tenant) -> Iterator[None]:
    """`mine` is for the tenant and another, `theirs` for another, `anybody` has no key."""
    api = guarded_plane.api
    for value, name in enumerate(("mine", "theirs", "anybody"), 1000):
        api.create(CLASSES, {"metadata": {"name": name}, "value": value})
    before = api.get(CLASSES_ALLOWED)["data"]
    keys = {"mine": f"someone\n{tenant.namespace}\n", "theirs": "someone\n"}
    api.patch(CLASSES_ALLOWED, {"data": keys})
    until(lambda: "someone" not in _said(tenant, "mine"), "the parameters to be heard of", timeout_s=15)
    until(lambda: _said(tenant, "theirs") != "taken", "the parameters to be heard of", timeout_s=15)
    yield
    api.patch(CLASSES_ALLOWED, {"data": {**dict.fromkeys(keys), **before}})
    for name in ("mine", "theirs", "anybody"):
        api.delete(f"{CLASSES}/{name}")


def _said(tenant: Tenant, name: str) -> str:
    return refusal(lambda: tenant.api.create(f"{tenant.jobs}?dryRun=All", job(priorityClassName=name)))


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        pytest.param("mine", True, id="of its own"),
        pytest.param("theirs", False, id="of another"),
        pytest.param("anybody", True, id="of nobody in particular"),
        pytest.param("system-node-critical", False, id="of the system, which no key has to name"),
    ],
)
def test_a_class(classes: None, tenant: Tenant, name: str, taken: bool) -> None:
    """The same for jobs and for pods."""
    expected = "taken" if taken else not_for("berth-job-priority", name, tenant.namespace)
    assert _said(tenant, name) == expected
    pod = tenant.pod(priorityClassName=name)
    expected = "taken" if taken else not_for("berth-pod-priority", name, tenant.namespace)
    assert refusal(lambda: tenant.api.create(f"{tenant.core}/pods?dryRun=All", pod)) == expected


def test_a_job_changes_to_no_class_of_another_and_keeps_what_it_has(
    guarded_plane: ControlPlane, classes: None, tenant: Tenant
) -> None:
    """Parameters that change do not lock a job up: it can still be suspended, and leave its class."""
    tenant.api.create(tenant.jobs, job("train", priorityClassName="mine"))
    path = f"{tenant.jobs}/train"
    theirs = {"spec": {"priorityClassName": "theirs"}}
    assert refusal(lambda: tenant.api.patch(path, theirs)) == not_for("berth-job-priority", "theirs", tenant.namespace)
    guarded_plane.api.patch(CLASSES_ALLOWED, {"data": {"mine": ""}})
    until(lambda: _said(tenant, "mine") != "taken", "the parameters to be heard of", timeout_s=15)
    assert refusal(lambda: tenant.api.patch(path, {"spec": {"suspend": True}})) == "taken"
    assert refusal(lambda: tenant.api.patch(path, {"spec": {"priorityClassName": None}})) == "taken"
    back = {"spec": {"priorityClassName": "mine"}}
    assert refusal(lambda: tenant.api.patch(path, back)) == not_for("berth-job-priority", "mine", tenant.namespace)


def test_what_nobody_named_may_be_closed_to_all(guarded_plane: ControlPlane, classes: None, tenant: Tenant) -> None:
    """With `_others` empty, only classes with a key can be used; no class at all is always taken."""
    guarded_plane.api.patch(CLASSES_ALLOWED, {"data": {"_others": ""}})
    until(lambda: _said(tenant, "anybody") != "taken", "the parameters to be heard of", timeout_s=15)
    assert _said(tenant, "mine") == "taken"
    assert refusal(lambda: tenant.api.create(f"{tenant.jobs}?dryRun=All", job())) == "taken"


def test_berths_own_pods_have_the_class_of_its_setting(fleet: Scene, tenant: Tenant) -> None:
    """The policy is about tenants: replicas are made by Berth, and a template cannot name a class."""
    said = refusal(
        lambda: tenant.api.create(
            tenant.jobs, fleet.manifest("train", pod={"priorityClassName": "system-node-critical"})
        )
    )
    assert "spec.template.spec.priorityClassName: Invalid value: " in said
    assert "cannot be set: Berth orders jobs, not pods; remove it, and set spec.priorityClassName" in said
