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
    before = value(operator, "berth_jobs_waiting", reason="TooLarge")
    scene.submit("waits", replicas=9)
    scene.wait_pending("waits", "TooLarge")

    pool = scene.pool
    assert {
        state: value(operator, "berth_devices", pool=pool, state=state) for state in ("free", "used", "unavailable")
    } == {"free": 8.0, "used": 24.0, "unavailable": 0.0}
    assert value(operator, "berth_nodes", pool=pool, ready="true") == 4.0
    assert value(operator, "berth_largest_free_devices", pool=pool, level="leaf") == 8.0
    assert value(operator, "berth_jobs_waiting", reason="TooLarge") == before + 1
    jobs = [job.get("status", {}).get("state") for job in scene.api.get(ALL_JOBS)["items"]]
    for state in ("Running", "Succeeded", "Suspended", "Pending"):
        assert value(operator, "berth_jobs", state=state) == jobs.count(state), state


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
    """Each cycle is counted with how long the snapshot and the decision took."""
    before = value(operator, "berth_cycle_seconds_count", phase="decide")
    scene.cluster([1])
    scene.submit("train")
    scene.wait("train", "Running")

    assert value(operator, "berth_cycle_seconds_count", phase="decide") > before
    assert value(operator, "berth_cycle_seconds_sum", phase="decide") > 0


def test_without_an_api_server_it_is_healthy_and_not_ready(
    operator: OperatorProcess, proxy: FaultProxy, tmp_path: Path
) -> None:
    """Started while every request fails: a restart would not help, so healthy; but nothing is known, so not ready."""
    outage = proxy.refuse(lambda _: True, status=0)
    with OperatorProcess(proxy.kubeconfig, tmp_path, settings={"mode": "Observe"}, wait=False) as other:
        until(lambda: "nodes not listed yet" in other.get("/readyz")[1].splitlines(), "its excuse", timeout_s=15)

        assert other.get("/healthz") == (200, "ok\n")
        assert other.get("/readyz")[0] == 503

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
        ({"auditSecond": 5}, "auditSecond: there is no such setting; there are auditSeconds, "),
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
