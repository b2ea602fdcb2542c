"""What kubectl shows of jobs and pools: on a narrow terminal, on a wide one, selected, and explained."""

import re
import time
from collections.abc import Iterator

import pytest

from berth.api.crd import JOB, POOL, Kind
from berth.api.job_status import JobStatus
from berth.api.pool import PoolStatus
from e2e.ground.api import Api
from e2e.ground.controlplane import ControlPlane
from tests.manifests import JOBS, PLACEMENT, POOLS, Manifest, define, job, pool

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module", autouse=True)
def definitions(control_plane: ControlPlane) -> None:
    """The CRDs as they are checked in."""
    define(control_plane)


NOW = int(time.time())
ROWS: dict[str, tuple[Manifest, JobStatus]] = {
    "llama-70b-pretrain-202611": (
        job(replicas=32, topology={"level": "spine"}),
        JobStatus.model_validate(
            {
                "state": "Running",
                "summary": "32 replicas ready under spine-2",
                "pool": "h800",
                "attempt": 2,
                "priority": 100000,
                "placement": {**PLACEMENT, "domain": "spine-2", "nodes": "h800-[0017-0048]"},
            }
        ),
    ),
    "resnet-50-baseline": (
        job(replicas=4),
        JobStatus.model_validate(
            {
                "state": "Starting",
                "summary": "3 of 4 replicas are ready",
                "pool": "h800",
                "attempt": 1,
                "priority": 0,
                "placement": {**PLACEMENT, "domain": "spine-1/leaf-12"},
            }
        ),
    ),
    "bert-large-distillation-7": (
        job(replicas=128),
        JobStatus.model_validate(
            {
                "state": "Pending",
                "summary": "needs 128 nodes; 96 of 128 are free in pool h800",
                "priority": 1000,
                "pending": {"reason": "InsufficientDevices", "message": "needs 128 nodes; 96 of 128 are free"},
            }
        ),
    ),
    "whisper-finetune": (job(replicas=1), JobStatus.model_validate({"state": "Succeeded", "attempt": 1})),
}


def table(text: str) -> list[list[str]]:
    """A printed table as cells, by the columns that its header stands in; the AGE is left out."""
    header, *rows = text.rstrip("\n").split("\n")
    starts = [match.start() for match in re.finditer(r"\S+(?: \S+)*", header)]
    cells = [[line[a:b].strip() for a, b in zip(starts, [*starts[1:], None], strict=True)] for line in (header, *rows)]
    age = cells[0].index("AGE")
    return [line[:age] + line[age + 1 :] for line in cells]


def widest(text: str) -> int:
    """Columns that a printed text takes, blanks at the end of a line left out."""
    return max(len(line.rstrip()) for line in text.splitlines())


@pytest.fixture
def queue(api: Api, namespace: str) -> str:
    """A namespace with jobs in several states."""
    for name, (manifest, status) in ROWS.items():
        api.create(JOBS.format(namespace), {**manifest, "metadata": {"name": name}})
        api.patch(f"{JOBS.format(namespace)}/{name}/status", {"status": status.wire()}, kind="merge")
    return namespace


def test_jobs_read_well_at_80_columns(control_plane: ControlPlane, queue: str) -> None:
    """What runs where, with names of 25 characters."""
    shown = control_plane.kubectl("-n", queue, "get", "tj").stdout
    assert widest(shown) <= 80
    assert table(shown) == [
        ["NAME", "STATE", "REPLICAS", "POOL", "DOMAIN"],
        ["bert-large-distillation-7", "Pending", "128", "", ""],
        ["llama-70b-pretrain-202611", "Running", "32", "h800", "spine-2"],
        ["resnet-50-baseline", "Starting", "4", "h800", "spine-1/leaf-12"],
        ["whisper-finetune", "Succeeded", "1", "", ""],
    ]


def test_jobs_read_well_at_160_columns(control_plane: ControlPlane, queue: str) -> None:
    """And why what waits, waits."""
    shown = control_plane.kubectl("-n", queue, "get", "trainingjobs", "-o", "wide").stdout
    assert widest(shown) <= 160
    assert [line[5:] for line in table(shown)] == [
        ["EACH", "ATTEMPT", "PRIORITY", "WHY"],
        ["8", "", "1000", "needs 128 nodes; 96 of 128 are free in pool h800"],
        ["8", "2", "100000", "32 replicas ready under spine-2"],
        ["8", "1", "0", "3 of 4 replicas are ready"],
        ["8", "1", "", ""],
    ]


def test_jobs_are_selected_by_state_and_pool(control_plane: ControlPlane, queue: str) -> None:
    """Field selectors are answered by the API server, not by a pipe through grep."""
    shown = control_plane.kubectl("-n", queue, "get", "tj", "-o", "name", "--field-selector", "status.state=Pending")
    assert shown.stdout == "trainingjob.berth.dev/bert-large-distillation-7\n"
    shown = control_plane.kubectl("-n", queue, "get", "tj", "-o", "name", "--field-selector", "status.pool=h800")
    assert [line.partition("/")[2] for line in shown.stdout.splitlines()] == [
        "llama-70b-pretrain-202611",
        "resnet-50-baseline",
    ]


@pytest.fixture
def pools(api: Api, control_plane: ControlPlane) -> Iterator[None]:
    """Two pools with their statuses, gone after the test."""
    ready = {"type": "Ready", "lastTransitionTime": NOW}
    statuses = {
        "h800": {
            "resourceName": "nvidia.com/gpu",
            "nodes": {"total": 847, "ready": 845},
            "devices": {"total": 6776, "free": 1288, "used": 5472, "unavailable": 16},
            "levels": [{"level": "spine", "domains": 3, "largestFree": 640}],
            "conditions": [{**ready, "status": "True", "reason": "Ready", "message": "6776 devices on 847 nodes"}],
        },
        "ascend-910c": {
            "conditions": [
                {
                    **ready,
                    "status": "False",
                    "reason": "NoNodes",
                    "message": "spec.nodeSelector selects no node; compare it with their labels",
                }
            ],
            "nodes": {"total": 0, "ready": 0},
        },
    }
    for name, status in statuses.items():
        profile = {"h800": "nvidia-h800", "ascend-910c": "ascend-910c-superpod"}[name]
        api.create(POOLS, pool(name, profile=profile))
        body = {"status": PoolStatus.model_validate(status).wire()}
        api.patch(f"{POOLS}/{name}/status", body, kind="merge")
    yield
    control_plane.kubectl("delete", "apool", *statuses)


@pytest.mark.usefixtures("pools")
def test_pools_read_well_at_80_columns(control_plane: ControlPlane) -> None:
    """How much there is, how much is free."""
    shown = control_plane.kubectl("get", "apool").stdout
    assert widest(shown) <= 80
    assert table(shown) == [
        ["NAME", "PROFILE", "NODES", "DEVICES", "FREE", "READY"],
        ["ascend-910c", "ascend-910c-superpod", "0", "", "", "False"],
        ["h800", "nvidia-h800", "847", "6776", "1288", "True"],
    ]


@pytest.mark.usefixtures("pools")
def test_pools_read_well_at_160_columns(control_plane: ControlPlane) -> None:
    """And why one is not ready."""
    shown = control_plane.kubectl("get", "acceleratorpools", "-o", "wide").stdout
    assert widest(shown) <= 160
    assert [line[6:] for line in table(shown)] == [
        ["RESOURCE", "WHY"],
        ["", "spec.nodeSelector selects no node; compare it with their labels"],
        ["nvidia.com/gpu", "6776 devices on 847 nodes"],
    ]


@pytest.mark.parametrize(
    ("kind", "path", "says"),
    [
        (JOB, "spec.topology.policy", "Required"),
        (JOB, "spec.template.spec.nodeName", "Refused"),
        (JOB, "status.placement.nodes", "rank order"),
        (POOL, "spec.topology", "widest first"),
    ],
)
def test_kubectl_explains_fields(control_plane: ControlPlane, kind: Kind, path: str, says: str) -> None:
    """Descriptions reach the user's terminal."""
    assert says in control_plane.kubectl("explain", f"{kind.short_name}.{path}").stdout
