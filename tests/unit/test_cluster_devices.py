"""Which devices of a node are taken, as placements and annotations of pods tell it."""

import json

import pytest

from berth.accel.catalogue import Catalogue
from berth.accel.hand_over import mounted, request, told
from berth.accel.profile import HandOver
from berth.api.device_lists import device_list, fold_devices, unfold_devices
from berth.api.names import ANNOTATION_DEVICES
from berth.cluster import project
from berth.cluster.claims import device_lists
from berth.cluster.device_health import node_health
from berth.cluster.mirror import Mirror
from berth.core.layout import UNKNOWN, mask_of
from berth.core.model import Health, Mode
from tests.properties.laying import LAYOUTS
from tests.unit.mirroring import KEY, view
from tests.unit.wire_objects import Json, a_job, a_node, own_pod, placed, pod_object, pool_facts, status_of

NPU = "huawei.com/Ascend910"
REAL = "huawei.com/AscendReal"
HAND_OVER = Catalogue.load().entry("ascend-910a-8").make.hand_over
LOW, HIGH = mask_of(range(4)), mask_of(range(4, 8))


def a_mirror() -> Mirror:
    """One pool of 910A nodes."""
    mirror = Mirror()
    mirror.put_pool(pool_facts(resource=NPU, layout=LAYOUTS["ascend-910a-8"], hand_over=HAND_OVER))
    for number in (1, 2):
        mirror.put_node(("", f"n{number}"), a_node(f"n{number}", **{NPU: "8"}))
    return mirror


def held(mirror: Mirror) -> dict[str, int]:
    """Mask of the devices taken, by node."""
    ledger = mirror.snapshot(Mode.ACTIVE).pools["h800"].ledger
    return {node.name: mask for node, mask in zip(ledger.nodes, ledger.held, strict=True) if mask}


def npu_spec(devices: int = 4) -> Json:
    return {"containers": [{"name": "trainer", "resources": {"limits": {NPU: str(devices)}}}]}


def a_status(*devices: int) -> Json:
    """Two replicas on n1 and n2 with these devices."""
    status = status_of(placed("n1", "n2", created=True))
    if devices:
        status["placement"]["devices"] = fold_devices(devices)
    return status


def foreign(mirror: Mirror, annotations: dict[str, str]) -> None:
    """Somebody else's pod on n1."""
    body = pod_object("other-1-0", node="n1", labels={}, spec={"nodeName": "n1", **npu_spec()})
    body["metadata"]["annotations"] = annotations
    found = project.foreign_pod(body)
    assert found is not None
    mirror.put_foreign_pod(("other", "other-1-0"), found)


def test_a_placement_takes_the_devices_that_it_names() -> None:
    """From the moment it stands on record, and the others of its nodes are free."""
    mirror = a_mirror()
    mirror.put_job(a_job(devicesPerReplica=4, status=a_status(LOW, HIGH)))
    assert held(mirror) == {"n1": LOW, "n2": HIGH}


def test_a_placement_that_names_none_may_have_any() -> None:
    """It was made before the pool chose devices: its nodes take nothing new until it ends."""
    mirror = a_mirror()
    mirror.put_job(a_job(devicesPerReplica=4, status=a_status()))
    assert held(mirror) == {"n1": UNKNOWN, "n2": UNKNOWN}


def test_what_is_mounted_counts_instead_of_what_was_chosen() -> None:
    """The plugin's answer comes some time after the pod, and says so of one replica."""
    mirror = a_mirror()
    mirror.put_job(a_job(devicesPerReplica=4, status=a_status(LOW, LOW)))
    facts: Json = {"node": "n1", "spec": {"nodeName": "n1", **npu_spec()}}
    mirror.put_own_pod(("team", "train-1-0"), own_pod(version=2, **facts))
    assert held(mirror) == {"n1": LOW, "n2": LOW}
    answer = {"annotations": {REAL: "Ascend910-4,Ascend910-5,Ascend910-6,Ascend910-7"}}
    mirror.put_own_pod(("team", "train-1-0"), own_pod(version=3, metadata=answer, **facts))
    assert held(mirror) == {"n1": HIGH, "n2": LOW}
    assert {pod.rank: pod.mounted for pod in view(mirror).pods} == {0: HIGH}


def test_a_pod_whose_job_is_gone_keeps_its_devices() -> None:
    """It is still there, and still has them: its own annotation says which."""
    mirror = a_mirror()
    mirror.put_job(a_job(devicesPerReplica=4, status=a_status(LOW, LOW)))
    meant = {"annotations": {ANNOTATION_DEVICES: "0,1,2,3"}}
    pod = own_pod(version=2, node="n1", metadata=meant, spec={"nodeName": "n1", **npu_spec()})
    mirror.put_own_pod(("team", "train-1-0"), pod)
    mirror.drop_job(KEY, "train-uid")
    assert held(mirror) == {"n1": LOW}


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        pytest.param({}, UNKNOWN, id="nothing: nobody knows which"),
        pytest.param({REAL: "Ascend910-0,Ascend910-1,Ascend910-2,Ascend910-3"}, LOW, id="what is mounted"),
        pytest.param({NPU: "Ascend910-0,Ascend910-1,Ascend910-2,Ascend910-3"}, LOW, id="what it asked for"),
        pytest.param(
            {
                NPU: "Ascend910-0,Ascend910-1,Ascend910-2,Ascend910-3",
                REAL: "Ascend910-4,Ascend910-5,Ascend910-6,Ascend910-7",
            },
            HIGH,
            id="mounted before asked for",
        ),
        pytest.param({REAL: "Ascend910-0"}, UNKNOWN, id="fewer than it holds"),
        pytest.param({REAL: "Ascend910-2c-100-0"}, UNKNOWN, id="a share of a device"),
        pytest.param({ANNOTATION_DEVICES: "0,1,2,3"}, UNKNOWN, id="words that are Berth's, on somebody else's pod"),
    ],
)
def test_a_foreign_pod_takes_the_devices_that_it_tells(annotations: dict[str, str], expected: int) -> None:
    """As the vendor's stack writes them on any pod."""
    mirror = a_mirror()
    foreign(mirror, annotations)
    assert held(mirror) == {"n1": expected}


def device_info(node: str = "n1", **lists: str) -> Json:
    """The vendor's ConfigMap about a node; `lists` by the ending of the key."""
    told = {f"{NPU}-{ending}": listed for ending, listed in lists.items()}
    info = {"DeviceInfo": {"DeviceList": {NPU: "Ascend910-0", **told}, "UpdateTime": 1}, "CheckCode": "x"}
    metadata = {"name": f"mindx-dl-deviceinfo-{node}", "namespace": "kube-system"}
    return {"metadata": metadata, "data": {"DeviceInfoCfg": json.dumps(info)}}


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ({}, Health()),
        ({"Unhealthy": "", "NetworkUnhealthy": "", "Recovering": ""}, Health()),
        ({"Unhealthy": "Ascend910-1,Ascend910-3", "Recovering": "Ascend910-0"}, Health(broken=0b1011)),
        ({"NetworkUnhealthy": "Ascend910-2"}, Health(offline=0b100)),
        ({"Unhealthy": "Ascend910-?"}, None),
    ],
)
def test_health_is_read_from_the_vendors_own_words(lists: dict[str, str], expected: Health | None) -> None:
    """Keys end with what is wrong; a list that cannot be read leaves nothing known."""
    assert HAND_OVER.health is not None
    found = node_health(HAND_OVER.health, device_info(**lists))
    assert found == (None if expected is None else ("n1", expected))


def test_other_config_maps_say_nothing_of_health() -> None:
    """The namespace is full of them."""
    assert HAND_OVER.health is not None
    for name in ("coredns", "mindx-dl-deviceinfo-"):
        assert node_health(HAND_OVER.health, {"metadata": {"name": name}, "data": {"a": "{}"}}) is None
    odd = {"metadata": {"name": "mindx-dl-deviceinfo-n1"}, "data": {"a": "no json", "b": '[1, {"c": "d"}]'}}
    assert node_health(HAND_OVER.health, odd) == ("n1", Health())


def test_health_stays_with_its_node_whatever_else_changes() -> None:
    """Whichever comes first, and until it is gone."""
    mirror, key = a_mirror(), ("kube-system", "mindx-dl-deviceinfo-n1")

    def known() -> dict[str, Health | None]:
        return {node.name: node.health for node in mirror.snapshot(Mode.ACTIVE).pools["h800"].ledger.nodes}

    mirror.put_health(key, ("n1", Health(broken=2)))
    mirror.put_health(("kube-system", "x"), ("n3", Health(broken=1)))
    mirror.put_node(("", "n1"), a_node("n1", version=2, **{NPU: "7"}))
    mirror.put_node(("", "n3"), a_node("n3", **{NPU: "8"}))
    assert known() == {"n1": Health(broken=2), "n2": None, "n3": Health(broken=1)}
    mirror.drop_health(key)
    mirror.drop_health(key)
    assert known()["n1"] is None


def test_devices_are_asked_for_in_the_words_of_the_make() -> None:
    """By the name that the nodes count them under."""
    assert request(HAND_OVER, NPU, 0b101) == {NPU: "Ascend910-0,Ascend910-2"}
    assert request(HAND_OVER, "huawei.com/npu", 0b10) == {"huawei.com/npu": "npu-1"}
    assert request(HandOver(), NPU, 0b101) == {}


def test_what_was_asked_for_is_read_back() -> None:
    """Whatever the devices."""
    for mask in (1, 0b1010, LOW | HIGH, 1 << 15):
        asked = request(HAND_OVER, NPU, mask)
        assert told(HAND_OVER, NPU, asked) == mask
        assert mounted(HAND_OVER, asked) is None


@pytest.mark.parametrize("value", ["", "x", "Ascend910-0;Ascend910-1", "Ascend910-", "Ascend910-0," * 200])
def test_annotations_that_list_no_devices_are_not_kept(value: str) -> None:
    """Nobody's notes are read as devices, and no pod's annotations fill the memory."""
    assert device_lists({"a/b": value}) == ()


@pytest.mark.parametrize(
    ("masks", "expected"),
    [
        ((), ""),
        ((LOW, LOW, HIGH), "0-3*2,4-7"),
        ((0b1001101,), "0+2-3+6"),
        ((0x5555,), "0+2+4+6+8+10+12+14"),
        ((0x5555, 3) * 2000, ",".join(["x5555,x3"] * 2000)),
        ((0xFFFF,) * 5000, "0-15*5000"),
        ((2**64 - 1, 1 << 63), "0-63,63"),
    ],
)
def test_devices_by_rank_are_one_short_line(masks: tuple[int, ...], expected: str) -> None:
    """Runs of equal replicas are counted; where the line would be long, what is ragged is written as a mask."""
    assert expected == fold_devices(masks)
    assert masks == unfold_devices(expected)


@pytest.mark.parametrize("text", ["0-", "a", "0-3*", "x", "0,,1", "0-3 ,1"])
def test_a_line_that_is_no_list_of_devices_is_refused(text: str) -> None:
    """Better than to read devices that nobody wrote."""
    with pytest.raises(ValueError, match="is no list of devices"):
        unfold_devices(text)


def test_devices_are_told_in_ranges() -> None:
    """For people."""
    assert device_list(0b11101) == "0+2-4"


def test_a_status_that_contradicts_itself_is_not_read() -> None:
    """Devices of two replicas for three nodes: whose are they?"""
    status = a_status(LOW, LOW)
    status["placement"]["nodes"] = "n1,n2,n3"
    with pytest.raises(ValueError, match="names 3 nodes by rank and the devices of 2 replicas"):
        a_mirror().put_job(a_job(devicesPerReplica=4, replicas=3, status=status))
