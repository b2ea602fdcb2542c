"""What the API server makes of a template, or has against it, is found before anything is planned, and told."""

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from berth.kube import nesting
from e2e.ground.api import Api, ApiError, JsonObject
from e2e.ground.waiting import until
from e2e.running import OperatorProcess
from tests.integration.scene import GPU, Scene

pytestmark = pytest.mark.cluster
pytest_plugins = ("tests.integration.operating",)


def limit_range(api: Api, scene: Scene, **defaults: str) -> None:
    """Give containers of the scene's namespace requests that they do not name themselves."""
    limit = {"type": "Container", "defaultRequest": defaults}
    body = {"metadata": {"name": "defaults"}, "spec": {"limits": [limit]}}
    api.create(f"{scene.core}/limitranges", body)


def quota(api: Api, scene: Scene, **hard: str) -> JsonObject:
    """Limit the namespace, and wait until the limit is enforced."""
    body = {"metadata": {"name": "little"}, "spec": {"hard": hard}}
    api.create(f"{scene.core}/resourcequotas", body)
    path = f"{scene.core}/resourcequotas/little"
    return until(lambda: api.get(path).get("status", {}).get("hard"), "the quota to be counted", timeout_s=15) or {}


def test_requests_that_a_limit_range_adds_are_counted(scene: Scene, api: Api) -> None:
    """The template asks for no CPU, the namespace's LimitRange does: only as many replicas go on a node as have CPU."""
    scene.cluster([3], resources={"cpu": "16"})
    limit_range(api, scene, cpu="12")
    scene.submit("train", replicas=4, devices=2)

    scene.wait_pending("train", "TooLarge", says=f"needs 4 slots of 2 devices; pool {scene.pool} has 3")

    scene.edit("train", replicas=3)
    scene.wait("train", "Running")
    assert scene.bound("train") == scene.nodes


def test_a_quota_that_refuses_is_told_in_its_own_words_and_lifted_it_hinders_no_more(scene: Scene, api: Api) -> None:
    """The pod would exceed a ResourceQuota: the job says which and by how much, takes nothing, and starts later."""
    scene.cluster([2])
    quota(api, scene, pods="0")
    scene.submit("train", replicas=2)

    assert scene.wait_pending("train", "TemplateRefused")["message"] == (
        "exceeded quota: little, requested: pods=1, used: pods=0, limited: pods=0: "
        "correct the template, or what refuses it"
    )

    assert scene.condition("train", "Placed")[:2] == ("False", "TemplateRefused")
    api.delete(f"{scene.core}/resourcequotas/little")
    scene.wait("train", "Running")


def test_a_gang_that_a_quota_takes_only_in_part_is_taken_back_whole(scene: Scene, api: Api) -> None:
    """One replica passes the quota, three do not: no part of the gang stays, and the devices serve others."""
    scene.cluster([3])
    quota(api, scene, pods="2")
    scene.submit("train", replicas=3)

    status = scene.wait_for("train", lambda s: bool(s.get("attempts")) and "placement" not in s, "to be taken back")

    (attempt,) = status["attempts"]
    assert (attempt["attempt"], attempt["cause"]) == (1, "PodsRefused")
    assert "failures" not in status
    assert status["pending"]["reason"] == "BackOff"
    until(lambda: scene.events("Requeued"), "the event", timeout_s=10)
    assert "exceeded quota: little" in scene.events("Requeued")[0]["note"]
    assert scene.pods("train") == {}
    until(lambda: scene.services("train") == {}, "the Service to be deleted", timeout_s=10)
    scene.submit("other", replicas=2)
    scene.wait("other", "Running")


_C = "spec.template.spec.containers[0]"
MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "an image that is missing": (
        {"container": {"image": None}},
        f"{_C}.image: Required value: correct the template",
    ),
    "a quantity that is none": (
        {"container": {"resources": {"limits": {"memory": "64Gib"}}}},
        (
            f"{_C}.resources.limits[memory]: '64Gib' is not a quantity; write it like 500m, 8 or 64Gi: "
            "correct the template"
        ),
    ),
    "a list in place of a quantity": (
        {"container": {"resources": {"requests": {"cpu": [1]}}}},
        f"{_C}.resources.requests[cpu]: [1] is not a quantity; write it like 500m, 8 or 64Gi: correct the template",
    ),
    "a field that is not known": (
        {"container": {"comand": ["train"]}},
        f'unknown field "{_C}.comand": correct the template',
    ),
    "a field of the wrong type": (
        {"container": {"command": "train"}},
        "spec.template.spec.containers.command: must be a list of strings, not string: correct the template",
    ),
    "a volume that is not there": (
        {"container": {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}},
        f'{_C}.volumeMounts[0].name: Not found: "data": correct the template',
    ),
    "a request above its limit": (
        {"container": {"resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}}},
        (
            f'{_C}.resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1: '
            "correct the template"
        ),
    ),
    "other devices than the job's": (
        {"container": {"resources": {"limits": {GPU: "4"}}}},
        (
            f"{_C}.resources.limits[{GPU}]: 4: the containers of a replica must ask for spec.devicesPerReplica (8) in "
            "all; leave it out, and the first container gets them"
        ),
    ),
    "a variable that is Berth's": (
        {"container": {"env": [{"name": "BERTH_REPLICA", "value": "0"}]}},
        f"{_C}.env BERTH_REPLICA: names that start with BERTH_ are set by Berth; rename it",
    ),
    "two containers of one name": (
        {"pod": {"initContainers": [{"name": "trainer", "image": "i:1"}]}},
        'spec.template.spec.initContainers[0].name: Duplicate value: "trainer": correct the template',
    ),
    "a port that is none": (
        {"container": {"ports": [{"containerPort": 100000}]}},
        (
            f"{_C}.ports[0].containerPort: Invalid value: 100000: must be between 1 and 65535, inclusive: "
            "correct the template"
        ),
    ),
    "a pull policy that is none": (
        {"container": {"imagePullPolicy": "Sometimes"}},
        (
            f'{_C}.imagePullPolicy: Unsupported value: "Sometimes": '
            'supported values: "Always", "IfNotPresent", "Never": correct the template'
        ),
    ),
    "more mistakes than a line has room for": (
        {"container": {"image": None, "ports": [{"containerPort": 0}, {"containerPort": -1}, {"containerPort": -2}]}},
        (
            f"{_C}.image: Required value; "
            f"{_C}.ports[0].containerPort: Required value; "
            f"{_C}.ports[1].containerPort: Invalid value: -1: must be between 1 and 65535, inclusive; and 1 more: "
            "correct the template"
        ),
    ),
}
"""What is wrong in a template, and what the user then reads."""


def test_a_webhook_that_breaks_after_the_dry_run_ends_the_attempt_and_is_named(scene: Scene, api: Api) -> None:
    """The gang was tried before: its devices are given back, and the job says which webhook does not work."""
    scene.cluster([1])
    scene.foreign_pod("squatter", scene.nodes[0], 8)
    scene.submit("train")
    scene.wait_pending("train", "InsufficientDevices")
    hook = f"broken-{scene.namespace}"[:60].rstrip("-") + ".example.com"
    selector = {"matchLabels": {"kubernetes.io/metadata.name": scene.namespace}}
    webhook = {
        "name": hook,
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
        "clientConfig": {"url": "https://127.0.0.1:9/check"},
        "namespaceSelector": selector,
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "timeoutSeconds": 2,
    }
    configurations = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
    api.create(configurations, {"metadata": {"name": hook}, "webhooks": [webhook]})
    try:
        until(lambda: _refuses_pods(api, scene), "the webhook to be called", timeout_s=30)
        api.delete(f"{scene.core}/pods/squatter", {"gracePeriodSeconds": 0})

        status = scene.wait_for("train", lambda status: bool(status["attempts"]), "to end an attempt", timeout_s=60)

        assert status["attempts"][0]["cause"] == "PodsRefused"
        pending = scene.wait_pending("train", "TemplateRefused", timeout_s=60)
        assert f'failed calling webhook "{hook}"' in pending["message"]
    finally:
        api.delete(f"{configurations}/{hook}")
    scene.wait("train", "Running", timeout_s=60)


def _refuses_pods(api: Api, scene: Scene) -> bool:
    pod = {"metadata": {"name": "asks"}, "spec": {"containers": [{"name": "c", "image": "none"}]}}
    try:
        api.create(f"{scene.core}/pods?dryRun=All", pod)
    except ApiError as error:
        return error.status == 500
    return False


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_template_is_told_by_field_value_and_remedy(scene: Scene, mistake: str) -> None:
    """The job says what is wrong and where; nothing is made of it."""
    wrong, told = MISTAKES[mistake]
    scene.cluster([1])
    scene.submit("train", **wrong)

    assert scene.wait_pending("train", "TemplateRefused")["message"] == told

    assert scene.pods() == {}


def test_a_service_account_that_is_missing_is_named_and_made_it_hinders_no_more(scene: Scene, api: Api) -> None:
    """What refuses a template may lie outside it: once the account is there, the job starts without an edit."""
    scene.cluster([1])
    scene.submit("train", pod={"serviceAccountName": "trainer"})

    assert scene.wait_pending("train", "TemplateRefused")["message"] == (
        f"error looking up service account {scene.namespace}/trainer: "
        'serviceaccount "trainer" not found: correct the template, or what refuses it'
    )

    api.create(f"{scene.core}/serviceaccounts", {"metadata": {"name": "trainer"}})
    scene.wait("train", "Running")


def test_a_corrected_template_is_tried_again_at_once(scene: Scene) -> None:
    """An edit of the template is all it takes; nobody waits for a retry."""
    scene.cluster([1])
    scene.submit("train", container={"image": None})
    scene.wait_pending("train", "TemplateRefused")

    scene.edit("train", template=scene.manifest("train")["spec"]["template"])

    scene.wait("train", "Running")


def test_a_name_that_is_taken_by_somebody_elses_pod_is_told(scene: Scene, api: Api) -> None:
    """Rank 0's name belongs to a stranger: the job says so, leaves the stranger alone, and starts when it is gone."""
    scene.cluster([2])
    scene.foreign_pod("train-1-0", scene.nodes[0], 1)
    scene.submit("train", devices=4)

    assert scene.wait_pending("train", "TemplateRefused")["message"] == (
        "a pod train-1-0 is there already and is not this job's; delete it, or rename the job"
    )

    assert "berth.dev/job" not in api.get(f"{scene.core}/pods/train-1-0")["metadata"].get("labels", {})
    api.delete(f"{scene.core}/pods/train-1-0")
    scene.wait("train", "Running")


def test_a_name_taken_in_the_middle_of_a_gang_takes_the_gang_back_whole(scene: Scene, api: Api) -> None:
    """Rank 1's name belongs to a stranger: rank 0 does not stay alone, and the next attempt has other names."""
    scene.cluster([3])
    scene.foreign_pod("train-1-1", scene.nodes[0], 1)
    scene.submit("train", replicas=2)

    status = scene.wait_for("train", lambda s: bool(s.get("attempts")) and "placement" not in s, "to be taken back")

    assert status["attempts"][0]["cause"] == "PodsRefused"
    assert scene.pods("train") == {}
    note = "attempt 1 is over: a pod train-1-1 is there already and is not this job's; delete it, or rename the job"
    until(lambda: [event["note"] for event in scene.events("Requeued")] == [note], "the event", timeout_s=10)
    assert scene.wait("train", "Running", timeout_s=20)["attempt"] == 2
    assert api.get(f"{scene.core}/pods/train-1-1")["spec"]["nodeName"] == scene.nodes[0]


@pytest.fixture
def deep() -> Iterator[None]:
    """This process, too, has to read what it writes."""
    usual = sys.getrecursionlimit()
    nesting.allow()
    yield
    sys.setrecursionlimit(usual)


@pytest.mark.usefixtures("deep")
def test_a_template_that_is_nested_beyond_reason_is_its_jobs_trouble_alone(
    scene: Scene, operator: OperatorProcess
) -> None:
    """It is stored, and so is on every list and watch of jobs: the operator goes on, started anew it goes on again."""
    scene.cluster([2])
    nest: dict[str, Any] = {}
    for _ in range(2_000):
        nest = {"x": nest}
    scene.submit("deep", container={"livenessProbe": nest})
    assert scene.wait_pending("deep", "TemplateRefused")["message"].startswith(
        "spec.template: no pod can be made of it (ValueError: "
    )
    scene.submit("train", replicas=2)
    scene.wait("train", "Running")

    operator.kill()
    operator.start()
    scene.edit("train", suspend=True)
    scene.wait("train", "Suspended")
