"""What is written into a status is what is read from it, whatever it was; a status stays small, whatever the job."""

import json
import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from berth.api.job_status import JobStatus
from berth.cluster import records
from berth.core import explain
from berth.core.faults import KEPT_REFUSALS, MOST_REFUSED
from berth.core.model import (
    Attempt,
    Cause,
    Ending,
    FirstFailure,
    Gang,
    Job,
    JobKey,
    Outcome,
    Placement,
    Record,
    Refusal,
    widest_first,
)
from berth.core.plan import Pending, Reason, Report
from tests.properties.law import tries

TIMES = st.integers(0, 2**33)
TEXTS = st.text(max_size=80)
NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,8}[a-z0-9])?", fullmatch=True)
HOSTS = st.one_of(
    st.integers(0, 9999).map(lambda n: f"h800-{n:04d}"),
    st.tuples(st.integers(0, 30), st.integers(0, 99)).map(lambda n: f"gpu-r{n[0]}-n{n[1]}.dc1.example"),
    NAMES,
)
FAILURES = st.builds(
    FirstFailure,
    replica=st.integers(0, 4999),
    node=HOSTS | st.just(""),
    exit_code=st.none() | st.integers(0, 255),
    message=TEXTS,
)
PLAIN = st.builds(
    Placement,
    pool=NAMES,
    domain=TEXTS,
    level=NAMES,
    spans=st.dictionaries(NAMES | st.just("node"), st.integers(1, 5000), min_size=1, max_size=6).map(widest_first),
    nodes=st.lists(HOSTS, min_size=1, max_size=40).map(tuple),
    generation=st.integers(1, 2**40),
    admitted_at=TIMES,
    pods_created=st.booleans(),
    differing=st.integers(0, 5000),
    defaults=st.just("") | NAMES,
)
MASKS = st.integers(1, 2**16 - 1) | st.sampled_from((15, 255, 2**64 - 1))
NUMBERED = PLAIN.flatmap(
    lambda plain: st.lists(MASKS, min_size=len(plain.nodes), max_size=len(plain.nodes)).map(
        lambda masks: replace(plain, devices=tuple(masks))
    )
)
PLACEMENTS = (PLAIN | NUMBERED).flatmap(
    lambda placement: st.sets(st.integers(0, len(placement.nodes) - 1)).map(
        lambda ranks: replace(placement, succeeded=tuple(sorted(ranks)))
    )
)
ENDINGS = st.builds(Ending, cause=st.sampled_from(Cause), at=TIMES, message=TEXTS, first_failure=st.none() | FAILURES)
ATTEMPTS = st.builds(
    Attempt,
    attempt=st.integers(1, 10**6),
    started=TIMES,
    ended=TIMES,
    cause=st.sampled_from(Cause).map(str),
    first_failure=st.none() | FAILURES,
    nodes=st.lists(HOSTS, max_size=20, unique=True).map(sorted).map(tuple),
)
REFUSALS = st.builds(
    Refusal,
    nodes=st.lists(HOSTS, min_size=1, max_size=20).map(frozenset),
    until=TIMES,
    generation=st.integers(1, 2**40),
)
OUTCOMES = st.builds(Outcome, succeeded=st.booleans(), at=TIMES, message=TEXTS) | st.builds(
    Outcome, succeeded=st.just(False), at=TIMES, message=TEXTS, out_of_time=st.just(True)
)


@st.composite
def record_pairs(draw: st.DrawFn) -> tuple[Record, Report]:
    """A record that a job may have, and the report that is told with it."""
    if draw(st.integers(0, 9)) == 0:
        return Record(), explain.waiting(_job(Record()), Pending(Reason.NO_POOL, "there is none"))
    record = Record(
        attempt=draw(st.integers(1, 10**6)),
        placement=draw(st.none() | PLACEMENTS),
        ending=draw(st.none() | ENDINGS),
        failures=draw(st.integers(0, 100)),
        held=draw(st.integers(0, 2**40)),
        retry_after=draw(st.none() | TIMES),
        started_at=draw(st.none() | TIMES),
        outcome=draw(st.none() | OUTCOMES),
        attempts=tuple(draw(st.lists(ATTEMPTS, max_size=5))),
        refusals=tuple(draw(st.lists(REFUSALS, max_size=8))),
    )
    return record, _report(record)


def _job(record: Record) -> Job:
    return Job(JobKey("team", "train"), "uid", 1, 0, Gang(2, 8), record=record)


def _report(record: Record) -> Report:
    if record.outcome is not None:
        return explain.finished(record.outcome)
    if record.ending is not None:
        return explain.stopping(record, 3)
    if record.placement is not None:
        placement = record.placement
        return explain.waiting(_job(record), Pending(Reason.STOPPING, f"on {len(placement.nodes)} nodes"))
    return explain.backing_off(_job(record), "2026-11-22T03:00:00Z")


def through_the_wire(record: Record, report: Report) -> JobStatus:
    """What the API server keeps and hands out again of a status."""
    status = records.write(record, report, generation=3, priority=-7, before=None, now=1000)
    return JobStatus.model_validate(json.loads(json.dumps(status.wire())))


@given(record_pairs())
@settings(max_examples=tries(80), derandomize=True, database=None, deadline=None)
def test_what_was_written_is_read(pair: tuple[Record, Report]) -> None:
    """The record is the same again, field by field: nothing that an operator must remember is lost on the way."""
    record, report = pair
    assert record == records.read(through_the_wire(record, report))


@given(record_pairs())
@settings(max_examples=tries(40), derandomize=True, database=None, deadline=None)
def test_a_status_that_went_over_the_wire_is_the_same_status(pair: tuple[Record, Report]) -> None:
    """Or every answer would look like news, and be written again."""
    record, report = pair
    status = through_the_wire(record, report)
    again = records.write(records.read(status), report, generation=3, priority=-7, before=status, now=2000)
    assert status == again


def test_the_devices_of_5000_replicas_on_ragged_nodes_stay_small() -> None:
    """The worst that can be: every node half taken in a pattern of its own, and every other node left out."""
    draw = random.Random(7)
    nodes = tuple(f"ascend-{2 * rank:05d}" for rank in range(5000))
    devices = tuple(sum(1 << device for device in draw.sample(range(16), 8)) for _ in nodes)
    spans = widest_first({"superpod": 120, "rack": 600, "node": 5000})
    placement = Placement("a", "a", "a", spans, nodes, 1, 10**9, pods_created=True, devices=devices)
    placement = replace(placement, succeeded=tuple(rank for rank in range(5000) if rank % 3))
    record = Record(attempt=1, placement=placement, started_at=10**9)
    status = records.write(record, _report(record), generation=1, priority=0, before=None, now=10**9)
    assert len(json.dumps(status.wire())) < 64 * 1024
    assert record == records.read(through_the_wire(record, _report(record)))


@given(record_pairs(), record_pairs(), st.sampled_from([3, 4]), st.sampled_from([-7, 0]))
@settings(max_examples=tries(60), derandomize=True, database=None, deadline=None)
def test_a_status_tells_a_report_exactly_if_composing_it_anew_would_change_nothing(
    pair: tuple[Record, Report], other: tuple[Record, Report], generation: int, priority: int
) -> None:
    """The comparison without the facts says what the whole one says: after a restart no news is missed."""
    record, report = pair
    status = through_the_wire(record, report)
    for said in (report, other[1]):
        anew = records.write(record, said, generation=generation, priority=priority, before=status, now=2000)
        assert records.tells(status, said, generation=generation, priority=priority) == (anew == status)


def _consecutive(_: random.Random, rank: int) -> str:
    return f"h800-{rank:05d}"


def _numbered(draw: random.Random, _: int) -> str:
    return f"h800-{draw.randrange(20000):05d}"


def _by_address(draw: random.Random, _: int) -> str:
    return f"ip-10-{draw.randrange(4)}-{draw.randrange(256)}-{draw.randrange(256)}.us-west-2.compute.internal"


def _by_hash(draw: random.Random, _: int) -> str:
    return f"gke-train-a3-pool-3f2a9c1b-{''.join(draw.choices('bcdfghjklmnpqrstvwxz2456789', k=4))}"


@pytest.mark.parametrize("name", [_consecutive, _numbered, _by_address, _by_hash])
def test_the_status_of_5000_replicas_stays_under_64_kib(name: Callable[[random.Random, int], str]) -> None:
    """In order or scattered over the cluster, with five failed attempts whose last words are long, and as many nodes
    that refused the job as may be kept."""
    draw = random.Random(7)
    nodes = tuple(name(draw, rank) for rank in range(5000))
    words = "x" * 600
    attempts = tuple(
        Attempt(n, 0, 10**9, Cause.OWN_FAILURE, FirstFailure(4999, nodes[0], 137, words)) for n in range(1, 6)
    )
    refused = draw.sample(nodes, KEPT_REFUSALS * MOST_REFUSED)
    refusals = tuple(
        Refusal(frozenset(refused[at : at + MOST_REFUSED]), 10**9, 1) for at in range(0, len(refused), MOST_REFUSED)
    )
    spans = widest_first({"spine": 12, "leaf": 500, "node": len(set(nodes))})
    placement = Placement("h800", "h800", "h800", spans, nodes, 1, 10**9, pods_created=True)
    ending = Ending(Cause.OWN_FAILURE, 10**9, "y" * 1024, FirstFailure(4999, nodes[0], 137, words))
    record = Record(attempt=6, placement=placement, ending=ending, failures=5, started_at=10**9, attempts=attempts)
    record = replace(record, refusals=refusals)
    report = explain.stopping(record, 5000)
    status = records.write(record, report, generation=1, priority=0, before=None, now=10**9)
    assert len(json.dumps(status.wire())) < 64 * 1024
    assert record == records.read(through_the_wire(record, report))
    done = tuple(rank for rank in range(5000) if rank % 3)
    ending_soon = replace(record, placement=replace(placement, succeeded=done), ending=None)
    report = explain.placed(Gang(5000, 8), ending_soon, 5000)
    status = records.write(ending_soon, report, generation=1, priority=0, before=None, now=10**9)
    assert len(json.dumps(status.wire())) < 64 * 1024
    assert ending_soon == records.read(through_the_wire(ending_soon, report))
    waiting = replace(record, placement=None, ending=None)
    waiting = replace(waiting, attempts=(*attempts[:-1], replace(attempts[-1], nodes=tuple(sorted(set(nodes))))))
    report = explain.backing_off(_job(waiting), "2026-11-22T03:00:00Z")
    status = records.write(waiting, report, generation=1, priority=0, before=None, now=10**9)
    assert len(json.dumps(status.wire())) < 64 * 1024
    assert waiting == records.read(through_the_wire(waiting, report))
