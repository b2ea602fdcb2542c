"""Where a gang may sit: what keeps it off a node, and what it is told about that."""

import pytest

from e2e.ground import nodes
from e2e.ground.api import Api
from e2e.ground.waiting import until
from tests.integration.scene import GPU, Scene

pytestmark = pytest.mark.cluster
pytest_plugins = ("tests.integration.operating",)


def test_a_cordoned_node_takes_nothing_until_it_is_opened(scene: Scene, api: Api) -> None:
    """The gang says that one node is cordoned, and starts when it no longer is."""
    scene.cluster([2])
    nodes.cordon(api, scene.nodes[0])
    scene.submit("train", replicas=2)

    assert scene.wait_pending("train", "InsufficientDevices")["message"] == (
        f"needs 2 nodes; 1 of 2 is open in pool {scene.pool} (1 of 2 nodes: cordoned)"
    )

    nodes.cordon(api, scene.nodes[0], unschedulable=False)
    scene.wait("train", "Running")


def test_a_node_that_is_not_ready_takes_nothing_until_it_recovers(scene: Scene, api: Api) -> None:
    """The same for a node without contact; what runs there stays on record."""
    scene.cluster([2])
    scene.submit("there", replicas=1)
    scene.wait("there", "Running")
    (used,) = scene.placed("there")
    (free,) = set(scene.nodes) - {used}
    nodes.fail(api, free)
    scene.submit("train", replicas=1)

    assert scene.wait_pending("train", "InsufficientDevices")["message"].startswith(
        f"needs 1 node; 0 of 1 are free in pool {scene.pool} (1 of 2 nodes: 0 of 8 {GPU} free; 1: not ready)"
    )
    assert scene.status("there")["state"] == "Running"
    nodes.recover(api, free)
    scene.wait("train", "Running")
    assert scene.placed("train") == [free]


def test_a_taint_keeps_replicas_away_that_do_not_tolerate_it(scene: Scene, api: Api) -> None:
    """A job without the toleration waits and names the taint; one with it starts there."""
    scene.cluster([2])
    for node in scene.nodes:
        nodes.taint(api, node, "team", value="vision")
    scene.submit("other", replicas=2)
    told = f"needs 2 nodes; pool {scene.pool} has 0 (2 of 2 nodes: taint team=vision:NoSchedule)"
    scene.wait_pending("other", "TooLarge", says=told)

    tolerations = [{"key": "team", "operator": "Equal", "value": "vision", "effect": "NoSchedule"}]
    scene.submit("vision", replicas=2, pod={"tolerations": tolerations})

    scene.wait("vision", "Running")


def test_a_node_selector_of_the_template_narrows_the_nodes(scene: Scene, api: Api) -> None:
    """The gang sits where the label is, and says what the other nodes lack when that is too few."""
    scene.cluster([3])
    for node in scene.nodes[1:]:
        api.patch(f"/api/v1/nodes/{node}", {"metadata": {"labels": {"disk": "fast"}}})
    scene.submit("three", replicas=3, pod={"nodeSelector": {"disk": "fast"}})
    scene.submit("two", replicas=2, pod={"nodeSelector": {"disk": "fast"}})

    scene.wait("two", "Running")

    assert scene.placed("two") == scene.nodes[1:]
    told = f"needs 3 nodes; pool {scene.pool} has 2 (1 of 3 nodes: label disk is not fast)"
    scene.wait_pending("three", "TooLarge", says=told)


def test_devices_of_somebody_elses_pod_are_not_given_and_come_free_with_it(scene: Scene, api: Api) -> None:
    """A pod that Berth did not make counts; when it goes, the gang starts."""
    scene.cluster([2])
    scene.foreign_pod("notebook", scene.nodes[1], 1)
    scene.submit("train", replicas=2)
    assert scene.wait_pending("train", "InsufficientDevices")["message"] == (
        f"needs 2 nodes; 1 of 2 is free in pool {scene.pool} (1 of 2 nodes: 7 of 8 {GPU} free)"
    )

    api.delete(f"{scene.core}/pods/notebook")

    scene.wait("train", "Running")
    assert scene.over_committed() == {}


def test_a_finished_pod_of_somebody_else_holds_nothing(scene: Scene, api: Api) -> None:
    """A pod that has ended is still listed, but its devices are free."""
    scene.cluster([1])
    scene.foreign_pod("batch", scene.nodes[0], 8)
    scene.submit("train")
    scene.wait_pending("train", "InsufficientDevices")

    api.patch(f"{scene.core}/pods/batch", {"metadata": {"annotations": {"sim.berth.dev/run-seconds": "0"}}})

    scene.wait("train", "Running")


def test_too_little_cpu_is_told_by_amount(scene: Scene) -> None:
    """Devices are free but CPU is not: the message says how much of how much."""
    scene.cluster([2], resources={"cpu": "16"})
    request = {"resources": {"requests": {"cpu": "12"}}}
    scene.submit("half", replicas=1, devices=4, container=request)
    scene.wait("half", "Running")

    scene.submit("pair", replicas=2, devices=4, container=request)

    pending = scene.wait_pending("pair", "InsufficientDevices")
    assert pending["message"].startswith(
        f"needs 2 slots of 4 devices; 1 of 2 is free in pool {scene.pool} (1 of 2 nodes: 4 of 12 cpu free); "
        f"too little cpu on 1 node costs 1 slot; 1 more comes free when {scene.namespace}/half ends, "
    )
    scene.edit("half", suspend=True)
    scene.wait("pair", "Running")


def test_small_replicas_share_nodes_and_ranks_stay_together(scene: Scene) -> None:
    """Six replicas of four devices fill three nodes, neighbours in rank on one node, and no device is given twice."""
    scene.cluster([2, 4])
    scene.submit("train", replicas=6, devices=4)

    status = scene.wait("train", "Running")

    chosen = scene.nodes[2:5]
    assert scene.bound("train") == [node for node in chosen for _ in range(2)]
    assert scene.placed("train") == scene.bound("train")
    assert status["placement"]["nodes"] == f"{scene.pool}-n[03-05*2]"
    assert scene.over_committed() == {}


def test_direct_binding_starts_the_same_gang_without_the_scheduler(scene: Scene) -> None:
    """With binding Direct the pods are born on their nodes; nobody else binds them."""
    scene.cluster([4])
    scene.submit("train", replicas=4, binding="Direct")

    scene.wait("train", "Running")

    assert scene.bound("train") == scene.nodes
    for pod in scene.pods("train").values():
        assert "nodeAffinity" not in pod["spec"].get("affinity", {})
    assert scene.events("Scheduled") == []


def test_a_node_that_loses_devices_takes_fewer_replicas(scene: Scene, api: Api) -> None:
    """What a device plugin reports counts at once: five devices hold one replica of four."""
    scene.cluster([1])
    nodes.set_allocatable(api, scene.nodes[0], {GPU: "5"})
    scene.submit("train", replicas=2, devices=4)

    assert scene.wait_pending("train", "TooLarge")["message"].startswith("needs 2 slots of 4 devices;")

    nodes.set_allocatable(api, scene.nodes[0], {GPU: "8"})
    scene.wait("train", "Running")


def test_nodes_that_come_later_are_used(scene: Scene) -> None:
    """A gang too large for the pool starts when the pool has grown."""
    scene.cluster([2])
    scene.submit("train", replicas=3)
    scene.wait_pending("train", "TooLarge")

    scene.cluster([1], pool=False)

    scene.wait("train", "Running")


def test_a_node_that_moves_in_the_network_is_counted_where_it_is(scene: Scene, api: Api) -> None:
    """Relabelled into the other leaf, a node completes the leaf that a gang was waiting for."""
    scene.cluster([2, 1])
    scene.submit("train", replicas=3, topology={"level": "leaf"})
    scene.wait_pending("train", "TooLarge")

    api.patch(f"/api/v1/nodes/{scene.nodes[2]}", {"metadata": {"labels": {"net/leaf": "leaf-11"}}})

    scene.wait("train", "Running")
    until(lambda: scene.status("train")["placement"]["domain"] == "spine-1/leaf-11", "the leaf", timeout_s=5)
