"""Jobs that are deleted, in all the ways that Kubernetes knows, and what they leave behind."""

import pytest

from e2e.ground.api import Api
from e2e.ground.waiting import until
from tests.integration.scene import Scene

pytestmark = pytest.mark.cluster
pytest_plugins = ("tests.integration.operating",)


def test_deleting_a_running_job_takes_everything_of_it_along(scene: Scene) -> None:
    """Pods and Service go with the job, and the next job gets the devices."""
    scene.cluster([2])
    scene.submit("train", replicas=2)
    scene.wait("train", "Running")
    scene.submit("next", replicas=2)
    scene.wait_pending("next", "InsufficientDevices")

    scene.delete("train")

    scene.wait_gone("train")
    scene.wait("next", "Running")
    assert scene.over_committed() == {}


def test_a_job_made_anew_under_an_old_name_is_another_job(scene: Scene) -> None:
    """Deleted and created again at once, the job gets its own pods; none of the old ones is taken for one of its."""
    scene.cluster([2])
    scene.submit("train", replicas=2)
    old = scene.wait("train", "Running")
    before = {pod["metadata"]["uid"] for pod in scene.pods("train").values()}

    scene.delete("train")
    job = scene.submit("train", replicas=2)

    until(lambda: scene.status("train").get("state") == "Running", "the new job to run", timeout_s=60)
    pods = scene.pods("train").values()
    assert before.isdisjoint({pod["metadata"]["uid"] for pod in pods})
    assert {job["metadata"]["uid"]} == {pod["metadata"]["labels"]["berth.dev/job-uid"] for pod in pods}
    assert old["attempt"] == 1


def test_a_job_that_waits_for_its_pods_to_go_starts_no_more(scene: Scene, api: Api) -> None:
    """Deleted in the foreground, the job is there until its pods are gone: none of them is made again."""
    scene.cluster([2])
    scene.submit("train", replicas=2, sim={"terminate": 1})
    scene.wait("train", "Running")

    api.delete(f"{scene.jobs_path}/train", {"propagationPolicy": "Foreground"})

    assert scene.job("train")["metadata"]["deletionTimestamp"]
    scene.wait_gone("train")
    scene.submit("next", replicas=2)
    scene.wait("next", "Running")
    assert {pod["metadata"]["labels"]["berth.dev/job"] for pod in scene.pods().values()} == {"next"}


def test_pods_that_outlive_their_job_keep_their_devices(scene: Scene, api: Api) -> None:
    """Deleted with its pods left as orphans, the job is gone and its devices are not; they come free with the pods."""
    scene.cluster([2])
    scene.submit("train", replicas=2)
    scene.wait("train", "Running")
    api.delete(f"{scene.jobs_path}/train", {"propagationPolicy": "Orphan"})
    until(lambda: "train" not in scene.jobs(), "the job to be gone", timeout_s=45)
    scene.submit("next", replicas=2, binding="Direct")

    scene.wait_pending("next", "InsufficientDevices")

    assert scene.over_committed() == {}
    for name in scene.pods("train"):
        api.delete(f"{scene.core}/pods/{name}")
    scene.wait("next", "Running")


def test_a_job_under_a_name_whose_orphans_live_says_so(scene: Scene, api: Api) -> None:
    """The pods of a former job of that name are somebody else's: they are neither taken over nor deleted."""
    scene.cluster([4])
    scene.submit("train", replicas=2)
    scene.wait("train", "Running")
    orphans = {name: pod["metadata"]["uid"] for name, pod in scene.pods("train").items()}
    api.delete(f"{scene.jobs_path}/train", {"propagationPolicy": "Orphan"})
    until(lambda: "train" not in scene.jobs(), "the job to be gone", timeout_s=45)

    scene.submit("train", replicas=2)

    assert scene.wait_pending("train", "TemplateRefused")["message"] == (
        "a pod train-1-0 is there already and is not this job's; delete it, or rename the job"
    )
    assert {name: pod["metadata"]["uid"] for name, pod in scene.pods("train").items()} == orphans
    for name in orphans:
        api.delete(f"{scene.core}/pods/{name}")
    # The garbage collector takes a Service along that it has not heard of when it lets the others go.
    if "train-1" in {service["metadata"]["name"] for service in api.get(f"{scene.core}/services")["items"]}:
        api.delete(f"{scene.core}/services/train-1")
    scene.wait("train", "Running")


def test_a_namespace_that_is_deleted_takes_its_jobs_along(scene: Scene, api: Api, other_namespace: str) -> None:
    """A running and a waiting job go with their namespace: nothing is made there any more, the devices are free."""
    scene.cluster([2])
    path = f"/apis/berth.dev/v1alpha1/namespaces/{other_namespace}/trainingjobs"
    api.create(path, scene.manifest("runs", replicas=2))
    until(lambda: api.get(f"{path}/runs").get("status", {}).get("state") == "Running", "the job to run", timeout_s=15)
    api.create(path, scene.manifest("waits", replicas=2))

    api.delete(f"/api/v1/namespaces/{other_namespace}")

    scene.submit("next", replicas=2)
    scene.wait("next", "Running", timeout_s=60)
    until(lambda: api.gone(f"/api/v1/namespaces/{other_namespace}"), "the namespace to be gone", timeout_s=60)
    assert scene.over_committed() == {}


@pytest.fixture
def other_namespace(api: Api, scene: Scene) -> str:
    """A second namespace, in which pods can be created, for the test to delete."""
    name = f"{scene.namespace}-b"
    api.create("/api/v1/namespaces", {"metadata": {"name": name}})
    until(lambda: not api.gone(f"/api/v1/namespaces/{name}/serviceaccounts/default"), "its account", timeout_s=30)
    return name
