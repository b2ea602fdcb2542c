"""The API server forgets what a watch has not told yet (410): what vanished meanwhile must vanish here, too."""

from collections.abc import Iterator

import pytest

from berth.api.names import LABEL_JOB_UID
from e2e.faults.calls import calls
from e2e.faults.proxy import FaultProxy
from e2e.ground import nodes
from e2e.ground.api import Api
from e2e.ground.waiting import until
from e2e.running import OperatorProcess
from tests.integration.scene import QUICK, Scene

pytestmark = pytest.mark.cluster
pytest_plugins = ("tests.integration.operating",)

OWN_PODS = calls(verb="watch", resource="pods", selector=LABEL_JOB_UID)
FOREIGN_PODS = calls(verb="watch", resource="pods", selector=f"!{LABEL_JOB_UID}")
NODES = calls(verb="watch", resource="nodes")
JOBS = calls(verb="watch", resource="trainingjobs")


@pytest.fixture
def auditing(operator: OperatorProcess) -> Iterator[OperatorProcess]:
    """The operator with audits every second: kopf does not tell what vanished during a gap, the audit does."""
    operator.stop()
    operator.configure({**QUICK, "auditSeconds": 1})
    operator.start()
    yield operator
    operator.stop()
    operator.configure(QUICK)


def kill_pods(api: Api, scene: Scene, job: str) -> None:
    """Delete pods of a job so that they are gone at once."""
    for name in scene.pods(job):
        api.delete(f"{scene.core}/pods/{name}", {"gracePeriodSeconds": 0})


def test_pods_that_vanish_in_a_gap_of_the_watch_are_missed(scene: Scene, api: Api, proxy: FaultProxy) -> None:
    """All pods of a gang go while their watch is expired: the attempt is closed uncharged and its devices are free."""
    scene.cluster([2])
    scene.submit("train", replicas=2)
    scene.wait("train", "Running")
    scene.submit("next", replicas=2)
    scene.wait_pending("next", "InsufficientDevices")
    gap = proxy.hold(OWN_PODS)
    kill_pods(api, scene, "train")
    gap.wait(timeout_s=10)
    assert scene.status("train")["state"] == "Running"

    expired = proxy.expire(OWN_PODS)
    gap.lift()

    status = scene.wait_for("train", lambda s: "placement" not in s, "to miss its pods")
    assert [(attempt["cause"], attempt["attempt"]) for attempt in status["attempts"]] == [("PodsLost", 1)]
    assert "failures" not in status
    scene.wait("next", "Running")
    expired.lift()
    assert scene.over_committed() == {}


def test_a_foreign_pod_that_vanishes_in_a_gap_gives_its_devices_back(scene: Scene, api: Api, proxy: FaultProxy) -> None:
    """Somebody else's pod goes while that watch is expired: the gang that waited for its devices starts."""
    scene.cluster([2])
    scene.foreign_pod("notebook", scene.nodes[0], 8)
    scene.submit("train", replicas=2)
    scene.wait_pending("train", "InsufficientDevices")
    with proxy.hold(FOREIGN_PODS) as gap:
        api.delete(f"{scene.core}/pods/notebook", {"gracePeriodSeconds": 0})
        gap.wait(timeout_s=10)
        expired = proxy.expire(FOREIGN_PODS)

    scene.wait("train", "Running")
    expired.lift()


def test_a_node_that_vanishes_in_a_gap_is_no_longer_counted(scene: Scene, api: Api, proxy: FaultProxy) -> None:
    """A node is deleted while the watch of nodes is expired: nothing is planned on it any more."""
    scene.cluster([3])
    scene.wait_pool(scene.pool, lambda status: status["nodes"]["total"] == 3)
    with proxy.hold(NODES) as gap:
        nodes.remove(api, [scene.nodes[1]])
        gap.wait(timeout_s=10)
        expired = proxy.expire(NODES)

    scene.wait_pool(scene.pool, lambda status: status["nodes"]["total"] == 2)
    scene.submit("three", replicas=3)
    assert scene.wait_pending("three", "TooLarge")["message"] == f"needs 3 nodes; pool {scene.pool} has 2"
    scene.submit("two", replicas=2)
    scene.wait("two", "Running")
    assert scene.bound("two") == [scene.nodes[0], scene.nodes[2]]
    expired.lift()


def test_a_job_that_vanishes_in_a_gap_is_found_by_the_audit(
    scene: Scene, auditing: OperatorProcess, proxy: FaultProxy
) -> None:
    """Two jobs go while kopf's watch is expired; kopf tells nobody, and the audit drops what is no longer there.

    The running one is missed anyhow, by its pods; of the suspended one nothing else would ever tell.
    """
    scene.cluster([2])
    scene.submit("train", replicas=2)
    scene.submit("asleep", suspend=True)
    scene.wait("train", "Running")
    scene.wait("asleep", "Suspended")
    with proxy.hold(JOBS) as gap:
        scene.delete("train")
        scene.delete("asleep")
        gap.wait(timeout_s=10)
        expired = proxy.expire(JOBS)
    expired.lift()

    until(lambda: auditing.logged(message="audit found objects that went without an event"), "the audit", timeout_s=10)

    scene.submit("next", replicas=2)
    scene.wait("next", "Running", timeout_s=45)
    assert scene.over_committed() == {}
    jobs = len(scene.api.get("/apis/berth.dev/v1alpha1/trainingjobs")["items"])
    counted = [line for line in auditing.get("/metrics")[1].splitlines() if line.startswith("berth_jobs{")]
    assert sum(float(line.rpartition(" ")[2]) for line in counted) == jobs


def test_jobs_that_come_in_a_gap_are_seen_after_it(scene: Scene, proxy: FaultProxy) -> None:
    """A job submitted and another edited while kopf's watch is expired: both are taken in by the list that follows."""
    scene.cluster([3])
    scene.submit("edited", replicas=4)
    scene.wait_pending("edited", "TooLarge")
    with proxy.hold(JOBS) as gap:
        scene.edit("edited", replicas=2)
        scene.submit("submitted")
        gap.wait(timeout_s=10)
        expired = proxy.expire(JOBS)
    expired.lift()

    scene.wait("edited", "Running")
    scene.wait("submitted", "Running")


@pytest.mark.parametrize("status", [403, 410, 500])
def test_a_refused_watch_of_jobs_does_not_leave_the_operator_deaf(
    scene: Scene, operator: OperatorProcess, proxy: FaultProxy, status: int
) -> None:
    """kopf gives up where a watch is refused; it is started again, and jobs submitted meanwhile start."""
    scene.cluster([1])
    refusal = proxy.refuse(JOBS, status=status)
    proxy.cut(JOBS)
    until(lambda: refusal.refused >= 1, "the watch to be refused", timeout_s=15)
    scene.submit("train")
    refusal.lift()

    scene.wait("train", "Running", timeout_s=30)

    assert operator.get("/healthz")[0] == 200
