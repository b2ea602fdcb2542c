"""What is told about a job in each of its states: the exact words."""

from dataclasses import replace

import pytest

from berth.core import explain
from berth.core.admission import find
from berth.core.explain import count, spread
from berth.core.lifecycle import advance
from berth.core.model import Attempt, Cause, FirstFailure, Phase, Placement
from berth.core.plan import Reason, Report, State
from tests.builders import LEVELS, JobBuilder, a_gang, a_job, a_pod, by_name, drawn

NOW = 1_000
OVER = Attempt(1, 900, 960, Cause.OWN_FAILURE)
UP = a_job().placed(at=900, created=True).recorded(started_at=950)


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [
        (0, "node", "0 nodes"),
        (1, "node", "1 node"),
        (2, "leaf", "2 leaves"),
        (2, "spine", "2 spines"),
        (3, "switch", "3 switches"),
        (2, "nvlink-box", "2 nvlink-boxes"),
        (2, "facility", "2 facilities"),
        (2, "bay", "2 bays"),
        (2, "superpod", "2 superpods"),
        (1, "slot of 8 devices", "1 slot of 8 devices"),
        (4, "free slot of 1 device", "4 free slots of 1 device"),
        (2, "more pool", "2 more pools"),
    ],
)
def test_nouns_have_their_plurals(number: int, noun: str, text: str) -> None:
    """A level is whatever the pool's owner calls it; its plural should still read well."""
    assert count(number, noun) == text


def _placement(
    picture: str, replicas: int, devices: int = 8, *, name: str = "h800", levels: tuple[str, ...]
) -> Placement:
    berth = find(a_gang(replicas, devices), by_name(drawn(picture, name=name, levels=levels)))
    assert berth is not None
    return berth.placement(1, 0)


TWO_SPINES = "spine-0\n  leaf-0  8 8\n  leaf-1  8 8\nspine-1\n  leaf-0  8 8"
TWO_RACKS = "r1  8 8\nr2  8 8"


@pytest.mark.parametrize(
    ("placement", "text"),
    [
        pytest.param(
            _placement(TWO_SPINES, 1, levels=LEVELS), "1 replica on node n4 of pool h800", id="a single replica"
        ),
        pytest.param(
            _placement(TWO_SPINES, 2, 4, levels=LEVELS), "2 replicas on node n4 of pool h800", id="two on one node"
        ),
        pytest.param(
            _placement(TWO_SPINES, 2, levels=LEVELS),
            "2 replicas on 2 nodes under spine-1/leaf-0 of pool h800",
            id="one leaf",
        ),
        pytest.param(
            _placement(TWO_SPINES, 3, levels=LEVELS),
            "3 replicas on 3 nodes over 2 leaves under spine-0 of pool h800",
            id="one spine, two leaves",
        ),
        pytest.param(
            _placement(TWO_SPINES, 6, levels=LEVELS),
            "6 replicas on 6 nodes over 2 spines, 3 leaves of pool h800",
            id="the whole pool",
        ),
        pytest.param(
            _placement(TWO_RACKS, 2, levels=("rack",)),
            "2 replicas on 2 nodes under rack r1 of pool h800",
            id="a rack whose name does not say that it is one",
        ),
        pytest.param(_placement("8 8", 2, levels=()), "2 replicas on 2 nodes of pool h800", id="a flat pool"),
        pytest.param(
            _placement(TWO_RACKS, 2, name="rack", levels=("rack",)),
            "2 replicas on 2 nodes under rack r1 of pool rack",
            id="a level called like the pool",
        ),
        pytest.param(
            _placement(TWO_RACKS, 3, name="rack", levels=("rack",)),
            "3 replicas on 3 nodes over 2 racks of pool rack",
            id="and the whole of such a pool",
        ),
        pytest.param(
            _placement("8 8", 2, name="node", levels=()), "2 replicas on 2 nodes of pool node", id="a pool called node"
        ),
    ],
)
def test_where_a_gang_sits_is_told_in_one_line(placement: Placement, text: str) -> None:
    """How many replicas, on how many nodes, over what, under what."""
    assert spread(placement) == text


def _told(job: JobBuilder) -> Report:
    decision = advance(job.built, NOW)
    assert decision is not None
    return decision.report


def _lines(report: Report) -> list[str]:
    """State, conditions and what is pending, a line each."""
    lines = [str(report.state)]
    lines += [f"{c.type} {c.status} {c.reason}: {c.message}".removesuffix(": ") for c in report.conditions]
    if report.pending is not None:
        lines.append(f"pending {report.pending.reason}: {report.pending.message}")
    return lines


SUSPENDED = ["Suspended", "Placed False Suspended: spec.suspend is true", "PodsReady False NoPods"]
ON_TWO = "Placed True Contiguous: 2 replicas on 2 nodes under spine-0/leaf-0 of pool h800"


@pytest.mark.parametrize(
    ("job", "lines"),
    [
        pytest.param(
            a_job().but(suspended=True), [*SUSPENDED, "Finished False Suspended: spec.suspend is true"], id="suspended"
        ),
        pytest.param(
            a_job().after(OVER, failures=1, retry_after=1_784_000_000),
            [
                "Requeued",
                (
                    "Placed False BackOff: attempt 1 ended (OwnFailure), the next attempt starts after "
                    "2026-07-14T03:33:20Z; 1 of 3 failures used"
                ),
                "PodsReady False NoPods",
                "Finished False NotStarted",
                (
                    "pending BackOff: attempt 1 ended (OwnFailure), the next attempt starts after "
                    "2026-07-14T03:33:20Z; 1 of 3 failures used"
                ),
            ],
            id="backing off",
        ),
        pytest.param(
            UP.ending(Cause.PODS_LOST, "pod train-1-0 vanished", 900),
            [
                "Requeued",
                "Placed False BackOff: attempt 1 ended (PodsLost), the next attempt starts after 1970-01-01T00:15:10Z",
                "PodsReady False NoPods",
                "Finished False NotStarted",
                "pending BackOff: attempt 1 ended (PodsLost), the next attempt starts after 1970-01-01T00:15:10Z",
            ],
            id="just closed, early",
        ),
        pytest.param(
            UP.ending(Cause.EDITED, "the job was edited", 900),
            [
                "Requeued",
                "Placed False BackOff: attempt 1 ended (Edited), the next attempt is due",
                "PodsReady False NoPods",
                "Finished False NotStarted",
                "pending BackOff: attempt 1 ended (Edited), the next attempt is due",
            ],
            id="just closed, to go on at once",
        ),
        pytest.param(
            a_job().after(OVER).with_pods(a_pod(0), a_pod(1)),
            [
                "Requeued",
                "Placed False Stopping: deleting 2 pods of an attempt that is over",
                "PodsReady False NoPods",
                "Finished False NotStarted",
                "pending Stopping: deleting 2 pods of an attempt that is over",
            ],
            id="strays",
        ),
        pytest.param(
            a_job().placed(),
            ["Starting", ON_TWO, "PodsReady False Creating: creating 2 pods", "Finished False NotStarted"],
            id="creating pods",
        ),
        pytest.param(
            a_job().placed().with_pods(a_pod(0, Phase.PENDING), a_pod(1, Phase.PENDING)),
            [
                "Starting",
                ON_TWO,
                "PodsReady False WaitingForPods: 0 of 2 replicas are ready",
                "Finished False NotStarted",
            ],
            id="waiting for pods",
        ),
        pytest.param(
            UP.with_pods(a_pod(0), a_pod(1, Phase.SUCCEEDED)),
            ["Running", ON_TWO, "PodsReady True AllReady: 2 replicas ready", "Finished False Running"],
            id="running",
        ),
        pytest.param(
            UP.with_pods(a_pod(0, Phase.FAILED, exit_code=1), a_pod(1)),
            [
                "Requeued",
                "Placed True Stopping: replica 0 failed on node n0 with exit code 1; 1 pod of attempt 1 still to stop",
                (
                    "PodsReady False Stopping: replica 0 failed on node n0 with exit code 1; "
                    "1 pod of attempt 1 still to stop"
                ),
                "Finished False Stopping",
                "pending Stopping: replica 0 failed on node n0 with exit code 1; 1 pod of attempt 1 still to stop",
            ],
            id="stopping after a failure",
        ),
        pytest.param(
            UP.but(suspended=True).with_pods(a_pod(0), a_pod(1)),
            [
                "Suspended",
                "Placed True Stopping: spec.suspend is true; 2 pods of attempt 1 still to stop",
                "PodsReady False Stopping: spec.suspend is true; 2 pods of attempt 1 still to stop",
                "Finished False Stopping",
            ],
            id="stopping because it is suspended",
        ),
        pytest.param(
            UP.with_pods(a_pod(0, Phase.SUCCEEDED), a_pod(1, Phase.SUCCEEDED)),
            [
                "Succeeded",
                "Placed False Finished: the devices are given back",
                "PodsReady False Finished",
                "Finished True Succeeded: 2 replicas succeeded in attempt 1",
            ],
            id="succeeded",
        ),
        pytest.param(
            a_job().after(replace(OVER, ended=910, first_failure=FirstFailure(0, "n0", 1, "")), failures=4),
            [
                "Failed",
                "Placed False Finished: the devices are given back",
                "PodsReady False Finished",
                (
                    "Finished True BackoffLimitExceeded: replica 0 failed on node n0 with exit code 1; "
                    "4 failures, spec.backoffLimit is 3"
                ),
            ],
            id="failed",
        ),
        pytest.param(
            a_job().held_back("UnknownPriorityClass", "spec.priorityClassName: there is no PriorityClass gold"),
            [
                "Pending",
                "Placed False UnknownPriorityClass: spec.priorityClassName: there is no PriorityClass gold",
                "PodsReady False NoPods",
                "Finished False NotStarted",
                "pending UnknownPriorityClass: spec.priorityClassName: there is no PriorityClass gold",
            ],
            id="hindered",
        ),
    ],
)
def test_a_job_in_each_state_says_what_it_does(job: JobBuilder, lines: list[str]) -> None:
    """State, the three conditions, and why it waits if it does."""
    assert _lines(_told(job)) == lines


@pytest.mark.parametrize(
    ("level", "spans", "reason"),
    [
        pytest.param(None, {"leaf": 3}, Reason.CONTIGUOUS, id="no level asked for"),
        pytest.param("leaf", {"leaf": 1}, Reason.CONTIGUOUS, id="inside the level that it prefers"),
        pytest.param("leaf", {"leaf": 3}, Reason.SCATTERED, id="over several of them"),
    ],
)
def test_a_gang_that_prefers_a_level_is_told_whether_it_got_it(
    level: str | None, spans: dict[str, int], reason: Reason
) -> None:
    """Contiguous or Scattered."""
    gang = a_gang(3, rather_inside=level)
    placement = Placement(
        "h800", "spine-0", "spine", (("spine", 1), *spans.items(), ("node", 3)), ("a", "b", "c"), 1, 0
    )
    job = a_job("train", gang).recorded(attempt=1, placement=placement).built
    report = explain.placed(gang, job.record, 0)
    assert report.conditions[0].reason is reason
    assert report.state is State.STARTING
