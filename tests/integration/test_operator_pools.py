"""Pools come, change and go while jobs wait and run."""

import pytest

from e2e.ground import nodes
from e2e.ground.api import Api
from e2e.ground.waiting import until
from tests.integration.scene import POOLS, Scene

pytestmark = pytest.mark.cluster
pytest_plugins = ("tests.integration.operating",)


def test_a_job_for_a_pool_that_is_not_there_starts_when_the_pool_is_created(scene: Scene) -> None:
    """The job names the pool that is missing; nothing but creating it is needed."""
    scene.cluster([2], pool=False)
    scene.submit("train", replicas=2)
    reasons = ("NoPool", "UnknownPool")
    told = scene.wait_for("train", lambda s: s.get("pending", {}).get("reason") in reasons, "to miss its pool")
    if told["pending"]["reason"] == "UnknownPool":
        assert f"no AcceleratorPool is called {scene.pool} (spec.pools); there is " in told["pending"]["message"]

    scene.add_pool()

    scene.wait("train", "Running")


def test_a_pool_of_an_unknown_profile_is_told_on_pool_and_job(scene: Scene) -> None:
    """The pool is not Ready and says which profiles are near; its jobs say the same; corrected, they start."""
    scene.cluster([2], pool=False)
    scene.add_pool(profile="nvidia-h80")
    scene.submit("train", replicas=2)
    text = (
        "spec.profile: there is no profile nvidia-h80 in the catalogue; did you mean nvidia-h800 or nvidia-h20 or "
        "nvidia-h200? A device that it lacks can be written out under spec.accelerator"
    )

    assert scene.wait_pending("train", "PoolNotReady")["message"] == f"pool {scene.pool} cannot be used: {text}"

    conditions = scene.wait_pool(scene.pool, lambda status: bool(status["conditions"]))["conditions"]
    (ready,) = [c for c in conditions if c["type"] == "Ready"]
    assert (ready["status"], ready["reason"], ready["message"]) == ("False", "UnknownProfile", text)
    scene.api.patch(f"{POOLS}/{scene.pool}", {"spec": {"profile": "nvidia-h800"}})
    scene.wait("train", "Running")


def test_a_pool_counts_its_nodes_and_devices(scene: Scene) -> None:
    """Status of a pool: what it has, what is free, used and out of reach, and the largest free piece of each level."""
    scene.cluster([2, 2], [2])
    scene.submit("train", replicas=2)
    scene.wait("train", "Running")

    status = scene.wait_pool(scene.pool, lambda status: status["devices"]["used"] == 16)

    assert status["resourceName"] == "nvidia.com/gpu"
    assert status["nodes"] == {"total": 6, "ready": 6}
    assert status["devices"] == {"total": 48, "free": 32, "used": 16, "unavailable": 0}
    assert status["levels"] == [
        {"level": "spine", "domains": 2, "largestFree": 32},
        {"level": "leaf", "domains": 3, "largestFree": 16},
    ]


def test_devices_stay_taken_when_their_pool_is_deleted_and_another_takes_its_nodes(scene: Scene) -> None:
    """A running gang outlives its pool; under the new pool its devices are not given to anybody else."""
    scene.cluster([2])
    scene.submit("old", replicas=2, binding="Direct")
    scene.wait("old", "Running")

    scene.remove_pool()
    other = f"{scene.pool}-renamed"
    scene.add_pool(other)
    scene.submit("new", replicas=2, pools=[other], binding="Direct")

    scene.wait_pending("new", "InsufficientDevices")
    assert scene.status("old")["state"] == "Running"
    assert scene.over_committed() == {}
    scene.edit("old", suspend=True)
    scene.wait("new", "Running")


def test_devices_stay_taken_when_their_pool_counts_another_resource(scene: Scene) -> None:
    """The pool of a running gang is edited to count what the nodes call otherwise; both names are not given at once."""
    scene.cluster([2], resources={"example.com/slice": "8"})
    scene.submit("old", replicas=2, binding="Direct", container={"resources": {"requests": {"cpu": "40"}}})
    scene.wait("old", "Running")

    accelerator = {"resourceName": "example.com/slice"}
    scene.api.patch(f"{POOLS}/{scene.pool}", {"spec": {"profile": None, "accelerator": accelerator}})
    scene.submit("new", replicas=2, binding="Direct", container={"resources": {"requests": {"cpu": "40"}}})

    assert scene.wait_pending("new", "InsufficientDevices")["message"].startswith(
        f"needs 2 nodes; 0 of 2 are free in pool {scene.pool} (2 of 2 nodes: 24 of 40 cpu free)"
    )


def test_a_pool_names_nodes_that_lack_a_level_and_leaves_them_out(scene: Scene, api: Api) -> None:
    """A node without the label of a level takes nothing, and the pool's condition says which node and which label."""
    scene.cluster([2])
    lame = scene.nodes[1]
    api.patch(f"/api/v1/nodes/{lame}", {"metadata": {"labels": {"net/leaf": None}}})
    scene.submit("train", replicas=2)

    scene.wait_pending("train", "TooLarge")

    def told() -> str:
        conditions = api.get(f"{POOLS}/{scene.pool}").get("status", {}).get("conditions", [])
        return next((c["message"] for c in conditions if c["type"] == "TopologyIncomplete"), "")

    until(lambda: lame in told(), "the pool to name the node", timeout_s=10)
    assert told() == f"1 node ({lame}) left out, for want of a label of some level (spine: net/spine; leaf: net/leaf)"
    api.patch(f"/api/v1/nodes/{lame}", {"metadata": {"labels": {"net/leaf": "leaf-11"}}})
    scene.wait("train", "Running")


def test_a_node_belongs_to_the_older_of_two_pools(scene: Scene, api: Api) -> None:
    """Two pools select the same nodes: the older one has them, the younger one says so, and no device counts twice."""
    scene.cluster([2])
    scene.wait_pool(scene.pool, lambda status: status["devices"]["total"] == 16)
    younger = f"{scene.pool}-b"
    scene.add_pool(younger)

    status = scene.wait_pool(younger, lambda status: bool(status["conditions"]))

    overlapping = next(c for c in status["conditions"] if c["type"] == "Overlapping")
    assert (overlapping["status"], overlapping["message"]) == (
        "True",
        f"2 nodes ({', '.join(scene.nodes)}) selected by an older pool, too, and belong to it: {scene.pool}",
    )
    assert status["devices"]["total"] == 0
    scene.submit("train", replicas=2, pools=[younger])
    assert scene.wait_pending("train", "TooLarge")["message"] == (
        f"needs 2 slots of 8 devices; pool {younger} has no node"
    )


def test_a_cordoned_node_is_counted_as_out_of_reach(scene: Scene, api: Api) -> None:
    """What is free on a cordoned node is unavailable, and no longer part of any largest free piece."""
    scene.cluster([2])
    nodes.cordon(api, scene.nodes[0])

    status = scene.wait_pool(scene.pool, lambda status: status["devices"]["unavailable"] == 8)

    assert status["nodes"] == {"total": 2, "ready": 1}
    assert status["devices"] == {"total": 16, "free": 8, "used": 0, "unavailable": 8}
    assert [level["largestFree"] for level in status["levels"]] == [8, 8]
