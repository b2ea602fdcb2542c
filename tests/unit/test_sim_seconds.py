"""Device-seconds, the room that is left and use over time, against numbers worked out by hand."""

from dataclasses import replace

import pytest

from berth.sim.case import Fleet, Outage
from berth.sim.measures.seconds import Buckets, Loss
from berth.sim.measures.series import Parts, Steps
from berth.sim.quality import Quality, measure
from berth.sim.record import Spent
from tests.running import a_fleet, a_life, a_result, a_stint, a_task

LEAF = "s0\n  l0 8 8"
"""Two nodes under one leaf: sixteen devices."""


def quality(*lives: object, end: int = 10, picture: str = LEAF, **more: object) -> Quality:
    return a_result(*lives, end=end, fleets=(a_fleet(picture),), **more).quality  # type: ignore[arg-type]


def test_device_seconds_fall_into_buckets_that_add_up() -> None:
    """A gang of 16 devices for 6 of 10 s: its seconds by bucket, times 16, and the rest idle."""
    life = a_life(a_task(replicas=2), a_stint((0, 1), 2, 8, starting=1, checkpointing=2, lost=1, cause="NodeFailure"))
    found = quality(life).buckets
    assert Buckets(useful=32, starting=16, checkpointing=32, lost=16, idle=64) == found
    assert found.total == 160


def test_down_is_what_is_out_of_service_and_not_held() -> None:
    """Node n1 is down from 4 to 9; a gang has 3 of its 8 devices until 6: 2 s of 5 devices, then 3 s of 8."""
    life = a_life(a_task(devices=3), a_stint((1,), 0, 6, "NodeFailure"))
    found = quality(life, outages=(Outage("h800", "n1", 4, 9),)).buckets
    assert (found.down, found.useful) == (2 * 5 + 3 * 8, 18)
    assert found.total == 160


def test_outages_that_overlap_count_once_and_end_with_the_run() -> None:
    """From 2 to 5 and from 4 for good: down from 2 to 10."""
    found = quality(outages=(Outage("h800", "n0", 2, 5), Outage("h800", "n0", 4, None))).buckets
    assert (found.down, found.idle) == (64, 96)


def test_nodes_that_take_nothing_in_the_case_are_down_all_along() -> None:
    """A cordoned node and one that is not ready."""
    assert quality(picture="s0\n  l0 8c 8x").buckets.down == 160


def test_utilisation_is_of_the_window_in_which_jobs_come() -> None:
    """Jobs come from 0 to 5; 8 of 16 devices are held from 1 to 5 and on to 10: 4/5 of a half."""
    lives = (a_life(a_task("a"), a_stint((0,), 1, 10)), a_life(a_task("b", submit=5)))
    found = quality(*lives)
    assert found.window == (0, 5)
    assert pytest.approx(0.4) == found.utilisation
    assert pytest.approx(72 / 160) == found.pools[0].working


def test_the_window_begins_after_the_warm_up() -> None:
    """The first job is left out: the window is from the second one's submission to the last one's."""
    lives = [a_life(a_task(str(n), submit=n)) for n in (0, 3, 7)]
    assert quality(*lives, warm_up=1).window == (3, 7)


def test_tenants_have_their_own_use() -> None:
    """Device-seconds and utilisation of each tenant in each pool; together they are the pool's."""
    lives = (
        a_life(a_task("a", tenant="red"), a_stint((0,), 0, 5)),
        a_life(a_task("b", tenant="blue"), a_stint((1,), 0, 10)),
    )
    found = quality(*lives)
    assert [(use.tenant, use.buckets.held, use.utilisation) for use in found.tenants] == [
        ("blue", 80, 0.5),
        ("red", 40, 0.25),
    ]
    assert found.pools[0].utilisation == pytest.approx(0.75)


def test_lost_work_is_told_by_cause() -> None:
    """Two stops for failed nodes lose 2 s of 8 devices and 1 s of 16; success and the end of the run are no stops."""
    lives = (
        a_life(a_task("a"), a_stint((0,), 0, 4, "NodeFailure", lost=2), a_stint((0,), 5, 10, "")),
        a_life(a_task("b", 2), a_stint((0, 1), 4, 5, "NodeFailure", lost=1)),
        a_life(a_task("c"), a_stint((1,), 0, 3)),
    )
    assert (Loss("NodeFailure", 2, 32),) == quality(*lives).losses


def test_room_is_that_of_the_largest_gang_by_whole_nodes() -> None:
    """One of a node's devices is taken for half of the time: leaf and pool have room for 16, then for 8.

    15 devices are free then, for which there would be 15 if they lay together.
    """
    found = {room.level: room for room in quality(a_life(a_task(devices=1), a_stint((0,), 5, 10))).rooms}
    assert {"pool", "spine", "leaf", "node"} == set(found)
    assert (found["leaf"].largest, found["leaf"].least) == (12.0, 8)
    assert pytest.approx((1 - 8 / 15) / 2) == found["leaf"].fragmentation
    assert (found["node"].largest, found["node"].fragmentation) == (8.0, 0.0)


def test_room_over_time_is_told_by_parts() -> None:
    """Ten seconds are ten parts: 16 devices of room, then 8."""
    leaf = next(r for r in quality(a_life(a_task(), a_stint((0,), 5, 10))).rooms if r.level == "leaf")
    assert leaf.largest_series == (16.0,) * 5 + (8.0,) * 5


def test_a_pool_without_nodes_has_no_room_and_no_seconds() -> None:
    """Nothing is divided by nothing."""
    found = a_result(end=5, fleets=(Fleet("empty", "x", ("leaf",), ()),)).quality
    assert ([r.largest for r in found.rooms], found.buckets.total, found.utilisation) == ([0.0] * 3, 0, None)


def test_a_run_without_jobs_is_idle() -> None:
    """All device-seconds are idle, the window is the whole run, and no figure about jobs is there."""
    found = quality()
    assert (found.buckets.idle, found.window) == (160, (0, 10))
    assert (found.waits[0].jobs, found.waits[0].mean) == (0, None)
    assert all(spread.crossing is None and spread.inflation is None for spread in found.spreads)


def test_a_run_of_no_time_has_no_parts() -> None:
    """Interrupted before the first second."""
    found = quality(a_life(a_task()), end=0, partial=True)
    assert (found.edges, found.waiting, found.buckets.total) == ((0,), (), 0)


def test_steps_are_exact_over_uneven_parts() -> None:
    """7 s in 3 parts of 2, 2 and 3 s: 5 from 1 to 6 is 5, 10 and 10; what is outside the run is left out."""
    parts = Parts.of(7, most=3)
    assert parts.edges == (0, 2, 4, 7)
    steps = Steps(parts)
    steps.add(1, 6, 5)
    steps.add(-3, 0, 9)
    steps.add(7, 12, 9)
    assert steps.integrals() == [5, 10, 10]
    assert steps.means() == (2.5, 5.0, 10 / 3)


def test_waiting_devices_are_those_of_jobs_without_any() -> None:
    """Before the first start and between attempts; a job that never starts waits until the end."""
    lives = (
        a_life(a_task("a"), a_stint((0,), 2, 4, "NodeFailure"), a_stint((0,), 6, 10, "")),
        a_life(a_task("b", 2, submit=8)),
    )
    assert quality(*lives).waiting == (8, 8, 0, 0, 8, 8, 0, 0, 16, 16)


@pytest.mark.parametrize(
    ("stint", "message"),
    [
        (a_stint((0,), 0, 5, pool="other"), "record of team/train, attempt 1: pool other is none of the case's: h800"),
        (a_stint((2,), 0, 5), "record of team/train, attempt 1: a node beyond the 2 of pool h800"),
        (a_stint((0,), 0, 11), "record of team/train, attempt 1: from 0 s to 11 s, in a run of 10 s"),
        (a_stint((0, 0), 0, 5), "record of node h800/n0: 16 of its 8 devices are held at 0 s"),
        (
            replace(a_stint((0,), 0, 5), spent=Spent(useful=4)),
            "record of team/train, attempt 1: its seconds add up to 4, but it took 5",
        ),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(stint: object, message: str) -> None:
    """No figure is made of it, and the place is named."""
    with pytest.raises(ValueError, match=f"^{message}$"):
        quality(a_life(a_task(), stint))  # type: ignore[arg-type]


def test_a_record_of_another_case_is_refused() -> None:
    """Seed by seed, so that no figures are told of the wrong draw."""
    result = a_result(end=10)
    with pytest.raises(
        ValueError, match="record of small, berth, seed 0: measured against the case small, berth, seed 7"
    ):
        measure(result.run, replace(result.case, seed=7))
