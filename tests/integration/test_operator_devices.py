"""Devices that Berth chooses by id, and the vendor's plugin that mounts them, played by patching annotations."""

import json

import pytest

from berth.api.device_lists import unfold_devices
from berth.core.layout import ids_of
from e2e.ground.api import JsonObject
from e2e.ground.waiting import until
from e2e.running import OperatorProcess
from tests.integration.scene import Scene

pytestmark = pytest.mark.cluster
pytest_plugins = ("tests.integration.operating",)

NPU = "huawei.com/Ascend910"
REAL = "huawei.com/AscendReal"


@pytest.fixture
def rings(scene: Scene) -> Scene:
    """A scene with one node of two rings of four devices."""
    scene.cluster([1], pool=False, resources={NPU: "8"})
    scene.add_pool(profile="ascend-910a-8")
    return scene


def chosen(scene: Scene, name: str) -> list[tuple[int, ...]]:
    """Devices of every replica, as the job's status has them."""
    return [ids_of(mask) for mask in unfold_devices(scene.status(name)["placement"]["devices"])]


def listed(ids: tuple[int, ...]) -> str:
    return ",".join(f"Ascend910-{device}" for device in ids)


def annotate(scene: Scene, pod: str, mounted: str) -> None:
    """What the plugin writes on a pod."""
    scene.api.patch(f"{scene.core}/pods/{pod}", {"metadata": {"annotations": {REAL: mounted}}})


def foreign(scene: Scene, name: str, devices: int, annotations: dict[str, str]) -> None:
    """Somebody else's pod on the node."""
    container = {"name": "main", "image": "none", "resources": {"limits": {NPU: str(devices)}}}
    spec = {"nodeName": scene.nodes[0], "containers": [container], "restartPolicy": "Never"}
    scene.api.create(f"{scene.core}/pods", {"metadata": {"name": name, "annotations": annotations}, "spec": spec})


def test_every_pod_asks_for_devices_of_its_own(rings: Scene) -> None:
    """Two jobs on one node: each replica within one ring, nothing twice, and times by which the plugin tells them."""
    rings.submit("first", replicas=2, devices=2)
    rings.wait("first", "Running")
    rings.submit("second", devices=4)
    rings.wait("second", "Running")

    assert chosen(rings, "first") == [(0, 1), (2, 3)]
    assert chosen(rings, "second") == [(4, 5, 6, 7)]
    assert rings.condition("first", "DevicesAsChosen") == ("True", "AsChosen", "")
    pods: list[JsonObject] = [*rings.pods("first").values(), *rings.pods("second").values()]
    notes = [pod["metadata"]["annotations"] for pod in pods]
    assert [note[NPU] for note in notes] == [listed((0, 1)), listed((2, 3)), listed((4, 5, 6, 7))]
    assert len({note["predicate-time"] for note in notes}) == len(notes)
    (variable,) = [v for v in pods[0]["spec"]["containers"][0]["env"] if v["name"] == "ASCEND_VISIBLE_DEVICES"]
    assert variable["valueFrom"]["fieldRef"]["fieldPath"] == f"metadata.annotations['{NPU}']"


def test_devices_are_known_again_after_a_restart(rings: Scene, operator: OperatorProcess) -> None:
    """From the status alone: the next job gets what is left, and nothing else."""
    rings.submit("first", devices=4)
    rings.wait("first", "Running")
    operator.kill()
    operator.start()
    rings.submit("second", devices=4)
    rings.wait("second", "Running")
    assert (chosen(rings, "first"), chosen(rings, "second")) == ([(0, 1, 2, 3)], [(4, 5, 6, 7)])


def test_other_devices_than_chosen_are_told_and_count_as_taken(rings: Scene) -> None:
    """The plugin has mounted the other ring: a warning, a condition, and the next job gets the ring that is free."""
    rings.submit("first", devices=4)
    rings.wait("first", "Running")
    annotate(rings, "first-1-0", listed((4, 5, 6, 7)))

    text = "1 replica got other devices from the node's plugin than were chosen"
    until(
        lambda: rings.condition("first", "DevicesAsChosen") == ("False", "OtherDevices", text),
        lambda: f"the condition; the status is {json.dumps(rings.status('first'))}",
        timeout_s=20,
    )
    assert rings.status("first")["placement"]["devicesDiffer"] == 1
    until(lambda: len(rings.events("OtherDevices")) == 1, "a warning", timeout_s=20)
    (event,) = rings.events("OtherDevices")
    assert event["type"] == "Warning"
    assert f"replica 0 got devices 4, 5, 6, 7 of node {rings.nodes[0]}, chosen were 0, 1, 2, 3" in event["note"]
    rings.submit("second", devices=4)
    rings.wait("second", "Running")
    assert chosen(rings, "second") == [(0, 1, 2, 3)]


def test_a_foreign_pod_that_does_not_say_which_devices_it_has_closes_its_node(rings: Scene) -> None:
    """The reason is told; once the plugin has said which, the rest of the node is free again."""
    foreign(rings, "notebook", 1, {})
    rings.submit("train", devices=4)

    pending = rings.wait_pending("train", "InsufficientDevices")
    assert f"(1 of 1 node: {NPU} taken by a pod that does not say which)" in pending["message"]

    annotate(rings, "notebook", listed((2,)))
    rings.wait("train", "Running")
    assert chosen(rings, "train") == [(4, 5, 6, 7)]


def test_broken_devices_are_left_out_once_the_vendors_tools_name_them(scene: Scene) -> None:
    """A node that reports seven of eight is not used by guess; its ConfigMap says which one is missing."""
    (name,) = scene.cluster([1], pool=False, resources={NPU: "7"})
    scene.add_pool(profile="ascend-910a-8")
    scene.submit("train", devices=4)
    told = scene.wait_pending("train", "TooLarge")["message"]
    assert f"(1 of 1 node: 7 of 8 {NPU} reported, it is not known which)" in told

    info = {"DeviceInfo": {"DeviceList": {f"{NPU}-Unhealthy": "Ascend910-2", f"{NPU}-NetworkUnhealthy": ""}}}
    path, metadata = "/api/v1/namespaces/kube-system/configmaps", {"name": f"mindx-dl-deviceinfo-{name}"}
    scene.api.create(path, {"metadata": metadata, "data": {"DeviceInfoCfg": json.dumps(info)}})
    try:
        scene.wait("train", "Running")
        assert chosen(scene, "train") == [(4, 5, 6, 7)]
    finally:
        scene.api.delete(f"{path}/{metadata['name']}")


def test_a_layout_that_a_pool_writes_out_is_kept(scene: Scene) -> None:
    """A make that nobody knows: four devices in two pairs, pairs are never torn."""
    scene.cluster([1], pool=False, resources={"acme.example/npu": "4"})
    layout = {"groups": [[0, 2], [1, 3]], "allowedSizes": [1, 2, 4], "withinGroup": [2]}
    scene.add_pool(profile=None, accelerator={"resourceName": "acme.example/npu", "layout": layout})
    scene.submit("one", devices=1)
    scene.wait("one", "Running")
    scene.submit("pair", devices=2)
    scene.wait("pair", "Running")
    assert (chosen(scene, "one"), chosen(scene, "pair")) == ([(0,)], [(1, 3)])
    assert scene.pods("pair")["pair-1-0"]["metadata"]["annotations"]["berth.dev/devices"] == "1,3"

    scene.submit("torn", devices=4)
    told = scene.wait_pending("torn", "InsufficientDevices")["message"]
    assert "(1 of 1 node: 1 of 4 acme.example/npu free)" in told
