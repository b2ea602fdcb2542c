"""Several operators: one leads, the others stand by, and a former leader changes nothing any more."""

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from berth.api.names import LABEL_EPOCH
from e2e.faults.calls import calls
from e2e.faults.proxy import FaultProxy
from e2e.faults.rules import Moment
from e2e.ground import nodes
from e2e.ground.binaries import Binaries
from e2e.ground.controlplane import ControlPlane
from e2e.ground.waiting import until
from e2e.running import OperatorProcess
from tests.integration.scene import QUICK, ROOT, Scene, install

pytestmark = pytest.mark.cluster

TERM_S = 3.0
CREATE = calls(verb="create", resource="pods", write=True)
LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/berth-operator"
NPU = "huawei.com/Ascend910"
ALL_EIGHT = ",".join(f"Ascend910-{device}" for device in range(8))
FENCE = "/api/v1/namespaces/kube-system/configmaps/berth-operator"


@dataclass(frozen=True, slots=True)
class Pair:
    """A control plane of its own, and two operators after one Lease; the first talks through a proxy."""

    plane: ControlPlane
    proxy: FaultProxy
    first: OperatorProcess
    second: OperatorProcess

    def lease(self) -> dict[str, Any]:
        spec: dict[str, Any] = self.plane.api.get(LEASE)["spec"]
        return spec

    def wait_leader(self, operator: OperatorProcess, *, timeout_s: float = 4 * TERM_S) -> None:
        until(operator.ready, f"{operator} to lead", timeout_s=timeout_s, poll_s=0.1)


@pytest.fixture(scope="module")
def own_plane(programs: Binaries) -> Iterator[ControlPlane]:
    """A control plane whose only Lease for Berth is the one of these tests, with the fence as users install it."""
    with ControlPlane(binaries=programs) as plane:
        install(plane)
        plane.kubectl("apply", "-f", str(ROOT / "policies"))
        yield plane


@pytest.fixture
def pair(own_plane: ControlPlane, tmp_path: Path) -> Iterator[Pair]:
    """Two operators, the first leading, the second standing by."""
    settings = {**QUICK, "leaseName": "berth-operator", "leaseSeconds": TERM_S}
    with FaultProxy(own_plane.kubeconfig, tmp_path / "proxy") as proxy:
        first = OperatorProcess(
            proxy.kubeconfig, tmp_path, name="first", settings={**settings, "identity": "first"}, wait=False
        )
        second = OperatorProcess(
            own_plane.kubeconfig, tmp_path, name="second", settings={**settings, "identity": "second"}, wait=False
        )
        try:
            first.start(ready=True)
            second.start(ready=False)
            until(second.stands_by, "the second to stand by", timeout_s=15)
            yield Pair(own_plane, proxy, first, second)
        finally:
            proxy.clear()
            for operator in (first, second):
                operator.resume()
                operator.stop()


@pytest.fixture
def corner(own_plane: ControlPlane, request: pytest.FixtureRequest) -> Iterator[Scene]:
    """Four nodes, a pool and a namespace."""
    api = own_plane.api
    made: list[str] = []

    def add(manifests: Any) -> list[str]:
        wanted = list(manifests)
        made.extend(str(node["metadata"]["name"]) for node in wanted)
        return nodes.add(api, wanted)

    name = f"leader-{len(request.node.name)}-{abs(hash(request.node.name)) % 10_000}"
    api.create("/api/v1/namespaces", {"metadata": {"name": name}})
    account = f"/api/v1/namespaces/{name}/serviceaccounts"
    until(lambda: bool(api.get(account)["items"]), "the service account", timeout_s=30)
    scene = Scene(api, name, add, number=abs(hash(name)) % 10_000)
    scene.cluster([4])
    yield scene
    scene.clear()
    api.delete(f"/api/v1/namespaces/{name}/pods?gracePeriodSeconds=0")
    nodes.remove(api, made)


def epoch(scene: Scene, job: str) -> int:
    return int(scene.status(job)["placement"]["epoch"])


def test_a_leader_that_is_killed_is_replaced_when_its_term_is_over(pair: Pair, corner: Scene) -> None:
    """What runs runs on under the same attempt; what comes later is decided in a later term, by the other."""
    corner.submit("before", replicas=2)
    corner.wait("before", "Running")
    pods = {name: pod["metadata"]["uid"] for name, pod in corner.pods("before").items()}

    pair.first.kill()
    pair.wait_leader(pair.second)
    corner.submit("after", replicas=2)
    corner.wait("after", "Running")

    assert {name: pod["metadata"]["uid"] for name, pod in corner.pods("before").items()} == pods
    assert corner.status("before")["attempt"] == 1
    assert epoch(corner, "after") > epoch(corner, "before")
    assert {pod["metadata"]["labels"][LABEL_EPOCH] for pod in corner.pods("after").values()} == {
        str(epoch(corner, "after"))
    }
    assert pair.lease()["holderIdentity"] == "second"
    assert pair.second.logged(level="ERROR") == []


def test_a_leader_that_stops_in_good_order_gives_the_lease_back(pair: Pair) -> None:
    """The next one need not wait until the term is over."""
    pair.first.stop()
    assert pair.first.returncode == 0
    pair.wait_leader(pair.second, timeout_s=TERM_S)
    assert pair.lease()["holderIdentity"] == "second"


def test_a_leader_whose_lease_was_taken_ends_and_says_so(pair: Pair) -> None:
    """Somebody edits the Lease: its process ends with one line that names who has it, and changes nothing more."""
    spec = {**pair.lease(), "holderIdentity": "somebody", "leaseTransitions": pair.lease()["leaseTransitions"] + 1}
    pair.plane.api.patch(LEASE, {"spec": spec})
    assert pair.first.wait(10) == 1
    assert "lease kube-system/berth-operator was taken by somebody" in pair.first.log.read_text()
    pair.wait_leader(pair.second)


def test_the_epoch_never_goes_back_though_lease_and_terms_begin_anew(pair: Pair, corner: Scene) -> None:
    """A Lease that was deleted counts its terms from nothing; pods of the leader after that are made all the same."""
    before = int(pair.plane.api.get(FENCE)["data"]["epoch"])
    pair.first.kill()
    pair.plane.api.delete(LEASE)
    pair.wait_leader(pair.second)
    assert int(pair.plane.api.get(FENCE)["data"]["epoch"]) > before
    corner.submit("late", replicas=2)
    corner.wait("late", "Running")


def test_a_stale_leader_in_the_middle_of_a_write_changes_nothing(pair: Pair, corner: Scene) -> None:
    """It is stopped while a pod's creation is on its way; the attempt is given up, its devices go to another job.

    Then the creation arrives, and the stopped leader wakes up: the API server refuses the pod, and the leader ends.
    The devices are chosen by id, so that nothing but Berth keeps the two apart: the plugin would mount them twice.
    """
    corner.cluster([4], pool=False, resources={NPU: "8"})
    corner.remove_pool()
    corner.add_pool(profile="ascend-910a-8")
    with pair.proxy.hold(CREATE, moment=Moment.BEFORE) as held:
        corner.submit("old", replicas=4)
        held.wait(timeout_s=15)
        pair.first.pause()
        pair.wait_leader(pair.second)
        corner.wait("old", "Running")  # the second leader made its pods
        old = corner.placed("old")
        corner.edit("old", suspend=True)
        corner.wait("old", "Suspended")
        until(lambda: not corner.pods("old"), "the old pods to be gone", timeout_s=15)
        corner.submit("new", replicas=4)
        corner.wait("new", "Running")
        pair.proxy.forget()
    until(lambda: pair.proxy.writes(CREATE), "the old creation to arrive", timeout_s=15)
    pair.first.signal(signal.SIGCONT)

    assert {write.code for write in pair.proxy.writes(CREATE)} == {422}
    assert pair.first.wait(15) == 1
    assert "was taken by second" in pair.first.log.read_text()
    assert corner.pods("old") == {}
    assert corner.placed("new") == old
    assert {pod["metadata"]["annotations"][NPU] for pod in corner.pods().values()} == {ALL_EIGHT}
    assert corner.status("new")["state"] == "Running"
    assert {write.code for write in pair.proxy.writes() if write.code < 400} == set(), "nothing of it took effect"


def test_without_the_policy_a_leader_says_that_there_is_no_fence(pair: Pair) -> None:
    """And which command builds it; with it, it says nothing."""
    assert pair.first.logged(level="WARNING", policy="berth-fence") == []
    pair.plane.kubectl("delete", "-f", str(ROOT / "policies" / "fence.yaml"))
    try:
        pair.first.stop()
        pair.wait_leader(pair.second)
        told = [line["message"] for line in pair.second.logged(level="WARNING", policy="berth-fence")]
        assert told == [
            "no fence: a late write of a former leader could make a pod; kubectl apply -f policies/",
        ]
    finally:
        pair.plane.kubectl("apply", "-f", str(ROOT / "policies"))
