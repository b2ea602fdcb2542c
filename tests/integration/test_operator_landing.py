"""What a pool does to the gangs that land in it, and where groups and affinity put them, on a real API server."""

import pytest

from tests.integration.scene import GPU, Scene

pytestmark = pytest.mark.cluster
pytest_plugins = ("tests.integration.operating",)

RDMA = "rdma/hca"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def test_defaults_of_a_pool_are_in_every_replica_and_count(scene: Scene) -> None:
    """The user wrote none of it; a node that lacks the resource takes nothing, and the job says so."""
    scene.cluster([1], pool=False, resources={RDMA: "8"})
    scene.cluster([1], pool=False)
    defaults = {
        "resources": {RDMA: "8"},
        "sharedMemory": "1Gi",
        "capabilities": ["IPC_LOCK"],
        "tolerations": [{"key": GPU, "operator": "Exists"}],
        "env": [{"name": "NCCL_IB_HCA", "value": "mlx5"}],
    }
    scene.add_pool(podDefaults=defaults)
    scene.submit("train")
    scene.wait("train", "Running")

    (pod,) = scene.pods("train").values()
    (container,) = pod["spec"]["containers"]
    assert pod["spec"]["nodeName"] == scene.nodes[0]
    assert container["resources"]["limits"] == {GPU: "8", RDMA: "8"}
    assert container["securityContext"] == {"capabilities": {"add": ["IPC_LOCK"]}}
    assert {"name": "NCCL_IB_HCA", "value": "mlx5"} in container["env"]
    assert any(toleration.get("key") == GPU for toleration in pod["spec"]["tolerations"])
    (volume,) = [v for v in pod["spec"]["volumes"] if v["name"] == "berth-shared-memory"]
    assert volume["emptyDir"] == {"medium": "Memory", "sizeLimit": "1Gi"}

    scene.submit("second")
    told = scene.wait_pending("second", "InsufficientDevices")["message"]
    assert f"1: 0 of 8 {RDMA}" in told
    scene.submit("own", container={"resources": {"limits": {RDMA: "1"}}})
    assert f"0 of 1 {RDMA}" in scene.wait_pending("own", "InsufficientDevices")["message"]


def test_a_job_is_counted_by_the_defaults_of_each_pool_that_it_may_land_in(scene: Scene) -> None:
    """The pool that it prefers adds what its nodes do not have; the other adds nothing, and takes it."""
    scene.cluster([1], [1], pool=False)
    first, other = f"{scene.pool}-fabric", f"{scene.pool}-plain"
    scene.label(scene.nodes[:1], first)
    scene.label(scene.nodes[1:], other)
    scene.add_pool(first, nodeSelector={"matchLabels": {"scene": first}}, podDefaults={"resources": {RDMA: "8"}})
    scene.add_pool(other, nodeSelector={"matchLabels": {"scene": other}})
    scene.submit("train", pools=[first, other])

    assert scene.wait("train", "Running")["pool"] == other
    (pod,) = scene.pods("train").values()
    assert RDMA not in pod["spec"]["containers"][0]["resources"]["limits"]


def test_groups_of_ranks_sit_in_one_leaf_each_and_know_their_number(scene: Scene) -> None:
    """Three free nodes here, three there: pairs are not torn, and PyTorch on Ascend reads which pair it is in."""
    scene.cluster([3, 3])
    topology = {"groups": {"size": 2, "level": "leaf"}}
    scene.submit("train", replicas=4, topology=topology, runtime="TorchNPU")
    scene.wait("train", "Running")

    assert scene.placed("train") == [scene.nodes[number] for number in (0, 1, 3, 4)]
    found = []
    for pod in scene.pods("train").values():
        env = {v["name"]: v.get("value") for v in pod["spec"]["containers"][0]["env"]}
        assert (env["WORLD_SIZE"], env["MASTER_PORT"]) == ("32", "29500")
        found.append((env["RANK"], env["HCCL_LOGIC_SUPERPOD_ID"]))
    assert found == [("0", "0"), ("1", "0"), ("2", "1"), ("3", "1")]

    scene.submit("torn", replicas=2, topology=topology)
    text = "needs 1 free group of 2 nodes, each under one leaf; the most free is 0"
    pending = scene.wait_pending("torn", "TopologyBlocked")
    assert text in pending["message"]
    assert pending["nearest"][0].startswith("no topology.groups: could start now")


def test_a_spare_is_not_given_to_a_new_gang(scene: Scene) -> None:
    """One node of each spine is kept; the job that would need it hears so, and a smaller one starts."""
    scene.cluster([2, 1], pool=False)
    scene.add_pool(spares={"level": "spine", "nodes": 1})
    scene.submit("large", replicas=3)
    told = scene.wait_pending("large", "TooLarge")
    assert "1 of 3 nodes: kept free as a spare" in told["message"]
    scene.wait_pool(scene.pool, lambda status: status["nodes"] == {"total": 3, "ready": 3, "spare": 1})
    scene.submit("train", replicas=2)
    scene.wait("train", "Running")
    assert sorted(scene.placed("train")) == scene.nodes[:2]


def test_required_node_affinity_of_a_template_is_planned_with(scene: Scene) -> None:
    """The gang sits where it asks to, and kube-scheduler agrees."""
    scene.cluster([2, 2])
    terms = [
        {"matchExpressions": [{"key": "net/leaf", "operator": "In", "values": ["leaf-12"]}]},
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [scene.nodes[1]]}]},
    ]
    affinity = {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": terms}}}
    scene.submit("train", replicas=3, pod={"affinity": affinity})
    scene.wait("train", "Running")
    assert sorted(scene.bound("train")) == scene.nodes[1:]

    nowhere = [{"matchExpressions": [{"key": "net/leaf", "operator": "Gt", "values": ["3"]}]}]
    scene.submit("nowhere", pod={"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": nowhere}}}})
    told = scene.wait_pending("nowhere", "TooLarge")["message"]
    assert "node affinity: not net/leaf Gt 3" in told
