"""The models read what users write, write what the API server keeps, and hold what is told within its bounds."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import ValidationError

from berth.api.folding import fold
from berth.api.job import Binding, Policy, Runtime, TrainingJob
from berth.api.job_status import JOB_REASONS, Cause, JobStatus, PendingReason, State
from berth.api.pool import POOL_REASONS, AcceleratorPool, PoolStatus
from berth.api.rules import duration_seconds
from berth.api.wire import cut, rfc3339, seconds
from berth.core import model, plan
from berth.core.explain import DEVICES, FINISHED, PLACED, PODS_READY, span

NOON = 1_795_348_985
NOON_TEXT = "2026-11-22T12:03:05Z"

TEMPLATE: Mapping[str, Any] = {
    "metadata": {"labels": {"team": "llm"}},
    "spec": {
        "nodeSelector": {"disk": "fast"},
        "containers": [
            {"name": "trainer", "image": "trainer:1", "env": [{"name": "A", "value": "1"}], "restartPolicy": "Never"},
            {"name": "log-shipper", "image": "shipper:1", "node_selector": "kept as it is, refused by the dry run"},
        ],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
        "terminationGracePeriodSeconds": 60,
        "hostNetwork": True,
    },
}


def job(**spec: object) -> dict[str, Any]:
    """A manifest of a job, as the API server hands it out."""
    smallest = {"replicas": 4, "devicesPerReplica": 8, "template": TEMPLATE}
    metadata = {"name": "resnet", "namespace": "vision", "uid": "u-1", "creationTimestamp": NOON_TEXT, "selfLink": "x"}
    return {
        "apiVersion": "berth.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": metadata,
        "spec": {**smallest, **spec},
    }


def test_the_smallest_job_has_the_documented_defaults() -> None:
    """What a user leaves out is what the reference says it is."""
    spec = TrainingJob.model_validate(job()).spec
    assert (spec.replicas, spec.devices_per_replica) == (4, 8)
    assert (spec.runtime, spec.binding, spec.backoff_limit, spec.suspend) == (Runtime.NONE, Binding.SCHEDULER, 3, False)
    assert (spec.pools, spec.topology, spec.priority_class_name, spec.ttl_seconds_after_finished) == (None,) * 4


def test_a_level_is_required_unless_it_is_preferred() -> None:
    """Whoever names a level and nothing else means it."""
    found = TrainingJob.model_validate(job(topology={"level": "leaf"})).spec.topology
    assert found is not None
    assert found.policy is Policy.REQUIRED


def test_a_template_is_passed_on_exactly_as_it_was_written() -> None:
    """Berth neither knows nor changes most of a pod: no field is added, renamed or lost."""
    assert TrainingJob.model_validate(job()).spec.template.manifest() == TEMPLATE


def test_a_job_read_and_written_again_is_the_same() -> None:
    """Reading is lossless for all that Berth declares; what it does not is the template's, tested above."""
    written = job(pools=["h800"], topology={"level": "leaf", "policy": "Preferred"}, runtime="Torchrun")
    again = TrainingJob.model_validate(written).wire()["spec"]
    assert {"pools", "topology", "runtime", "replicas"} < set(written["spec"])
    assert all(written["spec"][field] == again[field] for field in written["spec"] if field != "template")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"replicas": 0}, "0 must be from 1 to 5000"),
        ({"replicas": 5001}, "5001 must be from 1 to 5000"),
        ({"devicesPerReplica": 65}, "65 must be from 1 to 64"),
        ({"backoffLimit": -1}, "-1 must be from 0 to 100"),
        ({"startDeadline": "15"}, "'15' must be a duration from 10s to 168h, such as 90s, 15m or 1h30m"),
        ({"startDeadline": "1m30"}, "'1m30' must be a duration"),
        ({"startDeadline": "30m1h"}, "'30m1h' must be a duration"),
        ({"startDeadline": ""}, "'' must be a duration"),
        ({"startDeadline": "9s"}, "'9s' must be a duration"),
        ({"startDeadline": "169h"}, "'169h' must be a duration"),
        ({"pools": []}, "must name at least one AcceleratorPool"),
        ({"pools": ["H800"]}, "'H800' must be 1 to 63"),
        ({"pools": [f"p{n}" for n in range(17)]}, "must have at most 16 entries, not 17"),
        ({"priorityClassName": "a/b"}, "'a/b' must be a name from kubectl get priorityclass"),
        ({"runtime": "MPI"}, "Input should be 'Torchrun', 'TorchNPU' or 'None'"),
        ({"topology": {"groups": {"size": 2}}}, "Field required"),
        ({"quota": "research"}, "Extra inputs are not permitted"),
        ({"template": {"spec": {"containers": []}}}, "must have at least one container"),
    ],
)
def test_a_bad_job_is_refused_without_an_api_server(change: dict[str, object], says: str) -> None:
    """Bounds that the schema holds are held by the models, too, for tools that read files."""
    with pytest.raises(ValidationError) as caught:
        TrainingJob.model_validate(job(**change))
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10s", 10), ("90s", 90), ("15m", 900), ("1h30m", 5400), ("1h1m1s", 3661), ("2h5s", 7205), ("168h", 604_800)],
)
def test_a_duration_is_written_in_hours_minutes_and_seconds(text: str, seconds: int) -> None:
    """In this order, each at most once."""
    assert TrainingJob.model_validate(job(startDeadline=text)).spec.start_deadline == text
    assert duration_seconds(text) == seconds
    assert span(seconds) == text.replace("90s", "1m30s")


@pytest.mark.parametrize("memory", ["80Gi", "80G", "1.5Ti", "64000000000", "96e9"])
def test_memory_is_a_quantity(memory: str) -> None:
    """Any way in which Kubernetes writes an amount."""
    assert pool_with(accelerator={"memory": memory}).spec.profile == "nvidia-h800"


@pytest.mark.parametrize("memory", ["0", "0Gi", "-1Gi", "80 Gi", "80GB", "much", ""])
def test_what_is_no_amount_of_memory_is_refused(memory: str) -> None:
    """Nothing, less than nothing, and units that Kubernetes does not know."""
    with pytest.raises(ValidationError, match="must be an amount with a unit of Kubernetes, more than 0, such as 80Gi"):
        pool_with(accelerator={"memory": memory})


def pool_with(**spec: object) -> AcceleratorPool:
    """A pool of H800 nodes with more in its spec."""
    smallest = {"profile": "nvidia-h800", "nodeSelector": {"matchLabels": {"nvidia.com/gpu.product": "NVIDIA-H800"}}}
    return AcceleratorPool.model_validate({"metadata": {"name": "h800"}, "spec": {**smallest, **spec}})


def test_times_are_seconds_here_and_rfc3339_there() -> None:
    """Fractions, which MicroTime has, are rounded down; a time without a zone is refused."""
    assert rfc3339(NOON) == NOON_TEXT
    assert seconds(NOON_TEXT) == seconds("2026-11-22T12:03:05.999999Z") == seconds("2026-11-22T20:03:05+08:00") == NOON
    with pytest.raises(ValueError, match="has no time zone: write RFC 3339"):
        seconds("2026-11-22T12:03:05")


def test_a_status_is_written_without_what_is_absent() -> None:
    """Server-side apply takes away what is no longer said, so absent fields must not be sent as null."""
    status = JobStatus(state=State.PENDING, attempt=None, retry_after=NOON)
    assert status.wire() == {
        "state": "Pending",
        "conditions": [],
        "retryAfter": NOON_TEXT,
        "attempts": [],
        "refusals": [],
    }
    assert JobStatus.model_validate(status.wire()) == status


def test_long_texts_are_cut_rather_than_refused() -> None:
    """A status that cannot be written helps nobody."""
    assert cut("short", 10) == "short"
    assert cut("needs 32 free nodes under one spine", 30) == "needs 32 free nodes under one…"
    assert cut("x" * 40, 30) == "x" * 29 + "…"
    status = JobStatus(summary="w" * 100)
    assert status.summary is not None
    assert len(status.summary) == 48


def condition(kind: str, reason: str) -> dict[str, object]:
    """A condition as it is read back."""
    return {"type": kind, "status": "False", "reason": reason, "lastTransitionTime": NOON_TEXT}


@pytest.mark.parametrize(("status", "kind"), [(JobStatus, "Placed"), (PoolStatus, "Ready")])
def test_a_reason_outside_its_closed_set_is_never_written(status: type[JobStatus | PoolStatus], kind: str) -> None:
    """It can be read, as after a roll-back; to write it is a bug."""
    read = status.model_validate({"conditions": [condition(kind, "FullMoon")]})
    with pytest.raises(ValueError, match=f"'FullMoon' is no reason of condition {kind}: "):
        read.wire()


def test_a_newer_operators_status_can_be_read() -> None:
    """A field that this operator does not know is not its to keep or to stumble over."""
    assert JobStatus.model_validate({"attempt": 2, "epoch": 17, "placement": None}).attempt == 2


def test_the_words_of_the_wire_are_the_words_of_the_heart() -> None:
    """States, causes and reasons are spelled in both layers, which may not import each other: they must agree."""
    assert {str(word) for word in plan.State} == {str(word) for word in State}
    assert {str(word) for word in model.Cause} == {str(word) for word in Cause}
    assert {PLACED, PODS_READY, FINISHED, DEVICES} == set(JOB_REASONS)
    assert {str(word) for word in plan.Reason} == set().union(*JOB_REASONS.values())
    assert set(PendingReason) <= JOB_REASONS[PLACED]
    assert {str(word) for word in model.Policy} == {str(word) for word in Policy}


def test_every_reason_of_a_pool_is_one_word() -> None:
    """Reasons are matched by machines."""
    assert all(reason.isalpha() for reasons in POOL_REASONS.values() for reason in reasons)


def scattered(total: int) -> list[str]:
    """Node names of a large cluster, no two of them neighbours."""
    return [f"gpu-h800-{(n * 7919) % 20011:05d}.dc1.example.com" for n in range(total)]


def test_the_status_of_5000_replicas_stays_under_64_kib() -> None:
    """Everything at its longest, and 5,000 nodes in no order at all."""
    failure = {"replica": 4999, "node": "n" * 253, "exitCode": 137, "message": "m" * 5000}
    attempt = {"attempt": 99, "started": NOON, "ended": NOON, "cause": "OwnFailure", "firstFailure": failure}
    status = JobStatus.model_validate(
        {
            "observedGeneration": 99,
            "state": "Requeued",
            "summary": "s" * 5000,
            "conditions": [
                {**condition("Placed", "TopologyBlocked"), "type": kind, "message": "m" * 5000} for kind in JOB_REASONS
            ],
            "priority": 1_000_000,
            "pool": "p" * 63,
            "attempt": 99,
            "placement": {
                "domain": "d" * 253,
                "level": "spine",
                "spans": dict.fromkeys(("core", "spine", "leaf", "rack", "node"), 5000),
                "nodes": fold(scattered(5000)),
                "generation": 99,
                "admittedAt": NOON,
            },
            "ending": {"cause": "PodsLost", "time": NOON, "message": "m" * 5000, "firstFailure": failure},
            "pending": {"reason": "TopologyBlocked", "message": "m" * 5000, "nearest": ["n" * 5000] * 5},
            "attempts": [attempt] * 5,
        }
    )
    assert len(json.dumps(status.model_dump(mode="json", exclude_none=True))) < 64 * 1024
