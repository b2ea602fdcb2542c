"""A replica that got other devices than chosen: told once, and on record."""

from dataclasses import replace

from berth.core.lifecycle import advance
from berth.core.model import Phase, Pod
from berth.core.plan import Decision, Reason, Verb
from tests.builders import JobBuilder, a_job, a_pod

LOW, HIGH = 0b00001111, 0b11110000


def a_started_job(*pods: Pod, differing: int = 0) -> JobBuilder:
    """Two replicas, each meant to have the first four devices of its node."""
    job = a_job().placed(created=True).recorded(started_at=950).with_pods(*pods)
    placement = job.built.record.placement
    assert placement is not None
    return job.recorded(placement=replace(placement, devices=(LOW, LOW), differing=differing))


def step(job: JobBuilder) -> Decision:
    found = advance(job.built, 1_000)
    assert found is not None
    return found


def condition(decision: Decision) -> tuple[bool, Reason, str]:
    found = next(c for c in decision.report.conditions if c.type == "DevicesAsChosen")
    return found.status, found.reason, found.message


def test_replicas_with_the_devices_that_were_chosen_are_told_as_such() -> None:
    """Also those of which the plugin has said nothing yet."""
    decision = step(a_started_job(a_pod(0, mounted=LOW), a_pod(1)))
    assert condition(decision) == (True, Reason.AS_CHOSEN, "")
    assert decision.event is None


def test_other_devices_are_a_warning_once() -> None:
    """The record knows how many were told of, so that a fresh operator does not tell it again."""
    pods = (a_pod(0, mounted=HIGH), a_pod(1, mounted=LOW))
    decision = step(a_started_job(*pods))
    assert (decision.verb, decision.record.placement.differing if decision.record.placement else 0) == (Verb.REPORT, 1)
    assert decision.event is not None
    assert (decision.event.reason, decision.event.warning) == ("OtherDevices", True)
    assert "replica 0 got devices 4, 5, 6, 7 of node n0, chosen were 0, 1, 2, 3" in decision.event.note
    text = "1 replica got other devices from the node's plugin than were chosen"
    assert condition(decision) == (False, Reason.OTHER_DEVICES, text)
    again = step(a_started_job(*pods, differing=1))
    assert (again.event, condition(again)) == (None, (False, Reason.OTHER_DEVICES, text))


def test_one_more_is_told_again() -> None:
    """The number on record goes up with it."""
    decision = step(a_started_job(a_pod(0, mounted=HIGH), a_pod(1, mounted=HIGH), differing=1))
    assert decision.event is not None
    assert decision.record.placement is not None
    assert decision.record.placement.differing == 2


def test_the_start_of_a_gang_is_not_swallowed_by_the_warning() -> None:
    """One event a decision: the start comes with the next."""
    pods = (a_pod(0, mounted=HIGH), a_pod(1, Phase.RUNNING, mounted=LOW))
    decision = step(a_started_job(*pods).recorded(started_at=None))
    assert decision.event is not None
    assert (decision.event.reason, decision.record.started_at) == ("OtherDevices", None)
    later = step(a_started_job(*pods, differing=1).recorded(started_at=None))
    assert later.event is not None
    assert (later.event.reason, later.record.started_at) == ("Started", 1_000)
