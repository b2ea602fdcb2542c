"""Who waits for a contiguous place: told as two spines of four nodes, `run` on half of each."""

import pytest

from berth.core.admission import find
from berth.core.cycle import Snapshot, cycle
from berth.core.patience import LONGEST, apart, wishes
from berth.core.plan import Plan, Verb
from berth.core.stays import Backfill
from tests.builders import JobBuilder, a_gang, a_job, a_pod, by_name, drawn

NOW = 1_000_000
HOUR = 3_600
SPINES = "s0\n  l0  8 8 0 0\ns1\n  l1  8 8 0 0"
ONE_LEVEL = "8 8 0 0 8 8 0 0"


def running(name: str, *nodes: str, left: int | None) -> JobBuilder:
    """A gang of whole nodes that ends in `left` seconds; None: it does not say when."""
    limit = None if left is None else HOUR + left
    pods = [a_pod(rank, job=name) for rank in range(len(nodes))]
    job = a_job(name, a_gang(len(nodes))).placed(*nodes, at=NOW - HOUR, created=True)
    return job.but(max_duration=limit).with_pods(*pods)


def both(left: int | None) -> tuple[JobBuilder, ...]:
    """One gang on either spine: the first ends in `left` seconds, the second in a week."""
    return running("run", "n2", "n3", left=left), running("run2", "n6", "n7", left=168 * HOUR)


def waiting(name: str, replicas: int, hours: float | None, **gang: object) -> JobBuilder:
    """A gang of whole nodes that will take so long; in the order of their names."""
    seconds = None if hours is None else int(hours * HOUR)
    return a_job(name, a_gang(replicas, **gang)).but(max_duration=seconds)  # type: ignore[arg-type]


def _plan(*jobs: JobBuilder, picture: str = SPINES, now: int = NOW, **settings: int) -> Plan:
    levels = ("spine", "leaf") if picture.startswith("s") else ()
    pool = drawn(picture, levels=levels)
    return cycle(Snapshot(tuple(job.built for job in jobs), by_name(pool), backfill=Backfill(**settings)), now)


def _started(plan: Plan) -> list[str]:
    return [decision.key.name for decision in plan.decisions if decision.verb is Verb.ADMIT]


@pytest.mark.parametrize(
    ("left", "job", "started"),
    [
        # Four of the six pairs of replicas lie apart: two thirds of a fifth of ten hours are 80 minutes.
        pytest.param(4_800, waiting("a", 4, 10), [], id="it waits"),
        pytest.param(4_801, waiting("a", 4, 10), ["a"], id="a second too far, and it does not"),
        pytest.param(4_800, waiting("a", 4, 9), ["a"], id="a shorter gang waits for less"),
        pytest.param(4_800, waiting("a", 3, 10), [], id="two of three pairs are as large a share"),
        pytest.param(60, waiting("a", 4, None), ["a"], id="who does not say how long it takes does not wait"),
        pytest.param(None, waiting("a", 4, 10), ["a"], id="nor does anybody for one who does not say it"),
        pytest.param(60, waiting("a", 2, 10), ["a"], id="one that has room in one spine does not wait"),
        pytest.param(60, waiting("a", 4, 10, inside="leaf"), [], id="one that must stay in one waits in any case"),
        pytest.param(LONGEST, waiting("a", 4, 400), [], id="a very long gang waits for four hours"),
        pytest.param(LONGEST + 1, waiting("a", 4, 400), ["a"], id="and no longer"),
    ],
)
def test_who_waits_for_a_contiguous_place(left: int | None, job: JobBuilder, started: list[str]) -> None:
    """A gang that would sit apart waits for what sitting apart might cost it, if it will sit in one domain then."""
    assert _started(_plan(*both(left), job, assumed=HOUR + 60)) == started


def test_without_patience_whoever_fits_starts() -> None:
    """It is a setting."""
    assert _started(_plan(*both(60), waiting("a", 4, 10), patience=0)) == ["a"]


def test_a_pool_without_levels_has_no_better_place() -> None:
    """All its nodes are as near to each other as any."""
    assert _started(_plan(*both(60), waiting("a", 4, 10), picture=ONE_LEVEL)) == ["a"]


def test_nobody_waits_for_what_no_domain_holds() -> None:
    """A gang that is larger than every spine sits apart at any time."""
    picture = "s0\n  l0  8 8\ns1\n  l1  8 0"
    assert _started(_plan(running("run", "n3", left=60), waiting("a", 3, 10), picture=picture)) == ["a"]


def test_the_place_is_kept_from_those_behind() -> None:
    """Whoever ends before it is needed, or sits elsewhere, may pass; nobody else, even where whoever fits may start."""
    jobs = [waiting("b", 1, 2), waiting("c", 2, 1), waiting("d", 1, 2), waiting("e", 2, 2)]
    for depth in (0, 8):
        plan = _plan(*both(HOUR), waiting("a", 4, 10), *jobs, depth=depth)
        places = {d.key.name: d.record.placement for d in plan.decisions if d.verb is Verb.ADMIT}
        assert {name: set(placement.nodes) for name, placement in places.items() if placement} == {
            "b": {"n4"},
            "c": {"n0", "n1"},
            "d": {"n5"},
        }


def test_it_starts_there_when_the_time_has_come() -> None:
    """In one spine; the facts are those of a cycle after the end it waited for."""
    jobs = [running("run2", "n6", "n7", left=168 * HOUR), waiting("a", 4, 10)]
    plan = _plan(*jobs, picture="s0\n  l0  8 8 8 8\ns1\n  l1  8 8 0 0", now=NOW + HOUR)
    admitted = next(d.record.placement for d in plan.decisions if d.verb is Verb.ADMIT)
    assert admitted is not None
    assert dict(admitted.spans)["spine"] == 1


def test_an_estimate_tells_of_the_place_that_it_will_wait_for() -> None:
    """Who has no room yet is told when it will start where it wants to, not when it could start apart."""
    jobs = [
        running("run", "n2", "n3", left=HOUR),
        running("run2", "n0", "n1", left=2 * HOUR),
        running("run3", "n6", "n7", left=168 * HOUR),
        waiting("a", 4, 10),
    ]
    plan = _plan(*jobs, picture="s0\n  l0  0 0 0 0\ns1\n  l1  8 8 0 0")
    pending = plan.decisions[-1].report.pending
    assert pending is not None
    assert pending.forecast is not None
    assert pending.forecast.start == -(-(NOW + 2 * HOUR) // 600) * 600


def test_a_better_place_is_kept_for_eight_gangs_at_most() -> None:
    """So that a cycle stays short; who comes later takes what there is."""
    picture = "\n".join(f"s{i}\n  l{i}  8 0" for i in range(18))
    runs = [running(f"run-{i:02}", f"n{2 * i + 1}", left=60) for i in range(18)]
    jobs = [waiting(f"z{i}", 2, 10) for i in range(9)]
    assert _started(_plan(*runs, *jobs, picture=picture)) == ["z8"]


def test_pairs_apart_are_counted_in_replicas() -> None:
    """Two on one node, one beside it, one on another spine: three of six pairs over spines, five over nodes."""
    pool = drawn("s0\n  l0  8 4\ns1\n  l1  4 0")
    berth = find(a_gang(4, 4), by_name(pool))
    assert berth is not None
    assert (apart(berth, 1), apart(berth, 2), apart(berth, 3)) == ((3, 6), (3, 6), (5, 6))


def test_a_gang_wishes_for_its_own_level_first() -> None:
    """Then for the wider ones that are narrower than what it would get; a gang without a level for the widest one."""
    pool = drawn("s0\n  l0  8 0\n  l1  8 0\ns1\n  l2  8 0\n  l3  8 0")
    berth = find(a_gang(4), by_name(pool))
    assert berth is not None
    prefers = [(wish.level, most) for wish, most in wishes(a_gang(4, rather_inside="leaf"), berth, 6_000, 20)]
    assert prefers == [("leaf", 1_200), ("spine", 800)]
    assert [wish.level for wish, _ in wishes(a_gang(4), berth, 6_000, 20)] == ["spine"]
    assert list(wishes(a_gang(4, inside="spine"), berth, 6_000, 20)) == []
