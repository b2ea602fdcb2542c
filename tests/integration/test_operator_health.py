"""What the operator says about itself: ready, healthy, metrics, and why it cannot start."""

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from e2e.faults.calls import calls
from e2e.faults.proxy import FaultProxy
from e2e.ground.processes import ChildError
from e2e.ground.waiting import until
from e2e.running import OperatorProcess
from tests.integration.scene import Scene

pytestmark = pytest.mark.cluster
pytest_plugins = ("tests.integration.operating",)

ALL_JOBS = "/apis/berth.dev/v1alpha1/trainingjobs"

Metrics = dict[tuple[str, frozenset[tuple[str, str]]], float]


def metrics(operator: OperatorProcess) -> Metrics:
    """All samples by name and labels, as a scraper of Prometheus reads them."""
    status, text = operator.get("/metrics")
    assert status == 200
    families = text_string_to_metric_families(text)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def value(operator: OperatorProcess, name: str, **labels: str) -> float:
    """One sample; 0 if it is not there."""
    return metrics(operator).get((name, frozenset(labels.items())), 0.0)


def test_metrics_agree_with_the_cluster(scene: Scene, operator: OperatorProcess) -> None:
    """Jobs by state, reasons of waiting, devices and nodes by pool: what a scraper reads is what is there."""
    scene.cluster([2, 2])
    scene.submit("runs", replicas=3)
    scene.submit("done", sim={"run": 0.2})
    scene.submit("asleep", suspend=True)
    scene.wait("runs", "Running")
    scene.wait("done", "Succeeded")
    scene.submit("waits", replicas=9)
    scene.wait_pending("waits", "TooLarge")
    scene.foreign_pod("daemon", next(node for node in scene.nodes if node not in scene.placed("runs")), 2)
    pool, ready = scene.pool, {"pool": scene.pool, "health": "ready"}
    until(lambda: value(operator, "berth_devices", state="used-by-others", **ready) == 2, "the pod", timeout_s=10)

    assert value(operator, "berth_devices", state="used-by-berth", **ready) == 24
    assert value(operator, "berth_devices", state="free", **ready) == 6
    assert value(operator, "berth_nodes", **ready) == 4
    assert value(operator, "berth_largest_gang_devices", pool=pool, level="leaf") == 0
    assert value(operator, "berth_fragmentation_ratio", pool=pool, level="leaf") == 1
    assert value(operator, "berth_pending_jobs", pool=pool, reason="TooLarge") == 1
    assert value(operator, "berth_pending_devices", pool=pool, reason="TooLarge") == 72
    assert value(operator, "berth_gangs", pool=pool, level="spine") == 1
    assert value(operator, "berth_gang_domains", pool=pool, level="leaf") == 2
    jobs = [job.get("status", {}).get("state") for job in scene.api.get(ALL_JOBS)["items"]]
    for state in ("Running", "Succeeded", "Suspended", "Pending"):
        assert value(operator, "berth_jobs", state=state) == jobs.count(state), state


def test_what_happened_to_gangs_is_counted(scene: Scene, operator: OperatorProcess) -> None:
    """A gang that starts and succeeds and one that fails for good: as many decisions and ends as statuses tell."""
    scene.cluster([2])
    names = {
        "admitted": ("berth_decisions_total", {"verb": "admit"}),
        "finished": ("berth_decisions_total", {"verb": "finish"}),
        "succeeded": ("berth_attempts_ended_total", {"cause": "Succeeded"}),
        "failed": ("berth_attempts_ended_total", {"cause": "OwnFailure"}),
    }

    def counted() -> dict[str, float]:
        return {what: value(operator, name, **labels) for what, (name, labels) in names.items()}

    before = counted()
    scene.submit("wins", sim={"run": 2})
    scene.submit("loses", sim={"fail": 2}, backoffLimit=0)
    scene.wait("wins", "Succeeded")
    lost = scene.wait("loses", "Failed")

    assert [attempt["cause"] for attempt in lost["attempts"]] == ["OwnFailure"]
    expected = {"admitted": 2, "finished": 2, "succeeded": 1, "failed": 1}
    until(lambda: counted() == {k: before[k] + n for k, n in expected.items()}, "the counts", timeout_s=5)
    waits = [
        v
        for (name, labels), v in metrics(operator).items()
        if name == "berth_admission_wait_seconds_count" and ("pool", scene.pool) in labels
    ]
    assert sum(waits) == 2
    assert value(operator, "berth_gang_start_seconds_count", pool=scene.pool) == 2
    assert value(operator, "berth_devices", pool=scene.pool, state="used-by-berth", health="ready") == 0


def test_every_kind_that_is_watched_is_heard(scene: Scene, operator: OperatorProcess, proxy: FaultProxy) -> None:
    """Events are counted by kind; a watch that is cut is begun anew and that shows."""
    before = value(operator, "berth_watch_events_total", kind="own-pods")
    restarts = value(operator, "berth_watch_restarts_total", kind="nodes")
    jobs = value(operator, "berth_watch_events_total", kind="trainingjobs")
    scene.cluster([1])
    scene.submit("train")
    scene.wait("train", "Running")

    assert value(operator, "berth_watch_events_total", kind="own-pods") > before
    assert value(operator, "berth_watch_events_total", kind="trainingjobs") > jobs
    proxy.cut(calls(verb="watch", resource="nodes"))
    until(lambda: value(operator, "berth_watch_restarts_total", kind="nodes") > restarts, "the cut", timeout_s=10)
    assert value(operator, "berth_watch_lists_total", kind="nodes") >= 1


def test_requests_are_counted_by_verb_resource_and_code(
    scene: Scene, operator: OperatorProcess, proxy: FaultProxy
) -> None:
    """The operator's own count of its status writes is what passed on the wire, refusals included."""
    scene.cluster([1])
    status_writes = calls(resource="trainingjobs", subresource="status", write=True)
    before = 0.0

    def counted(code: str) -> float:
        return value(operator, "berth_api_requests_total", verb="apply", resource="trainingjobs/status", code=code)

    def quiet() -> bool:
        # What an earlier test has left to say must not come between the two counts.
        nonlocal before
        before = counted("200")
        proxy.forget()
        return counted("200") == before and not proxy.writes(status_writes)

    until(quiet, "no status to be written", timeout_s=10)
    refused_before = counted("503")
    refusal = proxy.refuse(status_writes, status=503, times=2)
    scene.submit("train")
    scene.wait("train", "Running")

    until(
        lambda: counted("200") == before + len(proxy.writes(status_writes)), "both counts to be the same", timeout_s=5
    )
    assert counted("200") > before
    assert counted("503") - refused_before == refusal.refused == 2


def test_cycles_are_measured(scene: Scene, operator: OperatorProcess) -> None:
    """Each cycle is counted with how long its phases took, and how long its first change had waited."""
    before = value(operator, "berth_cycle_seconds_count", phase="decide")
    scene.cluster([1])
    scene.submit("train")
    scene.wait("train", "Running")

    assert value(operator, "berth_cycle_seconds_count", phase="decide") > before
    assert value(operator, "berth_cycle_seconds_sum", phase="decide") > 0
    assert value(operator, "berth_cycle_seconds_count", phase="actuate") > 0
    assert value(operator, "berth_event_lag_seconds_count") > 0
    assert value(operator, "berth_batches_total", closed="quiet") > 0
    assert value(operator, "process_resident_memory_bytes") > 1e7


def test_without_an_api_server_it_is_healthy_and_not_ready(
    operator: OperatorProcess, proxy: FaultProxy, tmp_path: Path
) -> None:
    """Leading while every other request fails: a restart would not help; but nothing is known, so it is not ready."""
    outage = proxy.refuse(lambda call: call.resource != "leases", status=0)
    with OperatorProcess(proxy.kubeconfig, tmp_path, settings={"mode": "Observe"}, wait=False) as other:
        until(lambda: "nodes not listed yet" in other.get("/readyz")[1].splitlines(), "its excuse", timeout_s=15)

        assert other.get("/healthz") == (200, "ok\n")
        assert other.get("/readyz")[0] == 503
        assert value(other, "berth_leader") == 1
        assert not [name for name, _ in metrics(other) if name == "berth_jobs"]

        outage.lift()

        other.wait_ready()


def test_an_api_server_that_goes_away_later_leaves_it_ready(operator: OperatorProcess, proxy: FaultProxy) -> None:
    """What is known stays known: an outage makes the operator neither unready nor unhealthy."""
    with proxy.refuse(lambda _: True, status=0) as outage:
        proxy.cut(lambda _: True)
        until(lambda: outage.refused > 3, "some tries", timeout_s=15)

        assert (operator.get("/healthz")[0], operator.get("/readyz")[0]) == (200, 200)


def test_without_its_kinds_it_says_what_to_install(
    operator: OperatorProcess, proxy: FaultProxy, tmp_path: Path
) -> None:
    """Where the CRDs are missing, the operator ends with the remedy in its last words."""
    proxy.refuse(calls(verb="list", resource="acceleratorpools"), status=404)
    other = OperatorProcess(proxy.kubeconfig, tmp_path)

    with pytest.raises(ChildError) as ended:
        other.start()

    assert other.returncode == 1
    assert "Berth's CRDs are not installed" in str(ended.value)
    assert "kubectl apply -f crds/" in str(ended.value)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"mode": "Passive"}, "mode: 'Passive': Input should be 'Active' or 'Observe'"),
        ({"auditSecond": 5}, "auditSecond: there is no such setting; there are assumedSeconds, "),
        ({"connections": 0}, "connections: 0: Input should be greater than or equal to 1"),
    ],
    ids=["a mode that is none", "a name that is none", "a value out of bounds"],
)
def test_wrong_settings_are_refused_by_name_value_and_remedy(
    proxy: FaultProxy, tmp_path: Path, settings: dict[str, object], told: str
) -> None:
    """Nothing is guessed: the operator ends and says which setting, which value, and what is legal."""
    other = OperatorProcess(proxy.kubeconfig, tmp_path, settings=settings)

    with pytest.raises(ChildError) as ended:
        other.start()

    assert other.returncode == 1
    assert told in str(ended.value)
