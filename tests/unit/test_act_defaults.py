"""What a pool merges into the replicas that land in it, and how a job that may land in several is counted."""

from dataclasses import replace
from typing import Any

import pytest

from berth.act.pods import Replicas
from berth.act.probe import try_replica
from berth.api.pod_defaults import PodDefaults
from berth.cluster.jobs import JobEntry, Replica
from berth.cluster.mirror import Mirror
from berth.core.admission import find, refusal
from berth.core.model import Gang, Mode, Node, Shape
from berth.core.plan import Reason
from tests.builders import a_pool, by_name, node
from tests.unit.small_cluster import SmallCluster
from tests.unit.small_cluster import refusal as refused_by
from tests.unit.wire_objects import GPU, Json, a_job, a_template, pool_facts

RDMA = "rdma/hca_shared_devices_a"
TRAINER = {"name": "trainer", "image": "trainer:1"}
SIDECAR = {"name": "log", "image": "log:1"}
EVERYTHING = PodDefaults.model_validate(
    {
        "resources": {RDMA: "8"},
        "sharedMemory": "64Gi",
        "capabilities": ["IPC_LOCK"],
        "tolerations": [{"key": GPU, "operator": "Exists"}],
        "env": [{"name": "NCCL_IB_HCA", "value": "mlx5"}],
    }
)


def spec_of(*containers: Json, defaults: PodDefaults = EVERYTHING, **spec: Any) -> Json:
    job = a_job(template=a_template(*containers, **spec))
    found: Json = Replicas(job, 1, GPU, pool_defaults=defaults).pod(0, "n1")["spec"]
    return found


def with_rdma(amount: int) -> Node:
    plain = node("n1")
    return replace(plain, allocatable={**plain.allocatable, RDMA: amount})


def env(container: Json) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in container["env"] if not entry["name"].startswith("BERTH_")}


def test_the_trainer_gets_all_of_it_and_a_sidecar_only_what_is_everybodys() -> None:
    """What belongs to the devices goes where the devices go."""
    spec = spec_of(TRAINER, SIDECAR)
    trainer, sidecar = spec["containers"]
    assert trainer["resources"] == {"limits": {GPU: "8", RDMA: "8"}}
    assert trainer["securityContext"] == {"capabilities": {"add": ["IPC_LOCK"]}}
    assert trainer["volumeMounts"] == [{"name": "berth-shared-memory", "mountPath": "/dev/shm"}]
    assert spec["volumes"] == [
        {"name": "berth-shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": "64Gi"}},
    ]
    assert spec["tolerations"] == [{"key": GPU, "operator": "Exists"}]
    assert env(trainer) == env(sidecar) == {"NCCL_IB_HCA": "mlx5"}
    assert {"resources", "securityContext", "volumeMounts"}.isdisjoint(sidecar)


def test_the_container_that_asks_for_the_devices_is_the_trainer() -> None:
    """Wherever it stands."""
    asking = {**TRAINER, "resources": {"limits": {GPU: "8"}}}
    sidecar, trainer = spec_of(SIDECAR, asking)["containers"]
    assert trainer["resources"]["limits"] == {GPU: "8", RDMA: "8"}
    assert "resources" not in sidecar


def test_what_a_job_sets_itself_stays() -> None:
    """Amount, mount, variable, and a capability that it drops."""
    own = {
        **TRAINER,
        "resources": {"limits": {RDMA: "2"}},
        "env": [{"name": "NCCL_IB_HCA", "value": "bond0"}],
        "securityContext": {"runAsUser": 0, "capabilities": {"add": ["SYS_PTRACE"], "drop": ["IPC_LOCK"]}},
        "volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}],
    }
    volumes = [{"name": "shm", "emptyDir": {"medium": "Memory"}}]
    tolerations = [{"key": "team", "operator": "Exists"}, {"key": GPU, "operator": "Exists"}]
    spec = spec_of(own, volumes=volumes, tolerations=tolerations)
    (trainer,) = spec["containers"]
    assert trainer["resources"]["limits"] == {RDMA: "2", GPU: "8"}
    assert env(trainer) == {"NCCL_IB_HCA": "bond0"}
    assert trainer["securityContext"] == own["securityContext"]
    assert (trainer["volumeMounts"], spec["volumes"]) == (own["volumeMounts"], volumes)
    assert spec["tolerations"] == tolerations


def test_a_request_of_another_container_is_the_jobs_own_setting_too() -> None:
    """The pod's sum is what its author meant."""
    other = {**SIDECAR, "resources": {"requests": {RDMA: "1"}}}
    trainer, sidecar = spec_of(TRAINER, other)["containers"]
    assert trainer["resources"] == {"limits": {GPU: "8"}}
    assert sidecar["resources"] == {"requests": {RDMA: "1"}}


def test_tolerations_and_capabilities_are_united() -> None:
    """The job's own first, and none twice."""
    own = {**TRAINER, "securityContext": {"capabilities": {"add": ["SYS_PTRACE"]}}}
    spec = spec_of(own, tolerations=[{"key": "team", "operator": "Exists"}])
    assert spec["tolerations"] == [{"key": "team", "operator": "Exists"}, {"key": GPU, "operator": "Exists"}]
    assert spec["containers"][0]["securityContext"]["capabilities"] == {"add": ["SYS_PTRACE", "IPC_LOCK"]}


def test_a_job_is_not_changed_by_what_is_merged_into_its_replicas() -> None:
    """The next attempt may land elsewhere."""
    job = a_job(template=a_template({**TRAINER, "securityContext": {"capabilities": {"add": ["SYS_PTRACE"]}}}))
    before = job.model_copy(deep=True)
    Replicas(job, 1, GPU, pool_defaults=EVERYTHING).pod(0, "n1")
    assert job == before
    assert Replicas(job, 1, GPU).pod(0, "n1")["spec"] == Replicas(before, 1, GPU).pod(0, "n1")["spec"]


# Counting

PLAIN = pool_facts()
FABRIC = pool_facts("fabric", defaults=EVERYTHING, defaults_id="1234")


async def test_a_job_is_tried_once_for_each_set_of_defaults() -> None:
    """As it would be in each pool; the devices themselves are counted by the pool."""
    cluster = SmallCluster()
    found = await try_replica(cluster, JobEntry.of(a_job()), [PLAIN, FABRIC])
    shapes = dict(found.shapes)
    assert len(cluster.calls) == 2
    assert shapes[""].requests == found.requests == (("pods", 1),)
    assert shapes["1234"].requests == (("pods", 1), (RDMA, 8))
    assert [toleration.key for toleration in shapes["1234"].tolerations] == [GPU]
    assert found.hindrance is None


async def test_without_defaults_there_is_one_shape() -> None:
    """The usual case costs one try, and nothing in memory."""
    found = await try_replica(SmallCluster(), JobEntry.of(a_job()), [PLAIN])
    assert found.shapes == ()


async def test_only_what_every_pool_would_refuse_holds_a_job_back() -> None:
    """A pool whose defaults a policy forbids is left out, with the sentence."""
    error = refused_by(403, "Forbidden", 'pods "x" is forbidden: violates PodSecurity "baseline:latest"')
    cluster = SmallCluster()
    cluster.fail("try pods", error, times=1)
    found = await try_replica(cluster, JobEntry.of(a_job()), [FABRIC, PLAIN])
    assert found.hindrance is None
    refused = dict(found.shapes)["1234"].refused
    assert refused is not None
    assert "PodSecurity" in refused
    cluster.fail("try pods", error, times=2)
    found = await try_replica(cluster, JobEntry.of(a_job()), [FABRIC, PLAIN])
    assert found.hindrance is not None


def test_a_pool_that_comes_with_other_defaults_has_jobs_tried_again() -> None:
    """And until that is done the job does not land there."""
    mirror = Mirror()
    mirror.put_pool(PLAIN)
    mirror.put_job(a_job())
    mirror.set_replica("train-uid", Replica(1))
    assert list(mirror.unprobed()) == []
    mirror.put_pool(FABRIC)
    (entry,) = mirror.unprobed()
    assert [facts.name for facts in mirror.landings(entry)] == ["fabric", "h800"]
    (job,) = mirror.snapshot(Mode.ACTIVE).jobs
    assert job.gang.shape("") is not None
    assert job.gang.shape("1234") is None


def test_a_gang_is_counted_by_what_it_is_in_each_pool() -> None:
    """RDMA that only one pool adds is only asked of that pool's nodes, and a taint only tolerated there."""
    shapes = (("", Shape()), ("1234", Shape(requests=((RDMA, 8),))))
    gang = Gang(1, 8, shapes=shapes)
    plain = a_pool("a-plain", (), [node("n0")])
    fabric = a_pool("fabric", (), [with_rdma(4)], defaults="1234")
    berth = find(gang, by_name(fabric, plain))
    assert berth is not None
    assert berth.pool.name == "a-plain"
    assert find(gang, by_name(fabric)) is None
    assert f"4 of 8 {RDMA}" in refusal(gang, by_name(fabric)).message


@pytest.mark.parametrize(
    ("shapes", "reason", "says"),
    [
        ((("", Shape()),), Reason.VALIDATING, "a replica is being tried with the podDefaults of pool fabric"),
        (
            (("", Shape()), ("1234", Shape(refused="PodSecurity"))),
            Reason.TEMPLATE_REFUSED,
            "with the podDefaults of pool fabric: PodSecurity",
        ),
    ],
)
def test_a_pool_in_which_a_replica_cannot_be_is_told(
    shapes: tuple[tuple[str, Shape], ...], reason: Reason, says: str
) -> None:
    """Not tried yet, or refused."""
    fabric = by_name(a_pool("fabric", (), [node("n1")], defaults="1234"))
    gang = Gang(1, 8, shapes=shapes)
    assert find(gang, fabric) is None
    told = refusal(gang, fabric)
    assert (told.reason, told.message) == (reason, says)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (None, ["h800"]),
        (["h800"], ["h800"]),
        (["gone", "h800"], ["h800"]),
        (["npu"], ["npu"]),
        (["npu", "fabric"], ["fabric", "npu"]),
        (["broken"], []),
        (["gone"], []),
    ],
)
def test_a_replica_is_tried_in_pools_that_the_job_may_run_in(wanted: list[str] | None, expected: list[str]) -> None:
    """Those that can be used: they say what a device is called, and what they merge into it. Equal ones once."""
    mirror = Mirror()
    mirror.put_pool(pool_facts("broken", resource="", problem=("UnknownProfile", "there is none")))
    mirror.put_pool(pool_facts("npu", resource="example.com/npu"))
    mirror.put_pool(PLAIN)
    if wanted is not None:
        mirror.put_pool(FABRIC)
    spec: dict[str, Any] = {} if wanted is None else {"pools": wanted}
    assert [facts.name for facts in mirror.landings(JobEntry.of(a_job(**spec)))] == expected
