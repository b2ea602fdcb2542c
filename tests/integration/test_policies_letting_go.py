"""Devices come free when a gang ends: no orphans, and no replica that vanishes from the API while it may still run."""

import pytest

from e2e.ground.api import JsonObject
from tests.integration.scene import Scene
from tests.integration.tenants import Tenant, refusal
from tests.manifests import job

pytestmark = pytest.mark.cluster
pytest_plugins = ("tests.integration.guarding",)

NO_ORPHANS = (
    'berth-letting-go: propagationPolicy: "Orphan" cannot be chosen: the replicas would keep their devices without a '
    "job; leave --cascade=orphan out"
)
NOT_BY_FORCE = (
    "berth-letting-go: gracePeriodSeconds: 0 cannot be chosen: the replica's devices would be given away while its "
    "containers may still run; leave --force and --grace-period=0 out"
)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param({"propagationPolicy": "Orphan"}, NO_ORPHANS, id="leaving its pods behind"),
        pytest.param({"orphanDependents": True}, NO_ORPHANS, id="the same in the old way"),
        pytest.param({"propagationPolicy": "Foreground"}, "taken", id="after its pods"),
        pytest.param({"propagationPolicy": "Background"}, "taken", id="before its pods"),
        pytest.param({}, "taken", id="as kubectl does"),
    ],
)
def test_a_job_is_deleted(tenant: Tenant, options: JsonObject, said: str) -> None:
    """Only with everything that belongs to it."""
    tenant.api.create(tenant.jobs, job("train"))
    assert refusal(lambda: tenant.api.delete(f"{tenant.jobs}/train", options)) == said


def test_a_job_says_by_no_finalizer_that_its_pods_stay(tenant: Tenant) -> None:
    """The finalizer `orphan` would do the same at any later deletion; other finalizers are the tenant's business."""
    said = (
        'berth-letting-go: metadata.finalizers: "orphan" cannot be set: the replicas would keep their devices without '
        "a job; remove it"
    )
    made = job("train")
    made["metadata"]["finalizers"] = ["orphan"]
    assert refusal(lambda: tenant.api.create(tenant.jobs, made)) == said
    tenant.api.create(tenant.jobs, job("train"))
    late = {"metadata": {"finalizers": ["orphan"]}}
    assert refusal(lambda: tenant.api.patch(f"{tenant.jobs}/train", late)) == said
    other = {"metadata": {"finalizers": ["example.com/report"]}}
    assert refusal(lambda: tenant.api.patch(f"{tenant.jobs}/train", other)) == "taken"
    tenant.api.patch(f"{tenant.jobs}/train", {"metadata": {"finalizers": None}})


def test_a_replica_is_not_deleted_by_force(fleet: Scene, tenant: Tenant) -> None:
    """One by one or all together; with the time that it needs, it may be deleted, and the gang starts anew."""
    fleet.cluster([1])
    tenant.api.create(tenant.jobs, fleet.manifest("train", devices=1))
    fleet.wait("train", "Running")
    pods = f"{tenant.core}/pods"
    assert refusal(lambda: tenant.api.delete(f"{pods}/train-1-0?gracePeriodSeconds=0")) == NOT_BY_FORCE
    assert refusal(lambda: tenant.api.delete(f"{pods}/train-1-0", {"gracePeriodSeconds": 0})) == NOT_BY_FORCE
    assert refusal(lambda: tenant.api.delete(f"{pods}?gracePeriodSeconds=0")) == NOT_BY_FORCE
    assert refusal(lambda: tenant.api.delete(f"{pods}/train-1-0")) == "taken"
    fleet.wait_for("train", lambda status: status.get("attempt") == 2, "to start anew", timeout_s=30)


def test_a_pod_of_the_tenants_own_is_deleted_as_ever(tenant: Tenant) -> None:
    """By force, too: it holds nothing of Berth's."""
    tenant.api.create(f"{tenant.core}/pods", tenant.pod())
    assert refusal(lambda: tenant.api.delete(f"{tenant.core}/pods/pod?gracePeriodSeconds=0")) == "taken"
