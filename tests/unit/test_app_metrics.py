"""Metrics: what a scraper reads of a small cluster, line by line, and what is counted as things happen."""

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from berth.api.job_status import PendingReason, State
from berth.app.loop import Batch, Closed, Cycle
from berth.app.metrics.process import Metrics
from berth.app.metrics.reference import definitions, page
from berth.app.metrics.reloads import SettingsCollector
from berth.app.metrics.state import StateCollector
from berth.app.metrics.watches import LeaseCollector, LeaseState, WatchCollector, WatchCounts
from berth.app.reload import Reloader, SettingsFile
from berth.app.settings import Settings
from berth.cluster.mirror import Mirror
from berth.core import explain
from berth.core.model import Attempt, Cause, Outcome, Record
from berth.core.plan import Decision, Verb
from tests.unit.mirroring import KEY, a_mirror
from tests.unit.wire_objects import a_job, a_node, a_placement, foreign_pod, own_pod, placed, pool_facts, status_of

CREATED = 1_795_316_400  # 2026-11-22T03:00:00Z, when all of the tests' jobs were submitted


def exposed(*collectors: Collector) -> list[str]:
    """Lines of samples, as they are exposed."""
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    return [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]


def state_of(mirror: Mirror, now: float = CREATED) -> list[str]:
    return exposed(StateCollector(mirror, lambda: True, clock=lambda: now))


def only(lines: list[str], *names: str) -> list[str]:
    """The lines of some metrics that are not 0."""
    return [line for line in lines if line.partition("{")[0] in names and not line.endswith(" 0.0")]


def pending(reason: str) -> dict[str, object]:
    return {"state": "Pending", "pending": {"reason": reason, "message": "because"}}


def a_small_cluster() -> Mirror:
    """Two leaves of two nodes: a gang on one node of each, somebody's pod beside it, one cordoned, one not ready."""
    mirror = Mirror()
    mirror.put_pool(pool_facts())
    for name, leaf in (("n1", "l1"), ("n2", "l1"), ("n3", "l2"), ("n4", "l2"), ("n5", "l2")):
        labels = {"pool": "h800", "spine": "s1", "leaf": leaf}
        spec = {"unschedulable": True} if name == "n4" else {}
        mirror.put_node(("", name), a_node(name, labels=labels, ready=name != "n5", spec=spec))
    mirror.put_node(("", "n6"), a_node("n6", labels={"pool": "h800", "spine": "s1"}))
    mirror.put_foreign_pod(("other", "daemon"), foreign_pod("daemon", "n4", devices=3))
    running = status_of(placed("n1", "n3")) | {"state": "Running"}
    mirror.put_job(a_job("runs", devicesPerReplica=4, status=running))
    return mirror


def test_a_small_cluster_is_exposed_line_by_line() -> None:
    """Every gauge of state, exactly."""
    mirror = a_small_cluster()
    mirror.put_job(a_job("waits", replicas=9, pools=["h800"], status=pending("TooLarge")))
    mirror.ghosts = 3
    assert state_of(mirror, CREATED + 90) == [
        "berth_ghosts_total 3.0",
        'berth_devices{health="ready",pool="h800",state="free"} 16.0',
        'berth_devices{health="ready",pool="h800",state="used-by-berth"} 8.0',
        'berth_devices{health="cordoned",pool="h800",state="used-by-berth"} 0.0',
        'berth_devices{health="not-ready",pool="h800",state="used-by-berth"} 0.0',
        'berth_devices{health="ready",pool="h800",state="used-by-others"} 0.0',
        'berth_devices{health="cordoned",pool="h800",state="used-by-others"} 3.0',
        'berth_devices{health="not-ready",pool="h800",state="used-by-others"} 0.0',
        'berth_devices{health="cordoned",pool="h800",state="unavailable"} 5.0',
        'berth_devices{health="not-ready",pool="h800",state="unavailable"} 8.0',
        'berth_devices{health="unplaced",pool="h800",state="unavailable"} 8.0',
        'berth_nodes{health="ready",pool="h800"} 3.0',
        'berth_nodes{health="cordoned",pool="h800"} 1.0',
        'berth_nodes{health="not-ready",pool="h800"} 1.0',
        'berth_nodes{health="unplaced",pool="h800"} 1.0',
        'berth_domains{level="pool",pool="h800",state="free"} 0.0',
        'berth_domains{level="pool",pool="h800",state="partial"} 1.0',
        'berth_domains{level="pool",pool="h800",state="full"} 0.0',
        'berth_domains{level="spine",pool="h800",state="free"} 0.0',
        'berth_domains{level="spine",pool="h800",state="partial"} 1.0',
        'berth_domains{level="spine",pool="h800",state="full"} 0.0',
        'berth_domains{level="leaf",pool="h800",state="free"} 0.0',
        'berth_domains{level="leaf",pool="h800",state="partial"} 2.0',
        'berth_domains{level="leaf",pool="h800",state="full"} 0.0',
        'berth_domains{level="node",pool="h800",state="free"} 1.0',
        'berth_domains{level="node",pool="h800",state="partial"} 2.0',
        'berth_domains{level="node",pool="h800",state="full"} 2.0',
        'berth_largest_gang_devices{level="pool",pool="h800"} 8.0',
        'berth_largest_gang_devices{level="spine",pool="h800"} 8.0',
        'berth_largest_gang_devices{level="leaf",pool="h800"} 8.0',
        'berth_largest_gang_devices{level="node",pool="h800"} 8.0',
        'berth_fragmentation_ratio{level="pool",pool="h800"} 0.5',
        'berth_fragmentation_ratio{level="spine",pool="h800"} 0.5',
        'berth_fragmentation_ratio{level="leaf",pool="h800"} 0.5',
        'berth_fragmentation_ratio{level="node",pool="h800"} 0.0',
        'berth_jobs{state="Pending"} 1.0',
        'berth_jobs{state="Starting"} 0.0',
        'berth_jobs{state="Running"} 1.0',
        'berth_jobs{state="Requeued"} 0.0',
        'berth_jobs{state="Suspended"} 0.0',
        'berth_jobs{state="Succeeded"} 0.0',
        'berth_jobs{state="Failed"} 0.0',
        'berth_pending_jobs{pool="h800",reason="TooLarge"} 1.0',
        'berth_pending_devices{pool="h800",reason="TooLarge"} 72.0',
        'berth_pending_oldest_seconds{pool="h800",reason="TooLarge"} 90.0',
        'berth_gangs{level="leaf",pool="h800"} 1.0',
        'berth_gangs{level="node",pool="h800"} 0.0',
        'berth_gangs{level="pool",pool="h800"} 0.0',
        'berth_gangs{level="spine",pool="h800"} 0.0',
        'berth_gang_domains{level="leaf",pool="h800"} 1.0',
        'berth_gang_domains{level="node",pool="h800"} 2.0',
        'berth_gang_domains{level="spine",pool="h800"} 1.0',
    ]


def test_jobs_are_counted_as_their_statuses_say() -> None:
    """One job in each state; one that nobody has looked at yet is Pending."""
    mirror = a_mirror()
    for state in State:
        mirror.put_job(a_job(state.lower(), status={"state": state}))
    mirror.put_job(a_job("new"))
    expected = {state: 2.0 if state is State.PENDING else 1.0 for state in State}
    assert [f'berth_jobs{{state="{state}"}} {n}' for state, n in expected.items()] == only(
        state_of(mirror), "berth_jobs"
    )


def test_the_queue_is_told_by_reason_and_by_the_only_pool_that_would_do() -> None:
    """A pool that users only made up is no label, lest there be as many labels as typing mistakes."""
    mirror = a_mirror()
    for name, pools, reason in (
        ("any", None, "TooLarge"),
        ("either", ["h800", "other"], "TooLarge"),
        ("made-up", ["h8000"], "UnknownPool"),
        ("one", ["h800"], "TopologyBlocked"),
        ("other-one", ["h800"], "TopologyBlocked"),
    ):
        mirror.put_job(a_job(name, replicas=3, pools=pools, status=pending(reason)))
    mirror.put_job(a_job("new"))
    assert only(state_of(mirror, CREATED + 7), "berth_pending_jobs", "berth_pending_devices") == [
        'berth_pending_jobs{pool="",reason="NotReported"} 1.0',
        'berth_pending_jobs{pool="",reason="TooLarge"} 2.0',
        'berth_pending_jobs{pool="",reason="UnknownPool"} 1.0',
        'berth_pending_jobs{pool="h800",reason="TopologyBlocked"} 2.0',
        'berth_pending_devices{pool="",reason="NotReported"} 16.0',
        'berth_pending_devices{pool="",reason="TooLarge"} 48.0',
        'berth_pending_devices{pool="",reason="UnknownPool"} 24.0',
        'berth_pending_devices{pool="h800",reason="TopologyBlocked"} 48.0',
    ]


def test_every_reason_of_waiting_is_a_word_of_the_queue() -> None:
    """What a status may say is what the metric may say."""
    mirror = a_mirror()
    for reason in PendingReason:
        mirror.put_job(a_job(reason.lower(), status=pending(reason)))
    told = only(state_of(mirror), "berth_pending_jobs")
    assert told == [f'berth_pending_jobs{{pool="",reason="{reason}"}} 1.0' for reason in sorted(PendingReason)]


def test_labels_of_what_is_gone_are_gone() -> None:
    """A pool's figures go with it; a gang that still runs there is still counted."""
    mirror = a_small_cluster()
    mirror.drop_pool("h800", "h800-uid")
    lines = state_of(mirror)
    assert [line for line in lines if "h800" in line] == [
        'berth_gangs{level="leaf",pool="h800"} 1.0',
        'berth_gang_domains{level="leaf",pool="h800"} 1.0',
        'berth_gang_domains{level="node",pool="h800"} 2.0',
        'berth_gang_domains{level="spine",pool="h800"} 1.0',
    ]


def test_devices_of_berths_own_pods_are_berths_though_their_job_is_gone() -> None:
    """A pod that is being stopped holds its devices until it is gone."""
    mirror = a_mirror(nodes=1)
    mirror.put_own_pod(("team", "left-1-0"), own_pod("left-1-0", job="left", node="n1", devices=2, phase="Running"))
    mirror.put_foreign_pod(("other", "x"), foreign_pod("x", "n1", devices=5))
    assert only(state_of(mirror), "berth_devices") == [
        'berth_devices{health="ready",pool="h800",state="free"} 1.0',
        'berth_devices{health="ready",pool="h800",state="used-by-berth"} 2.0',
        'berth_devices{health="ready",pool="h800",state="used-by-others"} 5.0',
    ]


def test_a_mirror_that_is_being_filled_tells_nothing_of_its_state() -> None:
    """No figures are better than half of them."""
    assert exposed(StateCollector(a_small_cluster(), lambda: False)) == ["berth_ghosts_total 0.0"]


def test_scraping_does_not_change_what_is_scraped() -> None:
    """Nor is anything counted twice."""
    mirror = a_small_cluster()
    assert state_of(mirror) == state_of(mirror)


class Process:
    """The process's own counts, and what they are."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry)

    def told(self, name: str) -> dict[tuple[str, ...], float]:
        """Samples of one name by the values of their labels, which go by their names."""
        found = {}
        for family in text_string_to_metric_families(generate_latest(self.registry).decode()):
            for sample in family.samples:
                if sample.name == name:
                    found[tuple(sample.labels.values())] = sample.value
        return found


def test_requests_are_counted_with_their_time() -> None:
    """A dry run is told apart; what is slow shows by verb and resource."""
    process = Process()
    for seconds in (0.01, 0.03):
        process.metrics.on_call("create", "pods", 201, seconds)
    process.metrics.on_call("apply", "trainingjobs/status", 0, 30.0)
    assert process.told("berth_api_requests_total") == {
        ("201", "pods", "create"): 2.0,
        ("0", "trainingjobs/status", "apply"): 1.0,
    }
    assert process.told("berth_api_request_seconds_sum") == {
        ("pods", "create"): 0.04,
        ("trainingjobs/status", "apply"): 30.0,
    }


def test_cycles_are_counted_with_their_batches() -> None:
    """A cycle that was run because something was due has seen no change, so no change has waited for it."""
    process = Process()
    process.metrics.on_cycle(Cycle(Batch(3, 1.0, Closed.QUIET), 0.001, 0.25, 0.5, 1.5))
    process.metrics.on_cycle(Cycle(Batch(0, None, Closed.DUE), 0.001, 0.25, 0.0, None))
    assert process.told("berth_changes_total") == {(): 3.0}
    assert process.told("berth_batches_total") == {("quiet",): 1.0, ("due",): 1.0}
    assert process.told("berth_event_lag_seconds_count") == {(): 1.0}
    assert process.told("berth_event_lag_seconds_sum") == {(): 1.5}
    assert process.told("berth_cycle_seconds_sum") == {("snapshot",): 0.002, ("decide",): 0.5, ("actuate",): 0.5}


def decided(verb: Verb, record: Record, **status: object) -> Process:
    """What is counted for one decision about a job that had that status."""
    process = Process()
    seen = a_job(status=status or None)
    report = explain.suspended()
    process.metrics.on_record(seen, Decision(KEY, "train-uid", verb, record, report))
    return process


ADMITTED = Record(attempt=1, placement=a_placement("n1", "n2", at=CREATED + 40))


def test_a_first_admission_tells_how_long_the_job_has_waited() -> None:
    """From its submission, and what it had waited for last."""
    process = decided(Verb.ADMIT, ADMITTED, **pending("TopologyBlocked"))
    assert process.told("berth_decisions_total") == {("admit",): 1.0}
    assert process.told("berth_admission_wait_seconds_sum") == {("h800", "TopologyBlocked"): 40.0}
    assert decided(Verb.ADMIT, ADMITTED).told("berth_admission_wait_seconds_sum") == {("h800", "None"): 40.0}
    assert process.told("berth_attempts_ended_total") == {}


def test_a_later_admission_does_not() -> None:
    """It has run in between."""
    process = decided(Verb.ADMIT, ADMITTED, attempt=1)
    assert process.told("berth_admission_wait_seconds_count") == {}


def test_a_gang_that_is_up_tells_how_long_its_start_took() -> None:
    """Once: later reports say the same."""
    up = Record(attempt=1, placement=ADMITTED.placement, started_at=CREATED + 52)
    assert decided(Verb.REPORT, up).told("berth_gang_start_seconds_sum") == {("h800",): 12.0}
    again = decided(Verb.REPORT, up, attempt=1, startedAt="2026-11-22T03:00:52Z")
    assert again.told("berth_gang_start_seconds_count") == {}


def test_an_attempt_that_ends_is_counted_once_by_its_cause() -> None:
    """Those that were on record before are not counted again, whatever is written next."""
    first = Attempt(1, 0, 5, Cause.PODS_LOST)
    second = Attempt(2, 6, 9, Cause.OWN_FAILURE)
    on_record = {
        "attempt": 2,
        "attempts": [
            {
                "attempt": 1,
                "started": "1970-01-01T00:00:00Z",
                "ended": "1970-01-01T00:00:05Z",
                "cause": "PodsLost",
            }
        ],
    }
    closed = Record(attempt=2, attempts=(first, second))
    assert decided(Verb.CLOSE, closed, **on_record).told("berth_attempts_ended_total") == {("OwnFailure",): 1.0}
    assert (
        decided(Verb.REPORT, Record(attempt=2, attempts=(first,)), **on_record).told("berth_attempts_ended_total") == {}
    )


def test_a_success_is_the_end_of_an_attempt_too() -> None:
    """Counted when it is written, and not with the reports that follow."""
    won = Record(attempt=1, placement=ADMITTED.placement, outcome=Outcome(True, 9, "2 replicas succeeded"))
    assert decided(Verb.FINISH, won).told("berth_attempts_ended_total") == {("Succeeded",): 1.0}
    again = decided(Verb.REPORT, won, state="Succeeded", finishedAt="1970-01-01T00:00:09Z")
    assert again.told("berth_attempts_ended_total") == {}


def test_watches_tell_what_is_known_of_each_kind() -> None:
    """Of kopf's kinds less is known."""
    counts = [WatchCounts("nodes", 7, 1, 2, 0.5), WatchCounts("trainingjobs", 3, 0)]
    assert exposed(WatchCollector(lambda: counts)) == [
        'berth_watch_events_total{kind="nodes"} 7.0',
        'berth_watch_events_total{kind="trainingjobs"} 3.0',
        'berth_watch_lists_total{kind="nodes"} 2.0',
        'berth_watch_restarts_total{kind="nodes"} 1.0',
        'berth_watch_restarts_total{kind="trainingjobs"} 0.0',
        'berth_watch_silent_seconds{kind="nodes"} 0.5',
    ]


def test_the_lease_tells_whether_it_leads_and_for_how_long() -> None:
    """A term that is over has no seconds left, not fewer than none."""
    states = [LeaseState(leading=True, epoch=4, remaining=11.5), LeaseState(epoch=4, remaining=float("-inf"))]
    told = [exposed(LeaseCollector(lambda state=state: state)) for state in states]  # type: ignore[misc]
    assert told == [
        ["berth_leader 1.0", "berth_leader_epoch 4.0", "berth_leader_remaining_seconds 11.5"],
        ["berth_leader 0.0", "berth_leader_epoch 4.0", "berth_leader_remaining_seconds 0.0"],
    ]


def test_every_metric_that_is_exposed_is_defined_and_every_definition_is_exposed() -> None:
    """The reference is complete, and tells of nothing that is not there."""
    registry = CollectorRegistry()
    Metrics(registry)
    for collector in (
        StateCollector(a_small_cluster(), lambda: True),
        WatchCollector(list),
        LeaseCollector(LeaseState),
        SettingsCollector(Reloader(SettingsFile(None), Settings(), lambda _: None)),
    ):
        registry.register(collector)
    found = {
        (f"{family.name}_total" if family.type == "counter" else family.name): (family.type, family.documentation)
        for family in registry.collect()
    }
    assert found == {d.name: (d.kind.value, d.says) for d in definitions()}


def test_no_metric_is_labelled_by_what_users_name() -> None:
    """Each label is one of a short list; a job's name would make series without end."""
    labels = {label for definition in definitions() for label in definition.labels}
    assert labels == {
        "cause", "closed", "code", "health", "kind", "level", "phase", "pool", "reason", "resource", "state", "verb",
    }  # fmt: skip


def test_the_reference_tells_each_metric_with_its_labels() -> None:
    """One section each."""
    text = page()
    for definition in definitions():
        assert f"### `{definition.name}`" in text
        assert all(f"| `{label}` |" in text for label in definition.labels)
