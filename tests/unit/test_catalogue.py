"""The catalogue holds what is known of every make, agrees with itself, and says clearly what it lacks."""

from pathlib import Path

import pytest

from berth.accel.catalogue import Catalogue, CatalogueError, UnknownProfileError
from berth.accel.profile import HandOverHook, Profile, normalised
from berth.accel.resolve import AcceleratorError, resolve
from berth.api.pool import AcceleratorPoolSpec
from berth.core.layout import Choice, Layout
from berth.core.spares import Spares


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    """The catalogue as it ships."""
    return Catalogue.load()


TO_4, TO_8 = tuple(range(1, 5)), tuple(range(1, 9))
EVEN = tuple(range(2, 17, 2))
RINGS = ((0, 1, 2, 3), (4, 5, 6, 7))
ONE_OF_8 = (tuple(range(8)),)
MODULES = tuple((2 * k, 2 * k + 1) for k in range(8))
NVIDIA, ASCEND = "nvidia.com/gpu", "huawei.com/Ascend910"

# profile: resource, devices per node, groups, sizes alone, sizes in a gang, sizes within a group, choice
LAYOUTS: dict[str, tuple[object, ...]] = {
    **{
        f"nvidia-{model}": (NVIDIA, 8, ONE_OF_8, TO_8, TO_8, (), Choice.PLUGIN)
        for model in ("a100", "a800", "h100", "h800", "h200", "h20", "b200")
    },
    "nvidia-gb200-nvl72": (NVIDIA, 4, ((0, 1, 2, 3),), TO_4, TO_4, (), Choice.PLUGIN),
    "ascend-910a-8": (ASCEND, 8, RINGS, (1, 2, 4, 8), (1, 2, 4, 8), (1, 2, 4), Choice.FITTING_GROUP),
    "ascend-910b-8": (ASCEND, 8, ONE_OF_8, TO_8, TO_8, (), Choice.FEWEST_LEFT),
    "ascend-910b-16": (
        ASCEND,
        16,
        (tuple(range(8)), tuple(range(8, 16))),
        (*TO_8, 10, 12, 14, 16),
        (*TO_8, 10, 12, 14, 16),
        TO_8,
        Choice.GROUP_OR_HALVES,
    ),
    "ascend-910c-16": (ASCEND, 16, MODULES, (1, *EVEN), EVEN, (1, 2), Choice.WHOLE_GROUPS),
    "ascend-910c-superpod": (ASCEND, 16, MODULES, (1, *EVEN), (16,), (1, 2), Choice.WHOLE_GROUPS),
    "ascend-950-rack": ("huawei.com/npu", 8, ONE_OF_8, TO_8, (8,), (), Choice.RACK_BLOCK),
    "kunlunxin": ("kunlunxin.com/xpu", 8, RINGS, (1, 2, 4, 8), (1, 2, 4, 8), (1, 2, 4), Choice.FITTING_GROUP),
    "cambricon": ("cambricon.com/mlu", None, (), TO_8, TO_8, (), Choice.PLUGIN),
    "hygon": ("hygon.com/dcu", None, (), TO_8, TO_8, (), Choice.PLUGIN),
    "mthreads": ("mthreads.com/gpu", None, (), TO_8, TO_8, (), Choice.PLUGIN),
    "metax": ("metax-tech.com/gpu", None, (), TO_8, TO_8, (), Choice.PLUGIN),
    "enflame": ("enflame.com/gcu", None, (), TO_8, TO_8, (), Choice.PLUGIN),
    "iluvatar": (None, None, (), TO_8, TO_8, (), Choice.PLUGIN),
    "biren": ("birentech.com/gpu", None, (), TO_8, TO_8, (), Choice.PLUGIN),
    "amd": ("amd.com/gpu", None, (), TO_8, TO_8, (), Choice.PLUGIN),
}


def test_the_catalogue_has_exactly_the_known_profiles(catalogue: Catalogue) -> None:
    """A profile without a row in the table above would be a profile without a test."""
    assert sorted(LAYOUTS) == sorted(catalogue.entries)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_profile_has_the_layout_of_its_make(catalogue: Catalogue, name: str) -> None:
    """Resource name, devices of a node, groups and legal sizes are those of the make."""
    profile = catalogue.profile(name)
    found = (
        profile.resources[0].name if profile.resources else None,
        profile.devices_per_node,
        profile.groups,
        profile.sizes.alone,
        profile.sizes.gang,
        profile.within_group,
        profile.choice,
    )
    assert LAYOUTS[name] == found


@pytest.mark.parametrize("name", LAYOUTS)
def test_groups_partition_the_devices_of_a_node(catalogue: Catalogue, name: str) -> None:
    """Every device is in one group, groups are of one size, and what must not cross a group fits into one."""
    profile = catalogue.profile(name)
    positions = sorted(position for group in profile.groups for position in group)
    assert positions == list(range(profile.devices_per_node or 0))
    assert len({len(group) for group in profile.groups}) <= 1
    assert all(size <= len(profile.groups[0]) for size in profile.within_group)


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("ascend-910a-8", ["huawei.com/Ascend910A"]),
        ("ascend-910b-8", ["huawei.com/Ascend910B2", "huawei.com/Ascend910B3", "huawei.com/Ascend910B4"]),
        ("ascend-910b-16", ["huawei.com/Ascend910B2", "huawei.com/Ascend910B3", "huawei.com/Ascend910B4"]),
        ("ascend-910c-16", ["huawei.com/Ascend910C"]),
        ("ascend-910c-superpod", ["huawei.com/Ascend910C"]),
        ("cambricon", ["cambricon.com/mlu370"]),
        ("hygon", ["hygon.com/dcunum"]),
    ],
)
def test_the_same_silicon_goes_by_other_names(catalogue: Catalogue, name: str, others: list[str]) -> None:
    """Another device plugin counts the same device under another name."""
    assert others == [resource.name for resource in catalogue.profile(name).resources[1:]]


def test_ascend_910a_prefers_the_ring_whose_free_count_fits(catalogue: Catalogue) -> None:
    """One device goes to a ring with 1, then 3, 2, 4 free; two to 2, 4, 3; four to a whole ring."""
    assert catalogue.profile("ascend-910a-8").prefer_free == {1: (1, 3, 2, 4), 2: (2, 4, 3), 4: (4,)}


def test_ascend_910b_takes_10_12_and_14_as_matching_halves(catalogue: Catalogue) -> None:
    """Sizes over one mesh, short of both, are two halves on positions i and i + 8."""
    assert catalogue.profile("ascend-910b-16").paired == (10, 12, 14)


@pytest.mark.parametrize(
    ("name", "level", "label", "nodes", "spares"),
    [
        ("nvidia-gb200-nvl72", "clique", "nvidia.com/gpu.clique", 18, 0),
        ("ascend-910c-superpod", "superpod", "huawei.com/topotree.superpodid", 48, 2),
        ("ascend-950-rack", "rack", "huawei.com/topotree.rackid", 8, 0),
    ],
)
def test_some_nodes_are_built_into_domains(
    catalogue: Catalogue, name: str, level: str, label: str, nodes: int, spares: int
) -> None:
    """A clique of 18 nodes, a super-pod of 48, a rack of 8: with the label that names them."""
    (domain,) = catalogue.profile(name).domains
    assert (level, label, nodes, spares) == (domain.level, domain.node_label, domain.nodes, domain.spares)


@pytest.mark.parametrize(
    ("name", "version"),
    [("ascend-910a-8", "1.0"), ("ascend-910b-8", "1.0"), ("ascend-910c-superpod", "1.2"), ("ascend-950-rack", "2.0")],
)
def test_ascend_generations_read_different_rank_tables(catalogue: Catalogue, name: str, version: str) -> None:
    """Version 1.2 is for super-pods, 2.0 for the 950."""
    assert version == catalogue.profile(name).rank_table


@pytest.mark.parametrize(
    ("name", "rates"),
    [
        ("nvidia-h100", [("NVLink", 900, True)]),
        ("nvidia-h800", [("NVLink", 400, True)]),
        ("nvidia-h20", []),
        ("ascend-910a-8", [("HCCS", 30, False), ("RoCE", 12.5, False)]),
        ("ascend-910b-16", [("HCCS", 56, False), ("RoCE", 25, False)]),
        ("ascend-910c-superpod", [("super-pod plane", 392, True), ("RDMA", 50, True)]),
        ("ascend-950-rack", [("mesh", 2000, True)]),
    ],
)
def test_bandwidths_say_whether_a_source_was_read(
    catalogue: Catalogue, name: str, rates: list[tuple[str, float, bool]]
) -> None:
    """Rates in GB/s; what no source was read for is marked."""
    found = [(rate.link, rate.gigabytes_per_second, rate.verified) for rate in catalogue.profile(name).bandwidth]
    assert rates == found


@pytest.mark.parametrize(
    ("labels", "profiles"),
    [
        ({"nvidia.com/gpu.product": "NVIDIA-H800"}, ("nvidia-h800",)),
        ({"nvidia.com/gpu.product": "NVIDIA H800 80GB"}, ("nvidia-h800",)),
        ({"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"}, ("nvidia-a100",)),
        ({"nvidia.com/gpu.product": "nvidia_a800_sxm4"}, ("nvidia-a800",)),
        ({"nvidia.com/gpu.product": "NVIDIA-H20"}, ("nvidia-h20",)),
        ({"nvidia.com/gpu.product": "NVIDIA-H200"}, ("nvidia-h200",)),
        ({"nvidia.com/gpu.product": "NVIDIA-GB200"}, ("nvidia-gb200-nvl72",)),
        ({"nvidia.com/gpu.product": "NVIDIA-H800-SHARED"}, ()),
        ({"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb"}, ()),
        ({"nvidia.com/gpu.product": "Tesla-T4"}, ()),
        ({"accelerator-type": "module"}, ("ascend-910a-8",)),
        ({"accelerator-type": "module-910b-8"}, ("ascend-910b-8",)),
        ({"accelerator-type": "module-910b-16"}, ("ascend-910b-16",)),
        ({"accelerator-type": "module-a3-16"}, ("ascend-910c-16",)),
        ({"accelerator-type": "module-a3-16-super-pod"}, ("ascend-910c-superpod",)),
        ({"accelerator-type": "950-SuperPod-Atlas-8"}, ("ascend-950-rack",)),
        ({}, ()),
    ],
)
def test_a_device_is_recognised_by_its_nodes_labels(
    catalogue: Catalogue, labels: dict[str, str], profiles: tuple[str, ...]
) -> None:
    """Products are compared word by word, generations by whole values; shares of a device are no device."""
    assert profiles == catalogue.recognise(labels)


def test_products_are_compared_as_one_word() -> None:
    """Blanks, underscores and letter case differ between releases of the label's writer."""
    assert normalised("NVIDIA H800") == normalised("nvidia_h800") == "NVIDIA-H800"


@pytest.mark.parametrize(
    ("source", "labels"),
    [
        (
            "topograph",
            ["fabric.topograph.run/tier-2", "fabric.topograph.run/tier-1", "fabric.topograph.run/tier-0"],
        ),
        (
            "nvidia-network",
            [
                "network.topology.nvidia.com/core",
                "network.topology.nvidia.com/spine",
                "network.topology.nvidia.com/leaf",
            ],
        ),
        (
            "nvidia-fabric",
            [
                "network.topology.nvidia.com/datacenter",
                "network.topology.nvidia.com/spine",
                "network.topology.nvidia.com/block",
                "network.topology.nvidia.com/accelerator",
            ],
        ),
        ("nvidia-clique", ["nvidia.com/gpu.clique"]),
        ("aws", [f"topology.k8s.aws/network-node-layer-{n}" for n in (1, 2, 3)]),
        ("google", [f"cloud.google.com/gce-topology-{n}" for n in ("block", "subblock", "host")]),
        ("oracle", ["oci.oraclecloud.com/host.network_block_id", "oci.oraclecloud.com/host.rack_id"]),
        ("ascend-topotree", [f"huawei.com/topotree.{n}id" for n in ("superpod", "rack", "server", "group")]),
    ],
)
def test_topology_labels_are_known_by_their_source(catalogue: Catalogue, source: str, labels: list[str]) -> None:
    """Widest level first, whichever tool or cloud puts them there."""
    assert labels == [label for level in catalogue.networks[source].levels for label in level.node_labels]


def test_ascend_devices_are_handed_over_by_annotation(catalogue: Catalogue) -> None:
    """The vendor's plugin reads ids and a unique time from the pod, and answers in two annotations."""
    hand_over = catalogue.entry("ascend-910b-8").make.hand_over
    assert hand_over.hook is HandOverHook.ASCEND_ANNOTATIONS
    assert hand_over.annotation.format(resource="huawei.com/Ascend910") == "huawei.com/Ascend910"
    assert hand_over.device.format(kind="Ascend910", id=0) == "Ascend910-0"
    assert hand_over.order_annotation == "predicate-time"
    assert hand_over.answers == (
        "huawei.com/AscendReal",
        "ascend.kubectl.kubernetes.io/ascend-910-configuration",
    )
    assert hand_over.environment == "ASCEND_VISIBLE_DEVICES"
    assert hand_over.health is not None
    assert hand_over.health.config_map.format(node="n1") == "mindx-dl-deviceinfo-n1"


@pytest.mark.parametrize("name", [name for name in LAYOUTS if not name.startswith("ascend")])
def test_other_plugins_choose_for_themselves(catalogue: Catalogue, name: str) -> None:
    """Nothing is handed over where the plugin chooses."""
    assert catalogue.entry(name).make.hand_over.hook is HandOverHook.PLUGIN


@pytest.mark.parametrize(
    ("make", "runtime", "variable"),
    [
        ("ascend-910b-8", "TorchNPU", "HCCL_CONNECT_TIMEOUT"),
        ("ascend-910c-superpod", "TorchNPU", "HCCL_LOGIC_SUPERPOD_ID"),
        ("ascend-910b-8", "MindSpore", "MS_SCHED_HOST"),
        ("ascend-910b-8", "MindSpore", "RANK_TABLE_FILE"),
    ],
)
def test_runtimes_of_a_make_read_variables_of_their_own(
    catalogue: Catalogue, make: str, runtime: str, variable: str
) -> None:
    """What a runtime wants beside the common variables stands with its make."""
    facts = {facts.runtime: facts for facts in catalogue.entry(make).make.runtimes}
    assert variable in facts[runtime].environment


@pytest.mark.parametrize(
    ("make", "exporter", "port", "metric"),
    [
        ("nvidia-h800", "dcgm-exporter", None, "DCGM_FI_PROF_GR_ENGINE_ACTIVE"),
        ("ascend-910c-16", "npu-exporter", 8082, "npu_chip_info_utilization"),
    ],
)
def test_utilisation_is_read_from_the_makes_exporter(
    catalogue: Catalogue, make: str, exporter: str, port: int | None, metric: str
) -> None:
    """Name, port and metrics of the exporter, for recording rules."""
    found = catalogue.entry(make).make.exporter
    assert found is not None
    assert (exporter, port) == (found.name, found.port)
    assert metric in found.utilisation


def test_an_unknown_profile_names_near_ones(catalogue: Catalogue) -> None:
    """A slip of the pen is met with the right spelling, and with the way out."""
    with pytest.raises(UnknownProfileError) as caught:
        catalogue.profile("nvidia-h80")
    assert str(caught.value) == (
        "there is no profile nvidia-h80 in the catalogue; did you mean nvidia-h800 or nvidia-h20 or nvidia-h200? "
        "A device that it lacks can be written out under spec.accelerator"
    )


GOOD = """
make: acme
vendor: Acme
profiles:
  acme-x1:
    model: X1
    resources: [{name: acme.example/npu, stack: Acme device plugin}]
    devicesPerNode: 4
    groups: [[0, 1], [2, 3]]
    sizes: {alone: [1, 2, 4], gang: [2, 4]}
    withinGroup: [1, 2]
"""


@pytest.mark.parametrize(
    ("wrong", "right", "says"),
    [
        ("model: X1", "modell: X1", "acme.yaml: profiles.acme-x1.model: Field required"),
        ("groups: [[0, 1], [2, 3]]", "groups: [[0, 1], [3, 4]]", "groups must hold each of the 4 devices of a node"),
        ("groups: [[0, 1], [2, 3]]", "groups: [[0, 1], [1, 2, 3]]", "groups must hold each of the 4 devices of a node"),
        ("alone: [1, 2, 4]", "alone: [1, 2, 8]", "sizes.alone has 8, there are only 4 devices"),
        ("alone: [1, 2, 4]", "alone: [2, 1, 4]", "sizes.alone must be in ascending order"),
        ("withinGroup: [1, 2]", "withinGroup: [1, 2, 4]", "withinGroup has 4, there are only 2 devices"),
        ("withinGroup: [1, 2]", "paired: [3]", "paired has [3], which no replica may ask for"),
        ("gang: [2, 4]", "gang: [zero]", "acme.yaml: profiles.acme-x1.sizes.gang.0: Input should be a valid integer"),
        ("acme.example/npu", "npu", "acme.yaml: profiles.acme-x1.resources.0.name"),
        ("make: acme", "make: other", "acme.yaml: make: is other; the file must be called other.yaml"),
        ("vendor: Acme", "vendor: Acme\ntopology: [fog]", "acme.yaml: topology: fog is none of topograph"),
        ("make: acme", "make: [acme", "acme.yaml: is no YAML"),
    ],
)
def test_a_mistake_in_a_file_names_file_and_field(tmp_path: Path, wrong: str, right: str, says: str) -> None:
    """The author of a file reads where and what, not that something failed."""
    (tmp_path / "acme.yaml").write_text(GOOD)
    assert "acme-x1" in Catalogue.load(makes=tmp_path).entries
    assert wrong in GOOD
    (tmp_path / "acme.yaml").write_text(GOOD.replace(wrong, right))
    with pytest.raises(CatalogueError) as caught:
        Catalogue.load(makes=tmp_path)
    assert says in str(caught.value)


def test_two_files_cannot_have_the_same_profile(tmp_path: Path) -> None:
    """Neither file wins in silence."""
    (tmp_path / "acme.yaml").write_text(GOOD)
    (tmp_path / "emca.yaml").write_text(GOOD.replace("make: acme", "make: emca"))
    with pytest.raises(CatalogueError, match=r"emca.yaml: profiles.acme-x1: stands in acme.yaml, too"):
        Catalogue.load(makes=tmp_path)


def pool(**spec: object) -> AcceleratorPoolSpec:
    """A pool's spec with any selector."""
    return AcceleratorPoolSpec.model_validate({"nodeSelector": {"matchLabels": {"a": "b"}}, **spec})


def test_a_pool_takes_what_its_profile_says(catalogue: Catalogue) -> None:
    """A pool that names a profile, and nothing else, has all of it."""
    found = resolve(pool(profile="ascend-910c-superpod"), catalogue)
    assert (found.vendor, found.model, found.resource_name) == ("Huawei", "910C", "huawei.com/Ascend910")
    assert found.sizes(replicas=1) == (1, *EVEN)
    assert found.sizes(replicas=2) == (16,)
    assert found.layout is not None
    assert found.layout.groups == MODULES
    assert found.hand_over.hook is HandOverHook.ASCEND_ANNOTATIONS


def test_what_a_pool_writes_out_stands_over_its_profile(catalogue: Catalogue) -> None:
    """Field by field: the rest stays the profile's."""
    override = {"resourceName": "huawei.com/Ascend910B3", "memory": "64Gi", "layout": {"allowedSizes": [8, 4]}}
    found = resolve(pool(profile="ascend-910b-8", accelerator=override), catalogue)
    assert (found.model, found.resource_name, found.memory) == ("910B", "huawei.com/Ascend910B3", "64Gi")
    assert found.sizes(replicas=1) == found.sizes(replicas=9) == (4, 8)


def test_a_device_can_be_written_out_without_a_profile(catalogue: Catalogue) -> None:
    """Where nothing is said of sizes, a replica may ask for any number that a node has."""
    found = resolve(pool(accelerator={"resourceName": "acme.example/npu", "model": "X1"}), catalogue)
    assert (found.profile, found.resource_name, found.sizes(replicas=4)) == (None, "acme.example/npu", None)


def test_a_layout_can_be_written_out(catalogue: Catalogue) -> None:
    """With groups Berth chooses the devices, whatever the make, and what a profile says of them no longer counts."""
    layout = {"groups": [[0, 1], [2, 3]], "allowedSizes": [4, 2], "withinGroup": [2]}
    written = Layout(4, Choice.FITTING_GROUP, ((0, 1), (2, 3)), (2,))
    found = resolve(pool(accelerator={"resourceName": "acme.example/npu", "layout": layout}), catalogue)
    assert (found.layout, found.sizes(replicas=2)) == (written, (2, 4))
    assert resolve(pool(profile="ascend-910a-8", accelerator={"layout": layout}), catalogue).layout == written


def test_spares_are_kept_only_where_a_pool_asks_for_them(catalogue: Catalogue) -> None:
    """A pool that names no number gets the one that is customary for its make's domain of that level."""
    network = {"topology": [{"level": "superpod", "nodeLabels": ["a/b"]}], "profile": "ascend-910c-superpod"}
    assert resolve(pool(**network), catalogue).spares is None
    found = resolve(pool(**network, spares={"level": "superpod"}), catalogue).spares
    assert found == Spares("superpod", 2, ASCEND)
    found = resolve(pool(**network, spares={"level": "superpod", "nodes": 5}), catalogue).spares
    assert found == Spares("superpod", 5, ASCEND)


def test_where_the_plugin_chooses_there_is_no_layout(catalogue: Catalogue) -> None:
    """By profile, or because the resource's name is that of another software stack."""
    assert resolve(pool(profile="nvidia-h800"), catalogue).layout is None
    assert resolve(pool(profile="ascend-910b-8"), catalogue).layout is not None
    hami = {"resourceName": "huawei.com/Ascend910B3"}
    assert resolve(pool(profile="ascend-910b-8", accelerator=hami), catalogue).layout is None


@pytest.mark.parametrize(
    ("spec", "reason", "says"),
    [
        (
            {"profile": "nvidia-h800", "spares": {"level": "spine"}},
            "InvalidAccelerator",
            "spec.spares.nodes: the profile advises none for level spine; write how many nodes to keep free under each",
        ),
        (
            {"accelerator": {"resourceName": "a.b/c", "layout": {"groups": [[0, 1], [1, 2]], "allowedSizes": [1]}}},
            "InvalidAccelerator",
            "spec.accelerator.layout.groups: [[0, 1], [1, 2]]: every device of a node must stand in exactly one group",
        ),
        (
            {"accelerator": {"resourceName": "a.b/c", "layout": {"groups": [[0], [1]], "allowedSizes": [1, 4]}}},
            "InvalidAccelerator",
            "spec.accelerator.layout.allowedSizes: 4 is more than the 2 devices of spec.accelerator.layout.groups",
        ),
        (
            {
                "accelerator": {
                    "resourceName": "a.b/c",
                    "layout": {"groups": [[0], [1]], "allowedSizes": [1, 2], "withinGroup": [2]},
                }
            },
            "InvalidAccelerator",
            "spec.accelerator.layout.withinGroup: 2 must be one of allowedSizes, and at most the 1 devices of the",
        ),
        (
            {"profile": "h800"},
            "UnknownProfile",
            "spec.profile: there is no profile h800 in the catalogue; did you mean",
        ),
        ({}, "InvalidAccelerator", "spec.profile: name a profile of the catalogue"),
        (
            {"profile": "iluvatar"},
            "InvalidAccelerator",
            "profile iluvatar has one name for each model (iluvatar.ai/<model>-vgpu); set the one that kubectl",
        ),
        (
            {"profile": "nvidia-h800", "accelerator": {"layout": {"allowedSizes": [8, 16]}}},
            "InvalidAccelerator",
            "16 is more than the 8 devices that a node of profile nvidia-h800 has; remove what is above 8",
        ),
    ],
)
def test_a_device_that_cannot_be_told_names_field_and_remedy(
    catalogue: Catalogue, spec: dict[str, object], reason: str, says: str
) -> None:
    """The message is the pool's Ready condition, so it is written for whoever wrote the pool."""
    with pytest.raises(AcceleratorError) as caught:
        resolve(pool(**spec), catalogue)
    assert reason == caught.value.reason
    assert says in str(caught.value)


def test_profiles_cannot_be_changed(catalogue: Catalogue) -> None:
    """The catalogue is shared by all pools."""
    profile: Profile = catalogue.profile("nvidia-h800")
    with pytest.raises(ValueError, match="frozen"):
        profile.model = "H900"  # type: ignore[misc]  # the point of the test
