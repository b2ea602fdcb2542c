"""Chosen devices on a pod, as the node's plugin wants to read them."""

from typing import Any

from berth.accel.catalogue import Catalogue
from berth.accel.profile import HandOver
from berth.act.devices import Chosen
from berth.act.pods import NOT_TO_EVICT, Replicas
from berth.api.names import ANNOTATION_DEVICES
from berth.core.layout import mask_of
from tests.unit.wire_objects import Json, a_job, a_template

NPU = "huawei.com/Ascend910"
HAND_OVER = Catalogue.load().entry("ascend-910a-8").make.hand_over
VISIBLE = "ASCEND_VISIBLE_DEVICES"


def a_pod(rank: int = 0, *devices: int, hand_over: HandOver = HAND_OVER, at: int = 100, **job: Any) -> Json:
    chosen = Chosen(hand_over, NPU, mask_of(devices or (0, 1, 2, 3)), at, rank)
    return Replicas(a_job(devicesPerReplica=4, **job), 1, NPU).pod(rank, "n1", chosen)


def test_the_pod_asks_for_its_devices_before_it_is_bound() -> None:
    """By the pair of annotations that the vendor's scheduler would write."""
    pod = a_pod(3, 4, 5, 6, 7)
    assert pod["metadata"]["annotations"] == {
        NOT_TO_EVICT: "false",
        ANNOTATION_DEVICES: "4,5,6,7",
        NPU: "Ascend910-4,Ascend910-5,Ascend910-6,Ascend910-7",
        "predicate-time": "100000000304",
    }


def test_annotations_of_the_template_stay() -> None:
    """Beside those that ask for the devices, which a template cannot set: see `test_act_guard`."""
    template = {**a_template(), "metadata": {"annotations": {"note": "x"}}}
    found = a_pod(template=template)["metadata"]["annotations"]
    assert found["note"] == "x"
    assert (found[NPU], found["predicate-time"]) == ("Ascend910-0,Ascend910-1,Ascend910-2,Ascend910-3", "100000000000")


def test_times_of_pods_that_share_a_node_differ_and_a_pod_made_anew_has_its_own() -> None:
    """The plugin goes by them. Pods of one node share no device, so ranks, jobs and seconds may be what they are."""
    pods = [(0, 0, 100), (0, 4, 100), (1, 0, 100), (1, 4, 100), (0, 0, 101)]
    times = [a_pod(rank, first, at=at)["metadata"]["annotations"]["predicate-time"] for rank, first, at in pods]
    assert len(set(times)) == len(times)
    assert a_pod(1, 4)["metadata"]["annotations"] == a_pod(1, 4)["metadata"]["annotations"]


def test_the_trainer_sees_its_devices_by_downward_api() -> None:
    """In every container that asks for devices, and in no other; one that wants none says so."""
    sidecar = {"name": "log", "image": "log:1"}
    pod = a_pod(template=a_template({"name": "trainer", "image": "trainer:1"}, sidecar))
    trainer, other = (
        {v["name"]: v.get("valueFrom") or v.get("value") for v in c["env"]} for c in pod["spec"]["containers"]
    )
    assert trainer[VISIBLE] == {"fieldRef": {"fieldPath": f"metadata.annotations['{NPU}']"}}
    assert VISIBLE not in other
    own = {"name": "trainer", "image": "trainer:1", "env": [{"name": VISIBLE, "value": "none"}]}
    found = a_pod(template=a_template(own))["spec"]["containers"][0]["env"]
    assert [v["value"] for v in found if v["name"] == VISIBLE] == ["none"]


def test_where_the_make_has_no_words_for_it_the_choice_can_be_read_all_the_same() -> None:
    """By a plugin or an admission policy of the site."""
    assert a_pod(hand_over=HandOver())["metadata"]["annotations"] == {
        NOT_TO_EVICT: "false",
        ANNOTATION_DEVICES: "0,1,2,3",
    }
