"""From an earlier version to this one and back, under fifty gangs: chart, kinds, rights and the operator itself."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from e2e.chart.helm import Helm
from e2e.ground import nodes
from e2e.ground.binaries import Binaries
from e2e.ground.controlplane import ControlPlane
from e2e.ground.waiting import until
from e2e.running import OperatorProcess
from tests.integration.charted import NAMESPACE, install, login, settings
from tests.integration.earlier import Earlier, unpack
from tests.integration.scene import Scene

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

PATIENCE_S = 240.0
GANGS = 50
WAITING = 3
TOLD_ANEW = ("conditions", "pending", "observedGeneration")
"""What a version says in its own words each time it looks; the rest of a status are decisions and what came of them."""


@pytest.fixture(scope="module")
def control_plane(programs: Binaries) -> Iterator[ControlPlane]:
    """A control plane of its own: the kinds that it serves are those of the release."""
    with ControlPlane(binaries=programs) as plane:
        yield plane


@pytest.fixture
def earlier(tmp_path: Path) -> Earlier:
    """The version before."""
    return unpack(tmp_path / "earlier")


@pytest.fixture
def helm(control_plane: ControlPlane, tmp_path: Path) -> Helm:
    """Helm for that control plane."""
    return Helm(tmp_path, kubeconfig=control_plane.kubeconfig)


@pytest.fixture
def scene(earlier: Earlier, helm: Helm, control_plane: ControlPlane, namespace: str) -> Scene:
    """A corner of a cluster in which the earlier chart is installed; it ends with the control plane."""
    install(helm, control_plane, chart=earlier.chart)
    return Scene(control_plane.api, namespace, partial(nodes.add, control_plane.api), number=1)


def test_fifty_gangs_live_through_an_upgrade_and_the_way_back(
    earlier: Earlier, scene: Scene, helm: Helm, control_plane: ControlPlane, tmp_path: Path
) -> None:
    """No pod is made anew and nothing that was decided is lost, either way; those who wait get their turn after."""
    scene.cluster([25, 25], [25, 25])

    with Version(control_plane, tmp_path, "earlier", source=earlier.source, wait=False) as former:
        until(former.ready, "the version before to lead", timeout_s=PATIENCE_S)
        for number in range(GANGS):
            scene.submit(f"runs-{number:02}", replicas=2)
        until(
            lambda: len(running(scene)) == GANGS,
            lambda: f"{GANGS} gangs to run; {len(running(scene))} do",
            timeout_s=PATIENCE_S,
            poll_s=0.5,
        )
        for number in range(WAITING):
            scene.submit(f"waits-{number}", replicas=2)
        until(lambda: len(waiting(scene)) == WAITING, "the others to say why", timeout_s=PATIENCE_S, poll_s=0.5)
        before = State.of(scene)

        # The chart's new kinds and rights are there before its new pods are: the former operator has to live with them.
        install(helm, control_plane, upgrade=True)
        with Version(control_plane, tmp_path, "present", wait=False) as present:
            until(present.stands_by, "this version to stand by", timeout_s=PATIENCE_S)
            former.stop()
            until(present.ready, "this version to lead", timeout_s=PATIENCE_S)
            turn(scene, gives="runs-00", gets="waits-0", before=before)
            upgraded = State.of(scene)

            helm.run("rollback", "berth", "1", "--namespace", NAMESPACE)
            with Version(control_plane, tmp_path, "back", source=earlier.source, wait=False) as back:
                until(back.stands_by, "the version before to stand by", timeout_s=PATIENCE_S)
                present.stop()
                until(back.ready, "the version before to lead", timeout_s=PATIENCE_S)
                turn(scene, gives="runs-01", gets="waits-1", before=upgraded)
                assert running(scene) >= {f"runs-{number:02}" for number in range(2, GANGS)} | {"waits-0", "waits-1"}
                assert waiting(scene) == {"waits-2"}
                # What another version logs is its own affair; that its rights suffice under either chart is not.
                for version in (former, present, back):
                    lines = version.logged(all_starts=True)
                    assert [line for line in lines if "orbidden" in str(line)] == []
                own = [line for line in present.logged(level="ERROR") if line["logger"].startswith("berth")]
                assert own == []


class Version(OperatorProcess):
    """An operator of some version, with the settings and the account of the chart that is installed now."""

    def __init__(self, plane: ControlPlane, directory: Path, name: str, **options: Any) -> None:
        super().__init__(login(plane, directory), directory, settings=settings(plane), name=name, **options)


class State:
    """Pods and statuses of all gangs at one moment."""

    def __init__(self, uids: dict[str, str], statuses: dict[str, dict[str, Any]]) -> None:
        self.uids = uids
        self.statuses = statuses

    @classmethod
    def of(cls, scene: Scene) -> "State":
        uids = {name: str(pod["metadata"]["uid"]) for name, pod in scene.pods().items()}
        return cls(uids, {name: dict(job.get("status", {})) for name, job in scene.jobs().items()})

    def lost(self, now: "State", *, but: set[str]) -> list[str]:
        """What of this state is not so in a later one, of all jobs but some."""
        told = [f"pod {name}" for name, uid in self.uids.items() if now.uids.get(name) != uid and _job(name) not in but]
        for name in self.statuses.keys() - but:
            kept = {key: value for key, value in self.statuses[name].items() if key not in TOLD_ANEW}
            told += [f"{name}: {gone}" for gone in _missing(kept, now.statuses.get(name, {}))]
        return told


def turn(scene: Scene, *, gives: str, gets: str, before: State) -> None:
    """Whoever leads now suspends one gang at its owner's word, another one gets its nodes, and nothing else changes."""
    scene.edit(gives, suspend=True)
    scene.wait(gets, "Running", timeout_s=PATIENCE_S)
    scene.wait(gives, "Suspended", timeout_s=PATIENCE_S)
    assert before.lost(State.of(scene), but={gives, gets}) == []


def running(scene: Scene) -> set[str]:
    """Names of jobs whose gangs run."""
    return {name for name, job in scene.jobs().items() if job.get("status", {}).get("state") == "Running"}


def waiting(scene: Scene) -> set[str]:
    """Names of jobs that say that devices are missing."""
    jobs = scene.jobs().items()
    return {
        name for name, job in jobs if job.get("status", {}).get("pending", {}).get("reason") == "InsufficientDevices"
    }


def _job(pod: str) -> str:
    """`runs-07-1-0` is replica 0 of attempt 1 of `runs-07`."""
    return pod.rsplit("-", 2)[0]


def _missing(before: Any, now: Any, path: str = "status") -> list[str]:
    """Where a later status says something else; what it says beside that is no loss."""
    if isinstance(before, dict) and isinstance(now, dict):
        return [told for key in before for told in _missing(before[key], now.get(key), f"{path}.{key}")]
    return [] if before == now else [f"{path} was {before}, is {now}"]


def test_a_loss_would_be_seen() -> None:
    """A pod made anew, a job gone, a placement changed; what is said in other words or beside it is none."""
    status = {"state": "Running", "placement": {"nodes": "a"}, "pending": {"message": "old words"}}
    before = State({"a-1-0": "u1", "b-1-0": "u2"}, {"a": status, "b": status})

    said = {**status, "pending": {"message": "new words"}, "more": 1}
    assert before.lost(State({**before.uids, "c-1-0": "u3"}, {"a": said, "b": said}), but=set()) == []
    assert before.lost(State({"a-1-0": "u9", "b-1-0": "u2"}, {"a": said, "b": said}), but=set()) == ["pod a-1-0"]
    moved = {**status, "placement": {"nodes": "z"}}
    assert before.lost(State(before.uids, {"a": status, "b": moved}), but=set()) == [
        "b: status.placement.nodes was a, is z"
    ]
    assert len(before.lost(State({}, {}), but={"a"})) == 3
    assert before.lost(State({}, {}), but={"a", "b"}) == []
