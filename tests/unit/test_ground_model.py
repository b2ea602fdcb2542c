"""Cluster models: what nodes they give, and what is said about wrong ones."""

from pathlib import Path

import pytest

from e2e.ground.model import ClusterModel, ModelError

_MODELS = Path(__file__).resolve().parents[2] / "e2e" / "models"
_REGULAR = """\
pools:
- name: a
  levels:
  - {name: spine, label: net/spine, count: 2}
  - {name: leaf, label: net/leaf, count: 3}
  nodes: 10
  device: {resource: nvidia.com/gpu, count: 8}
  cpu: "192"
  memory: 2Ti
  taints: [{key: gpu}]
"""
_FROM_FILE = """\
pools:
- name: a
  topology: {file: hosts.csv, node: host}
  levels:
  - {name: spine, label: net/spine, column: up}
  - {name: leaf, label: net/leaf, column: low}
  device: {resource: nvidia.com/gpu, count: 8}
  cpu: "192"
  memory: 2Ti
"""


def load(tmp_path: Path, text: str, **files: str) -> ClusterModel:
    """A model from text, with other files beside it."""
    for name, content in files.items():
        (tmp_path / f"{name}.csv").write_text(content)
    path = tmp_path / "model.yaml"
    path.write_text(text)
    return ClusterModel.load(path)


def test_a_regular_tree_has_every_domain_in_order(tmp_path: Path) -> None:
    """Each node carries a label for each level; names sort as the tree is walked."""
    made = load(tmp_path, _REGULAR).manifests()
    names = [node["metadata"]["name"] for node in made]

    assert len(made) == 2 * 3 * 10
    assert names == sorted(names)
    assert names[0] == "a-spine1-leaf1-node01"
    assert names[-1] == "a-spine2-leaf3-node10"
    assert made[-1]["metadata"]["labels"]["net/spine"] == "a-spine2"
    assert made[-1]["metadata"]["labels"]["net/leaf"] == "a-spine2-leaf3"


def test_a_node_has_its_devices_and_all_else(tmp_path: Path) -> None:
    """Capacity, allocatable and taints are those of the pool."""
    node = load(tmp_path, _REGULAR).manifests()[0]

    assert node["status"]["capacity"] == {"cpu": "192", "memory": "2Ti", "pods": "110", "nvidia.com/gpu": "8"}
    assert node["status"]["allocatable"] == node["status"]["capacity"]
    assert node["spec"]["taints"] == [{"key": "gpu", "value": "", "effect": "NoSchedule"}]


def test_leaves_of_one_number_under_two_spines_are_two_domains(tmp_path: Path) -> None:
    """The leaf's name holds its spine's, and the order of the file is kept."""
    model = load(tmp_path, _FROM_FILE, hosts="host,low,up\nh2,S1,P1\nh1,S1,P2\nh3,S1,P1\n")

    places = model.places(model.pools[0])

    assert [(place.node, *place.domains) for place in places] == [
        ("h2", "P1", "P1-S1"),
        ("h1", "P2", "P2-S1"),
        ("h3", "P1", "P1-S1"),
    ]


def test_the_models_that_are_shipped_are_what_they_say() -> None:
    """The small one is 2 x 2 x 4 nodes, the other the real network of 847 hosts in 119 leaf groups."""
    small, lingjun = (ClusterModel.load(_MODELS / f"{name}-h800.yaml") for name in ("small", "lingjun"))

    assert small.summary() == "h800: 16 nodes, 2 x spine, 4 x leaf, 128 x nvidia.com/gpu"
    assert lingjun.summary() == "h800: 847 nodes, 3 x spine, 119 x leaf, 6776 x nvidia.com/gpu"
    labels = small.manifests()[0]["metadata"]["labels"]
    assert labels["nvidia.com/gpu.product"] == "NVIDIA-H800"
    assert {"fabric.topograph.run/tier-0", "fabric.topograph.run/tier-1"} <= set(labels)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("count: 8}", "count: 0}", r"model.yaml:7: pools\[0\].device.count: .* greater than 0, got 0"),
        ("memory: 2Ti", "memory: much", r"model.yaml:9: pools\[0\].memory: a quantity .* is needed, got 'much'"),
        ("nodes: 10", "notes: 10", r"model.yaml:6: pools\[0\].notes: Extra inputs are not permitted"),
        ("name: a", "name: A_b", r"model.yaml:2: pools\[0\].name: .* lower-case letters.*, got 'A_b'"),
        ("  nodes: 10\n", "", r"pools\[0\]: either nodes .* or topology .* is needed"),
        ("count: 2}", "column: x}", r"level spine: with a regular tree it needs count, and no column"),
        ("label: net/leaf", "label: /leaf", r"model.yaml:5: pools\[0\].levels\[1\].label: .* got '/leaf'"),
        ("key: gpu", "key: gpu, effect: Never", r"model.yaml:10: pools\[0\].taints\[0\].effect"),
        ("pools:", "pool:", r"model.yaml:1: pools: Field required"),
    ],
)
def test_a_wrong_model_is_told_with_line_field_and_value(tmp_path: Path, old: str, new: str, told: str) -> None:
    """The message leads to the place and says what is right."""
    assert old in _REGULAR

    with pytest.raises(ModelError, match=told):
        load(tmp_path, _REGULAR.replace(old, new, 1))


@pytest.mark.parametrize(
    ("text", "told"),
    [("pools: [", "is not YAML"), ("[]", "a mapping with the key 'pools' is needed"), ("pools: []", "at least one")],
)
def test_a_file_that_is_no_model_is_told(tmp_path: Path, text: str, told: str) -> None:
    """Broken YAML, another document, no pools."""
    with pytest.raises(ModelError, match=told):
        load(tmp_path, text)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("host,low\nh1,S1\n", r"hosts.csv:1: no column up; it has host, low"),
        ("host,low,up\nh1,S1,P1\nH2,S1,P1\n", r"hosts.csv:3: node 'H2': lower-case letters"),
        ("host,low,up\nh1,,P1\n", r"hosts.csv:2: domain 'P1-'"),
        ("host,low,up\nh1,S1\n", r"hosts.csv:2: domain ''"),
        ("host,low,up\nh1,S1,P1\nh1,S2,P1\n", r"model.yaml: 1 node names occur more than once, for instance h1"),
    ],
)
def test_a_wrong_topology_file_is_told_with_its_line(tmp_path: Path, content: str, told: str) -> None:
    """A missing column, names that Kubernetes refuses, an empty cell, a short row, a host that occurs twice."""
    with pytest.raises(ModelError, match=told):
        load(tmp_path, _FROM_FILE, hosts=content)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    """Both a model and the topology that it names."""
    with pytest.raises(ModelError, match=r"none.yaml: No such file or directory"):
        ClusterModel.load(tmp_path / "none.yaml")
    with pytest.raises(ModelError, match=r"hosts.csv: No such file or directory; pool a names it"):
        load(tmp_path, _FROM_FILE)
