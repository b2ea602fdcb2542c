"""Manifests against a real API server: what is taken, what is refused and in which words, and what may change."""

import json
from typing import Any

import pytest
import yaml

from berth.api.crd import KINDS, Kind
from berth.api.folding import fold
from berth.api.job_status import JobStatus
from berth.api.schema import Json, structural
from e2e.ground.api import Api, ApiError
from e2e.ground.controlplane import ControlPlane
from tests.manifests import JOBS, PLACEMENT, POOLS, ROOT, Manifest, define, job, pool
from tests.mistakes import mistakes

pytestmark = pytest.mark.cluster

MISTAKES = list(mistakes())
NO_POOLS = "must name at least one AcceleratorPool; leave it out to allow any pool that suits"
NOT_ALL_CHECKED = (
    "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct the "
    "existing errors to complete validation"
)
"""What Kubernetes adds where it stops at a wrong type, a missing field or an unsupported word."""


@pytest.fixture(scope="module", autouse=True)
def definitions(control_plane: ControlPlane) -> None:
    """The CRDs as they are checked in."""
    define(control_plane)


# What is refused


@pytest.fixture(scope="module")
def said(control_plane: ControlPlane) -> list[str]:
    """What kubectl says of every mistake, one line each, when all of them are applied together."""
    manifests = [mistake.manifest(f"m-{number}") for number, mistake in enumerate(MISTAKES)]
    stdin = "\n---\n".join(map(json.dumps, manifests))
    done = control_plane.kubectl("apply", "--dry-run=server", "-f", "-", stdin=stdin, check=False)
    assert done.stdout == ""
    return done.stderr.splitlines()


@pytest.mark.parametrize("number", range(len(MISTAKES)), ids=[f"{m.kind}-{m.path}-{n}" for n, m in enumerate(MISTAKES)])
def test_a_mistake_is_answered_with_field_value_and_remedy(said: list[str], number: int) -> None:
    """The user reads exactly what the table of mistakes says, and at least the field by its path."""
    mistake = MISTAKES[number]
    name = mistake.manifest(f"m-{number}")["metadata"]["name"]
    line = said[number].removeprefix('Error from server (Invalid): error when creating "STDIN": ')
    if line.endswith(f", {NOT_ALL_CHECKED}]"):
        line = line.removesuffix(f", {NOT_ALL_CHECKED}]").replace("is invalid: [", "is invalid: ")
    frame = f'{mistake.kind}.berth.dev "{name}" is invalid: '
    if mistake.reads.startswith("strict decoding error: "):
        frame = (
            f'Error from server (BadRequest): error when creating "STDIN": {mistake.kind} in version "v1alpha1" '
            f"cannot be handled as a {mistake.kind}: "
        )
    assert line == frame + mistake.reads
    assert mistake.field.partition("[")[0] in mistake.reads


def test_kubectl_frames_a_single_mistake_for_people(control_plane: ControlPlane) -> None:
    """One object alone is answered in kubectl's short form, with one line for each thing that is wrong."""
    wrong = json.dumps(job("m", replicas=0, runtime="MPI"))
    done = control_plane.kubectl("apply", "-f", "-", stdin=wrong, check=False)
    assert done.stderr.splitlines() == [
        'The TrainingJob "m" is invalid: ',
        '* spec.runtime: Unsupported value: "MPI": supported values: "Torchrun", "TorchNPU", "None"',
        f"* {NOT_ALL_CHECKED}",
    ]
    wrong = json.dumps(job("m", replicas=0, pools=[]))
    done = control_plane.kubectl("apply", "-f", "-", stdin=wrong, check=False)
    head, *mistakes = done.stderr.splitlines()
    assert head == 'The TrainingJob "m" is invalid: '
    assert sorted(mistakes) == [  # the API server walks the fields of a schema in no order
        f"* spec.pools: Invalid value: {NO_POOLS}",
        "* spec.replicas: Invalid value: 0: must be from 1 to 5000: one pod each, all placed together or not at all",
    ]


def declared(node: Json, path: str) -> list[str]:
    """Every field below a node, with its path: `spec.topology[].level`."""
    found = []
    for name, child in node.get("properties", {}).items():
        at = f"{path}.{name}"
        found.append(at)
        below = child["items"] if child["type"] == "array" else child
        found += declared(below, f"{at}[]" if child["type"] == "array" else at)
    return found


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_field_of_a_spec_has_a_mistake(kind: Kind) -> None:
    """A field that accepts anything, or one whose message nobody has read, is found here."""
    tried = {mistake.path for mistake in MISTAKES if mistake.kind == kind.name}
    fields = declared(structural(kind.model)["properties"]["spec"], "spec")
    assert len(fields) > 10
    assert [field for field in ["metadata.name", *fields] if field not in tried] == []


# What is taken


def test_the_defaults_are_filled_in(api: Api, namespace: str) -> None:
    """What is stored says what will happen."""
    stored = api.create(JOBS.format(namespace), job(topology={"level": "leaf"}))["spec"]
    expected = {
        "runtime": "None",
        "backoffLimit": 3,
        "startDeadline": "15m",
        "suspend": False,
        "binding": "Scheduler",
    }
    assert expected == {field: stored[field] for field in expected}
    assert stored["topology"] == {"level": "leaf", "policy": "Required"}
    assert set(stored) == {*expected, "replicas", "devicesPerReplica", "topology", "template"}


FULL_TEMPLATE: Manifest = {
    "metadata": {"labels": {"team": "llm"}, "annotations": {"example.com/note": "any text, 100 %"}},
    "spec": {
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
        "initContainers": [{"name": "fetch", "image": "fetch:1", "restartPolicy": "Always"}],
        "containers": [
            {"name": "trainer", "image": "trainer:1", "resources": {"limits": {"cpu": 4, "memory": "1Gi"}}},
            {"name": "shipper", "image": "shipper:1", "restartPolicy": "Never"},
        ],
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 120,
        "hostNetwork": True,
        "serviceAccountName": "trainer",
        "runtimeClassName": "nvidia",
        "volumes": [{"name": "shm", "emptyDir": {"medium": "Memory"}}],
    },
}


@pytest.mark.parametrize(
    "spec",
    [
        {"replicas": 1, "devicesPerReplica": 1},
        {"replicas": 5000, "devicesPerReplica": 64},
        {"pools": ["h800"], "priorityClassName": "flagship", "runtime": "Torchrun"},
        {"pools": [f"p{n}" for n in range(16)]},
        {"topology": {"level": "node", "policy": "Preferred"}},
        {"backoffLimit": 0, "ttlSecondsAfterFinished": 0, "suspend": True, "binding": "Direct"},
        {"startDeadline": "10s"},
        {"startDeadline": "167h59m60s"},
        {"backoffLimit": 100, "ttlSecondsAfterFinished": 2**31 - 1},
        {"template": FULL_TEMPLATE},
    ],
)
def test_a_good_job_is_taken_as_it_is_written(api: Api, namespace: str, spec: Manifest) -> None:
    """Both ends of every range, and a template that sets all that it may: nothing is lost or changed."""
    stored = api.create(JOBS.format(namespace), job(**spec))["spec"]
    assert spec == {field: stored[field] for field in spec}


@pytest.mark.parametrize("name", ["a", "resnet-50", "a" * 50])
def test_good_names_are_taken(api: Api, namespace: str, name: str) -> None:
    """As long as the replicas' host names stay within 63 characters."""
    assert api.create(JOBS.format(namespace), job(name))["metadata"]["name"] == name


OTHER = {"vendor": "Acme", "model": "X1 80GB+", "resourceName": "acme.example/npu", "memory": "1.5Ti"}


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"profile": "ascend-910c-superpod", "accelerator": {"memory": "64Gi"}},
        {"accelerator": {**OTHER, "layout": {"allowedSizes": [8, 1, 64]}}},
        {"topology": [{"level": f"l{n}", "nodeLabels": [f"example.com/l{n}", "x"]} for n in range(5)]},
        {"nodeSelector": {"matchExpressions": [{"key": "a.b/c_d", "operator": "NotIn", "values": ["x", ""]}]}},
        {"nodeSelector": {"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}], "matchLabels": {"b": ""}}},
    ],
)
def test_a_good_pool_is_taken_as_it_is_written(api: Api, spec: Manifest) -> None:
    """Both ends of every range; the order of levels and sizes stays."""
    stored = api.create(f"{POOLS}?dryRun=All", pool(**spec))["spec"]
    assert spec == {field: stored[field] for field in spec}


def test_a_device_written_out_needs_no_profile(api: Api) -> None:
    """A make that the catalogue does not know needs no code."""
    manifest = pool(accelerator={"resourceName": "acme.example/npu"})
    del manifest["spec"]["profile"]
    assert "profile" not in api.create(f"{POOLS}?dryRun=All", manifest)["spec"]


def test_the_examples_apply_in_one_go(control_plane: ControlPlane) -> None:
    """`kubectl apply -f examples/` on a fresh cluster, in the order of the files, and once more without a change."""
    examples = str(ROOT / "examples")
    try:
        first = control_plane.kubectl("apply", "-f", examples).stdout.splitlines()
        again = control_plane.kubectl("apply", "-f", examples).stdout.splitlines()
        objects = [
            found for path in sorted((ROOT / "examples").iterdir()) for found in yaml.safe_load_all(path.read_text())
        ]
        assert len(first) == len(objects) >= 8
        assert all(line.endswith(" created") for line in first)
        assert all(line.endswith(" unchanged") for line in again)
    finally:
        control_plane.kubectl("delete", "-f", examples, "--wait=false", "--ignore-not-found")


# What may change, and when

SHAPE: tuple[tuple[str, Any], ...] = (
    ("replicas", 5),
    ("devicesPerReplica", 4),
    ("pools", ["h800", "a800"]),
    ("pools", None),
    ("runtime", "None"),
    ("topology", {"level": "spine", "policy": "Required"}),
    ("topology", None),
    ("binding", "Direct"),
)
WHILE_PLACED = "cannot change while the gang is placed: set spec.suspend to true first, and back to false afterwards"


@pytest.fixture
def placed(api: Api, namespace: str) -> str:
    """Path of a job whose gang is placed."""
    manifest = job(pools=["h800"], runtime="Torchrun", topology={"level": "leaf"})
    api.create(JOBS.format(namespace), manifest)
    path = f"{JOBS.format(namespace)}/resnet"
    api.patch(f"{path}/status", {"status": {"placement": PLACEMENT, "pool": "h800"}}, kind="merge")
    return path


@pytest.mark.parametrize(("field", "value"), SHAPE)
def test_the_shape_of_a_placed_gang_stands_still(
    control_plane: ControlPlane, placed: str, namespace: str, field: str, value: Any
) -> None:
    """The pods were made from it. The user is told to suspend the job first."""
    patch = json.dumps({"spec": {field: value}})
    done = control_plane.kubectl("-n", namespace, "patch", "tj", "resnet", "--type=merge", f"-p={patch}", check=False)
    assert done.stderr == f'The TrainingJob "resnet" is invalid: spec.{field}: Invalid value: {WHILE_PLACED}\n'


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("suspend", True),
        ("backoffLimit", 7),
        ("startDeadline", "1h"),
        ("ttlSecondsAfterFinished", 60),
        ("priorityClassName", "flagship"),
        ("pools", ["h800"]),
        ("template", {"spec": {"containers": [{"name": "trainer", "image": "trainer:2"}]}}),
    ],
)
def test_what_does_not_shape_the_gang_may_change_at_any_time(api: Api, placed: str, field: str, value: Any) -> None:
    """Above all `suspend`, which is the way to every other change."""
    assert api.patch(placed, {"spec": {field: value}}, kind="merge")["spec"][field] == value


@pytest.mark.parametrize(("field", "value"), SHAPE)
def test_a_gang_without_a_placement_may_change_its_shape(api: Api, placed: str, field: str, value: Any) -> None:
    """After it was suspended, and its devices given back."""
    api.patch(placed, {"spec": {"suspend": True}}, kind="merge")
    api.patch(f"{placed}/status", {"status": {"placement": None}}, kind="merge")
    assert api.patch(placed, {"spec": {field: value}}, kind="merge")["spec"].get(field, None) == value


def test_a_finished_job_keeps_its_shape(control_plane: ControlPlane, api: Api, placed: str, namespace: str) -> None:
    """To suspend it would help nobody, so the user is told what does."""
    api.patch(f"{placed}/status", {"status": {"finishedAt": "2026-11-22T04:00:00Z"}}, kind="merge")
    patch = '{"spec": {"replicas": 8}}'
    done = control_plane.kubectl("-n", namespace, "patch", "tj", "resnet", "--type=merge", f"-p={patch}", check=False)
    said = "spec.replicas: Invalid value: cannot change, the job has finished: create a new one"
    assert done.stderr == f'The TrainingJob "resnet" is invalid: {said}\n'


def test_a_status_is_no_business_of_whoever_writes_the_spec(api: Api, placed: str) -> None:
    """The status subresource keeps them apart, in both directions."""
    assert api.patch(placed, {"status": {"attempt": 9}}, kind="merge")["status"].get("attempt") is None
    assert api.patch(f"{placed}/status", {"spec": {"replicas": 9}}, kind="merge")["spec"]["replicas"] == 4


def test_a_status_at_its_longest_is_taken(api: Api, placed: str) -> None:
    """5,000 scattered nodes, every text at its bound: the API server takes what the model lets through."""
    long = {
        "type": "Placed",
        "status": "False",
        "reason": "TopologyBlocked",
        "message": "m" * 5000,
        "lastTransitionTime": 0,
    }
    status = JobStatus.model_validate(
        {
            "pool": "h800",
            "summary": "s" * 5000,
            "conditions": [long],
            "placement": {**PLACEMENT, "nodes": fold([f"h800-{(n * 7919) % 20011:05d}" for n in range(5000)])},
            "pending": {"reason": "TopologyBlocked", "message": "m" * 5000, "nearest": ["n" * 5000] * 5},
        }
    )
    stored = api.patch(f"{placed}/status", {"status": status.wire()}, kind="merge")["status"]
    assert JobStatus.model_validate(stored) == status


def test_a_status_that_is_too_long_is_refused(api: Api, placed: str) -> None:
    """The bounds are the schema's, not only the model's."""
    with pytest.raises(ApiError, match=r"status.summary: Too long: may not be more than 48"):
        api.patch(f"{placed}/status", {"status": {"summary": "s" * 49}}, kind="merge")
