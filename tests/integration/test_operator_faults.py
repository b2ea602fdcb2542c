"""An API server that refuses, keeps silent, answers late or not at all: nothing is lost and nothing made twice."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from berth.api.names import LABEL_JOB_UID
from e2e.faults.calls import calls, own_writes
from e2e.faults.proxy import FaultProxy
from e2e.faults.rules import Moment
from e2e.ground import nodes
from e2e.ground.api import Api
from e2e.ground.binaries import Binaries
from e2e.ground.controlplane import ControlPlane
from e2e.ground.waiting import until
from e2e.running import OperatorProcess
from tests.integration.scene import QUICK, Scene, install

pytestmark = pytest.mark.cluster
pytest_plugins = ("tests.integration.operating",)

CREATE = calls(verb="create", resource="pods", write=True)
STATUS = calls(resource="trainingjobs", subresource="status", write=True)
WATCHES = calls(verb="watch")


def created(proxy: FaultProxy) -> int:
    """How many pods the API server has made."""
    return sum(write.code == 201 for write in proxy.writes(CREATE))


@pytest.mark.parametrize("status", [429, 500, 503, 0])
def test_a_gang_starts_though_the_api_server_refuses_for_a_while(scene: Scene, proxy: FaultProxy, status: int) -> None:
    """Creations are refused (0: cut off) a number of times: each is tried again, none is made twice."""
    scene.cluster([4])
    refusal = proxy.refuse(CREATE, status=status, times=6, retry_after=1 if status == 429 else None)
    scene.submit("train", replicas=4)

    scene.wait("train", "Running")

    assert refusal.refused == 6
    assert created(proxy) == 4
    assert scene.status("train")["attempt"] == 1


def test_a_server_that_asks_for_patience_gets_it(scene: Scene, proxy: FaultProxy) -> None:
    """With Retry-After 2 a creation that was refused comes back after 2 s, and not before."""
    scene.cluster([1])
    refusal = proxy.refuse(CREATE, status=429, retry_after=2, times=2)
    scene.submit("train")

    scene.wait("train", "Running")

    first, second = refusal.refused_at
    assert 2 <= second - first < 5


def test_pods_whose_creation_was_not_answered_are_taken_as_made(scene: Scene, proxy: FaultProxy) -> None:
    """The API server makes the pods and the answers are lost: the names are found taken, by the job itself."""
    scene.cluster([4])
    lost = proxy.refuse(CREATE, status=0, times=3, moment=Moment.AFTER)
    scene.submit("train", replicas=4)

    scene.wait("train", "Running")

    assert lost.refused == 3
    assert created(proxy) == 4
    assert scene.bound("train") == scene.nodes


def test_an_admission_that_was_not_answered_counts_as_made(scene: Scene, proxy: FaultProxy) -> None:
    """The record is written and the answer lost: the job is read again and goes on with that record, as attempt 1."""
    scene.cluster([2])
    lost = proxy.refuse(STATUS, status=0, times=1, moment=Moment.AFTER)
    scene.submit("train", replicas=2)

    status = scene.wait("train", "Running")

    assert lost.refused == 1
    assert (status["attempt"], created(proxy)) == (1, 2)
    assert scene.bound("train") == scene.placed("train")


def test_an_edit_in_the_moment_of_admission_wins(scene: Scene, proxy: FaultProxy) -> None:
    """The job is made smaller while its admission is on the way: the admission is void, the new shape is placed."""
    scene.cluster([4])
    with proxy.hold(STATUS) as way:
        scene.submit("train", replicas=4)
        way.wait(timeout_s=10)
        scene.edit("train", replicas=2)

    status = scene.wait("train", "Running")

    assert len(scene.pods("train")) == 2
    assert (status["attempt"], status["placement"]["generation"]) == (1, 2)
    assert created(proxy) == 2


def test_a_job_that_is_deleted_in_the_moment_of_admission_leaves_nothing(scene: Scene, proxy: FaultProxy) -> None:
    """The job goes while its admission is on the way: no pod is made, and its devices serve the next."""
    scene.cluster([2])
    with proxy.hold(STATUS) as way:
        scene.submit("train", replicas=2)
        way.wait(timeout_s=10)
        scene.delete("train")

    scene.submit("next", replicas=2)
    scene.wait("next", "Running")
    assert scene.pods("train") == {}
    assert "train" not in scene.jobs()


def test_a_pod_that_goes_before_its_creation_is_answered_is_not_believed_in(
    scene: Scene, api: Api, proxy: FaultProxy
) -> None:
    """The watch has told that a pod is gone when the late answer says that it was made: it is made anew."""
    scene.cluster([2])
    own_pods = calls(verb="watch", resource="pods", selector=LABEL_JOB_UID)
    with proxy.hold(CREATE, moment=Moment.AFTER) as late:
        scene.submit("train", replicas=2)
        late.wait(timeout_s=10)
        before = proxy.told(own_pods, "DELETED")
        for name in scene.pods("train"):
            api.delete(f"{scene.core}/pods/{name}", {"gracePeriodSeconds": 0})
        until(lambda: proxy.told(own_pods, "DELETED") == before + 1, "the end of the pod to be told", timeout_s=10)

    status = scene.wait("train", "Running")

    assert status["attempt"] == 1
    assert scene.bound("train") == scene.nodes


def test_a_job_that_goes_before_its_status_is_answered_is_not_believed_in(
    scene: Scene, operator: OperatorProcess, proxy: FaultProxy
) -> None:
    """The watch has told that a job is gone when the late answer still shows it: it holds nothing."""
    scene.cluster([2])
    with proxy.hold(STATUS, moment=Moment.AFTER) as late:
        scene.submit("train", replicas=2)
        late.wait(timeout_s=10)
        scene.delete("train")
        scene.submit("next", replicas=2, suspend=True)
        # kopf has told of the next job: it has told that this one is gone before.
        late.wait(least=2, timeout_s=10)

    scene.edit("next", suspend=False)
    scene.wait("next", "Running")
    assert "train" not in scene.jobs()
    assert created(proxy) == 2


def test_events_that_are_told_twice_do_no_harm(scene: Scene, proxy: FaultProxy) -> None:
    """Every event of every watch comes twice, from submission to success and to the next job."""
    scene.cluster([2])
    proxy.duplicate(WATCHES)
    proxy.cut(WATCHES)
    scene.submit("first", replicas=2, sim={"run": 0.5})
    scene.submit("second", replicas=2)

    scene.wait("first", "Succeeded")

    scene.wait("second", "Running")
    assert created(proxy) == 4
    assert scene.status("second")["attempt"] == 1


def test_watches_that_break_in_the_middle_of_an_event_lose_nothing(scene: Scene, proxy: FaultProxy) -> None:
    """Connections break again and again, some with half an event told, while gangs start, end and start."""
    scene.cluster([2])
    scene.submit("first", replicas=2, sim={"run": 1})
    scene.submit("second", replicas=2)
    cuts = 0

    def ended() -> bool:
        nonlocal cuts
        cuts += proxy.cut(WATCHES, half_line=cuts % 2 == 0)
        return scene.status("first").get("state") == "Succeeded"

    until(ended, "the first job to succeed", timeout_s=30, poll_s=0.3)

    scene.wait("second", "Running", timeout_s=30)
    assert cuts > 5
    assert created(proxy) == 4


@pytest.fixture
def other_plane(programs: Binaries) -> Iterator[ControlPlane]:
    """A control plane of the test's own, to be broken, with Berth's kinds."""
    with ControlPlane(binaries=programs) as plane:
        install(plane)
        yield plane


def test_an_api_server_that_dies_under_load_loses_no_job(other_plane: ControlPlane, tmp_path: Path) -> None:
    """The API server is killed while gangs start; when it is back all of them run, on devices of their own."""
    api = other_plane.api
    api.create("/api/v1/namespaces", {"metadata": {"name": "load"}})
    until(lambda: api.get("/api/v1/namespaces/load/serviceaccounts")["items"], "the service account", timeout_s=30)
    scene = Scene(api, "load", lambda manifests: nodes.add(api, manifests), number=0)
    jobs = [f"gang-{number}" for number in range(6)]
    with (
        FaultProxy(other_plane.kubeconfig, tmp_path) as proxy,
        OperatorProcess(proxy.kubeconfig, tmp_path, settings=QUICK) as operator,
    ):
        scene.cluster([4, 4], [4, 4])
        for job in jobs[:4]:
            scene.submit(job, replicas=4, sim={"run": 4} if job in jobs[:2] else None)
        until(lambda: created(proxy) >= 6, "some pods to be made", timeout_s=20)

        other_plane.kill("kube-apiserver")
        other_plane.start_component("kube-apiserver")

        for job in jobs[4:]:
            scene.submit(job, replicas=4)
        for job in jobs[2:]:
            scene.wait(job, "Running", timeout_s=60)
        assert scene.over_committed() == {}
        assert {job: scene.status(job)["state"] for job in jobs[:2]} == dict.fromkeys(jobs[:2], "Succeeded")
        assert {scene.status(job)["attempt"] for job in jobs} == {1}
        assert operator.get("/healthz")[0] == 200
        assert proxy.writes(own_writes)
