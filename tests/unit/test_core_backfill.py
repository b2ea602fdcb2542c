"""Who may pass a gang that waits: told as small queues on four nodes, `run` on two of them until NOW + 100."""

from dataclasses import replace

import pytest

from berth.core.admission import Stay
from berth.core.calendar import Calendar
from berth.core.cycle import Snapshot, cycle
from berth.core.future import Future
from berth.core.model import Cause, Job, JobKey
from berth.core.picture import Reservation
from berth.core.plan import Reason, Verb
from berth.core.stays import Backfill, expected_end, stays
from tests.builders import GPU, JobBuilder, a_gang, a_job, a_pod, by_name, drawn

NOW = 1_000
FOUR = "spine-0\n  leaf-0  8 8 0 0"
ASSUMED = Backfill(depth=8, assumed=1_000)


def running(name: str = "run", *nodes: str, left: int | None = 100) -> JobBuilder:
    """A gang of whole nodes that ends in `left` seconds; None: it does not say when."""
    nodes = nodes or ("n2", "n3")
    limit = None if left is None else NOW - 500 + left
    pods = [a_pod(rank, job=name) for rank in range(len(nodes))]
    return a_job(name, a_gang(len(nodes))).placed(*nodes, at=500, created=True).but(max_duration=limit).with_pods(*pods)


def waiting(name: str, replicas: int, seconds: int | None = None, **job: object) -> JobBuilder:
    """A gang of whole nodes that will take so long; in the order of their names."""
    return a_job(name, a_gang(replicas)).but(max_duration=seconds, **job)


def _started(*jobs: JobBuilder, picture: str = FOUR, settings: Backfill = ASSUMED) -> list[str]:
    pool = drawn(picture)
    plan = cycle(Snapshot(tuple(job.built for job in jobs), by_name(pool), backfill=settings), NOW)
    return [d.key.name for d in plan.decisions if d.verb is Verb.ADMIT]


@pytest.mark.parametrize(
    ("jobs", "started"),
    [
        pytest.param([running(), waiting("a", 4), waiting("b", 2, 100)], ["b"], id="who ends in time may pass"),
        pytest.param([running(), waiting("a", 4), waiting("b", 2, 101)], [], id="a second too long, and it waits"),
        pytest.param([running(), waiting("a", 4), waiting("b", 2)], [], id="who does not say counts as a day"),
        pytest.param([running(), waiting("a", 3), waiting("b", 1)], ["b"], id="beside the place that is kept"),
        pytest.param([running(), waiting("a", 3), waiting("b", 2)], [], id="but no further than that"),
        pytest.param(
            [running(), waiting("a", 4), waiting("b", 1, 60), waiting("c", 1, 60), waiting("d", 1, 60)],
            ["b", "c"],
            id="as many as there is room for",
        ),
        pytest.param(
            [running(), waiting("a", 4), waiting("b", 2, 101, priority=1)], ["b"], id="who is in front does not pass"
        ),
        pytest.param(
            [running(), waiting("a", 4, 50), waiting("b", 3, 40), waiting("c", 1, 120), waiting("d", 1, 100)],
            ["d"],
            id="places are kept for the second in line, too",
        ),
        pytest.param(
            [running(), waiting("a", 5), waiting("b", 2)], ["b"], id="no place is kept for who never finds one"
        ),
        pytest.param(
            [running(left=None), waiting("a", 4), waiting("b", 2, 500)],
            ["b"],
            id="a gang that does not say is expected to run for what is assumed",
        ),
        pytest.param([running(left=None), waiting("a", 4), waiting("b", 2, 501)], [], id="and no longer"),
        pytest.param(
            [running().ending(Cause.SUSPENDED, "spec.suspend is true"), waiting("a", 4), waiting("b", 2, 61)],
            [],
            id="a gang that is being stopped is soon gone",
        ),
        pytest.param(
            [running().but(deleting=True), waiting("a", 4), waiting("b", 2, 61)], [], id="so is one being deleted"
        ),
        pytest.param(
            [
                a_job("run", a_gang(2)).but(busy=True, giving_back=running().built.record.placement),
                waiting("a", 4),
                waiting("b", 2, 2),
            ],
            [],
            id="and one whose end is just being written is as good as gone",
        ),
    ],
)
def test_who_may_pass(jobs: list[JobBuilder], started: list[str]) -> None:
    """A job starts where it ends before a place that is kept begins, or sits beside it."""
    assert _started(*jobs) == started


def test_a_node_that_reports_no_devices_for_a_moment_hides_nobody_elses() -> None:
    """What runs there goes on; a place is kept for `a` on the other three from NOW + 100: `b` would be in its way."""
    pool = drawn("spine-0\n  leaf-0  8 0 0 0")
    node = pool.ledger.nodes[1]
    pool.ledger.set_node(1, replace(node, allocatable={**node.allocatable, GPU: 0}))
    jobs = [running("gone", "n1", left=1_000), running(), waiting("a", 3), waiting("b", 1, 500)]
    plan = cycle(Snapshot(tuple(job.built for job in jobs), by_name(pool), backfill=ASSUMED), NOW)
    assert [d.key.name for d in plan.decisions if d.verb is Verb.ADMIT] == []


def test_who_was_held_back_from_room_that_somebody_has_taken_since_is_told_of_none() -> None:
    """`b` and `d` would be in the way of `a`; `c` is not, and takes the two nodes that they could have had."""
    jobs = [running(), waiting("a", 4), waiting("b", 2, 200), waiting("c", 2, 100), waiting("d", 2, 300)]
    plan = cycle(Snapshot(tuple(job.built for job in jobs), by_name(drawn(FOUR)), backfill=ASSUMED), NOW)
    told = {d.key.name: d.report.pending for d in plan.decisions if d.verb is Verb.REPORT and d.report.pending}
    assert [d.key.name for d in plan.decisions if d.verb is Verb.ADMIT] == ["c"]
    assert {name: told[name].reason for name in "bd"} == dict.fromkeys("bd", Reason.INSUFFICIENT_DEVICES)


def test_a_gang_that_ends_in_this_cycle_is_as_good_as_gone() -> None:
    """Its devices come free as soon as that is written: nobody slips in before who waits for them."""
    closing = running().ending(Cause.EDITED, "edited").with_pods()
    assert _started(closing, waiting("a", 4), waiting("b", 2, 2)) == []


@pytest.mark.parametrize(
    ("depth", "started"),
    [
        pytest.param(0, ["c"], id="none: whoever fits may start"),
        pytest.param(1, ["c"], id="one: the second in line has none"),
        pytest.param(2, [], id="two"),
    ],
)
def test_for_how_many_a_place_is_kept(depth: int, started: list[str]) -> None:
    """`a` begins at 100 on three nodes and leaves one; `b` begins at 150; `c` would sit on that one until 160."""
    jobs = [running(), waiting("a", 3, 50), waiting("b", 4, 10), waiting("c", 1, 160)]
    assert _started(*jobs, settings=Backfill(depth=depth, assumed=1_000)) == started


def test_each_pool_has_its_own_line() -> None:
    """Those who wait for one pool do not use up the places of another, nor hold anybody back there."""
    other = drawn("spine-0\n  leaf-0  8 8 8 0", name="other", first=10)
    jobs = [
        running(),
        *(a_job(f"a{i}", a_gang(4, pools=("h800",))) for i in range(3)),
        a_job("b", a_gang(4, pools=("other",))),
        running("run2", "n13"),
        a_job("c", a_gang(1, pools=("other",))).but(max_duration=101),
        a_job("d", a_gang(1, pools=("other",))).but(max_duration=100),
    ]
    built = [job.built for job in jobs]
    placement = built[5].record.placement
    assert placement is not None
    built[5] = replace(built[5], record=replace(built[5].record, placement=replace(placement, pool="other")))
    snapshot = Snapshot(tuple(built), by_name(drawn(FOUR), other), backfill=Backfill(depth=2, assumed=1_000))
    plan = cycle(snapshot, NOW)
    assert [d.key.name for d in plan.decisions if d.verb is Verb.ADMIT] == ["d"]


@pytest.mark.parametrize(
    ("job", "now", "end"),
    [
        pytest.param(running(left=100), NOW, NOW + 100, id="it says when"),
        pytest.param(running(left=100).recorded(held=40), NOW, NOW + 60, id="less what it held before"),
        pytest.param(running(left=100), NOW + 200, NOW + 260, id="over its time it is being stopped"),
        pytest.param(running(left=None), NOW, 1_500, id="it does not say"),
        pytest.param(running(left=None), 1_500, 1_750, id="a quarter more when that is over"),
        pytest.param(running(left=None), 1_749, 1_750, id="until that is over, too"),
        pytest.param(running(left=None), 2_300, 2_500, id="again and again"),
    ],
)
def test_when_a_gang_is_expected_to_end(job: JobBuilder, now: int, end: int) -> None:
    """Always to come, and the same however often one looks, until it is over."""
    placement = job.built.record.placement
    assert placement is not None
    assert expected_end(job.built, placement, now, ASSUMED) == end


def test_a_gang_that_goes_on_elsewhere_counts_where_it_is_and_gives_back_what_it_left() -> None:
    """One of its two nodes was lost; the time that it has held devices already is gone."""
    job = running(left=100).recorded(held=40).but(claims={"n2": ((GPU, 8),), "n3": ((GPU, 8),)}).built
    placement = job.record.placement
    assert placement is not None
    moved = replace(placement, nodes=("n2", "n1"), admitted_at=NOW)
    after = replace(job.record, attempt=2, placement=moved, held=540)
    found = stays([job], by_name(drawn(FOUR)), NOW, ASSUMED, {job.key: after})
    assert [(stay.end, [position for position, *_ in stay.takes]) for stay in found] == [
        (NOW + 1, [3]),
        (NOW + 60, [1, 2]),
    ]


def test_what_a_gang_gives_back_is_what_counts_as_taken_for_it() -> None:
    """Its template may have been edited since: then it asks for something else now."""
    job = running().but(claims={"n2": ((GPU, 8), ("cpu", 5)), "n3": ((GPU, 8), ("cpu", 7))}).built
    (stay,) = stays([job], by_name(drawn(FOUR)), NOW, ASSUMED, {})
    assert stay.takes == ((2, {GPU: 8, "cpu": 5}, 0), (3, {GPU: 8, "cpu": 7}, 0))


def _future(*jobs: JobBuilder, picture: str = FOUR) -> Future:
    pools = by_name(drawn(picture))
    built: list[Job] = [job.built for job in jobs]
    return Future(pools, Calendar(stays(built, pools, NOW, ASSUMED, {})), NOW)


def _reserve(future: Future, replicas: int, seconds: int, name: str = "x") -> Reservation:
    found = future.earliest(a_job(name).built.key, a_gang(replicas), seconds)
    assert found is not None
    future.reservations.append(found)
    return found


def test_a_place_is_found_as_soon_as_enough_have_ended() -> None:
    """Twelve gangs of one node end one after the other; the ends before the last one needed are not waited for."""
    picture = "spine-0\n  leaf-0  " + "0 " * 40
    gangs = [running(f"run{i}", f"n{i}", left=10 * (i + 1)) for i in range(40)]
    for replicas in (1, 2, 15, 16, 17, 18, 31, 39, 40):
        found = _reserve(_future(*gangs, picture=picture), replicas, 5)
        assert found.start == NOW + 10 * replicas
        assert len(found.takes) == replicas


def test_a_place_is_found_when_processors_come_free_though_no_device_does() -> None:
    """The gang that ends in 30 seconds sits on the processors of a node whose devices are free already."""
    pool = drawn("spine-0\n  leaf-0  0 0")
    for position, cpu in enumerate((4, 8)):
        node = pool.ledger.nodes[position]
        pool.ledger.set_node(position, replace(node, allocatable={**node.allocatable, "cpu": 8}))
        pool.ledger.set_used(position, {"cpu": cpu})
    hogs = (Stay(NOW + 30, JobKey("ns", "one"), pool.name, ((0, {"cpu": 4}, 0),)),)
    gang = replace(a_gang(1), requests=(("cpu", 5),))
    found = Future({pool.name: pool}, Calendar(hogs), NOW).earliest(JobKey("ns", "x"), gang, 60)
    assert found is not None
    assert (found.start, found.berth.fit.ranks()) == (NOW + 30, [0])


def test_places_are_kept_one_behind_the_other_and_in_the_gaps_before() -> None:
    """The second waits for the first; the third is short enough to go before both, where they leave room."""
    future = _future(running())
    assert (_reserve(future, 4, 50).start, _reserve(future, 4, 50).start) == (NOW + 100, NOW + 150)
    assert future.place(a_gang(2), NOW, NOW + 100) is not None
    assert future.place(a_gang(2), NOW, NOW + 101) is None
    assert _reserve(future, 1, 10_000).start == NOW + 200


@pytest.mark.parametrize(("seconds", "start"), [(190, 350), (200, 500)])
def test_far_ahead_a_place_is_sought_beside_all_that_are_kept(seconds: int, start: int) -> None:
    """Sixteen ends after enough could be free, the last of them at 350, a gap before whoever is kept a place at 400 is
    not used any more: a place may be later than it could be, never in the way."""
    picture = "spine-0\n  leaf-0  " + "0 " * 40
    gangs = [running(f"run{i}", f"n{i}", left=10 * (i + 1)) for i in range(40)]
    future = _future(*gangs, picture=picture)
    assert _reserve(future, 40, 100).start == NOW + 400
    assert _reserve(future, 16, seconds).start == NOW + 160
    assert _reserve(future, 20, 10).start == NOW + start


def test_asking_changes_nothing() -> None:
    """The pools that the future was made of stay as they are, and the same question has the same answer."""
    pools = by_name(drawn(FOUR))
    future = Future(pools, Calendar(stays([running().built], pools, NOW, ASSUMED, {})), NOW)
    first = future.earliest(running().built.key, a_gang(4), 10)
    again = future.earliest(running().built.key, a_gang(4), 10)
    assert first is not None
    assert again is not None
    assert (first.start, first.berth.fit) == (again.start, again.berth.fit)
    assert [used.get(GPU, 0) for used in pools["h800"].ledger.used] == [0, 0, 8, 8]
