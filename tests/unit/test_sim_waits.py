"""How long jobs wait and take, against numbers worked out by hand."""

import pytest

from berth.sim.measures.waits import CLASSES, Against, against_private, of, quantile, size_class
from berth.sim.quality import Jobs, Quality
from berth.sim.record import Life
from tests.running import a_life, a_result, a_stint, a_task


def started(name: str, wait: int, *, length: int = 10, submit: int = 0, **task: object) -> Life:
    """A job that waits so long and then runs, on a node of its own."""
    begin = submit + wait
    node = int(name[-1])
    return a_life(a_task(name, submit=submit, **task), a_stint((node,), begin, begin + length))  # type: ignore[arg-type]


def quality(*lives: Life, end: int = 10_000, **more: object) -> Quality:
    return a_result(*lives, end=end, **more).quality  # type: ignore[arg-type]


def test_waits_are_told_by_mean_and_nearest_rank() -> None:
    """Of 10, 20, 30 and 100 s: half waited 20 s at most, nine tenths 100 s."""
    found = of(quality(*(started(f"j{n}", wait) for n, wait in enumerate((30, 10, 100, 20)))).waits)
    assert found is not None
    assert (found.mean, found.p50, found.p90, found.p99, found.longest) == (40.0, 20, 100, 100, 100)


@pytest.mark.parametrize(
    ("share", "value"), [(0.01, 1), (0.5, 50), (0.501, 51), (0.9, 90), (0.99, 99), (0.999, 100), (1.0, 100)]
)
def test_quantiles_are_the_least_that_so_many_do_not_exceed(share: float, value: int) -> None:
    """Of the numbers from 1 to 100."""
    assert value == quantile(range(1, 101), share)


@pytest.mark.parametrize(
    ("devices", "name"),
    [
        (1, "1"),
        (2, "2-7"),
        (7, "2-7"),
        (8, "8-15"),
        (15, "8-15"),
        (16, "16-63"),
        (64, "64-255"),
        (256, "256+"),
        (1024, "256+"),
    ],
)
def test_size_classes_are_by_devices_of_the_gang(devices: int, name: str) -> None:
    """Each bound begins a class."""
    assert name == size_class(devices)
    assert name in CLASSES


def test_waits_are_told_by_size_and_tenant() -> None:
    """All, then classes, then tenants and the classes of each; without tenants, all and classes only."""
    red = started("j0", 5, tenant="red")
    blue, small = started("j1", 7, tenant="blue"), started("j2", 9, devices=1, tenant="blue")
    found = quality(red, blue, small).waits
    assert [(group.size, group.tenant) for group in found] == [
        ("", ""),
        ("1", ""),
        ("8-15", ""),
        ("", "blue"),
        ("1", "blue"),
        ("8-15", "blue"),
        ("", "red"),
        ("8-15", "red"),
    ]
    assert [group.mean for group in found] == [7.0, 9.0, 6.0, 8.0, 9.0, 7.0, 5.0, 5.0]
    assert [group.size for group in quality(started("j0", 5, devices=1)).waits] == ["", "1"]


def test_a_job_that_never_started_counts_with_its_wait_so_far() -> None:
    """It is a lower bound, and the group says how many such there are."""
    found = of(quality(started("j0", 10), a_life(a_task("late", submit=9_940)), end=10_000).waits)
    assert found is not None
    assert (found.jobs, found.unstarted, found.mean, found.longest) == (2, 1, 35.0, 60)


def test_jobs_that_had_devices_at_the_start_have_no_wait_of_this_run() -> None:
    """They are left out of the groups, but are counted as jobs."""
    found = quality(started("j0", 0, held=("n0",)))
    assert (found.waits[0].jobs, found.jobs.succeeded) == (0, 1)


def test_completion_and_slowdown_are_of_jobs_that_succeeded() -> None:
    """100 s of work ended 300 s after submission: 3; 10 s of work count as a minute: 1.5, and never below 1.

    One that failed or runs on is in neither.
    """
    lives = (
        started("j0", 200, length=100, work=100),
        started("j1", 80, length=10, work=10),
        started("j2", 0, length=10, work=10),
        a_life(a_task("failed"), a_stint((3,), 0, 5, "OwnFailure"), finished=5, outcome="Failed"),
        a_life(a_task("runs"), a_stint((4,), 0, 10_000, "")),
    )
    found = of(quality(*lives).waits)
    assert found is not None
    assert (found.finished, found.completion, found.slowdown) == pytest.approx((3, 400 / 3, 5.5 / 3))


def test_jobs_are_counted_by_what_became_of_them() -> None:
    """Each in one state; those of the warm-up and those that never came are told apart."""
    lives = (
        started("j0", 0),
        started("j1", 0),
        a_life(a_task("failed"), a_stint((2,), 0, 5, "OwnFailure"), finished=5, outcome="Failed"),
        a_life(a_task("runs"), a_stint((3,), 0, 50, "NodeFailure"), a_stint((3,), 60, 100, "")),
        a_life(a_task("requeued"), a_stint((4,), 0, 100, "NodeFailure")),
        a_life(a_task("waits"), waiting="NoRoom"),
        a_life(a_task("tried by nobody")),
        a_life(a_task("to come", submit=200)),
    )
    found = quality(*lives, end=100, warm_up=1, partial=True)
    assert found.jobs == Jobs(
        tasks=8,
        warm_up=1,
        unsubmitted=1,
        counted=6,
        unstarted=2,
        running=1,
        requeued=1,
        succeeded=1,
        failed=1,
        attempts=5,
    )
    assert found.reasons == (("NoRoom", 1), ("not tried yet", 1))


def test_shared_is_told_against_private_job_by_job() -> None:
    """Red waits 700 s longer with one of two jobs; blue waits 50 s less."""
    shared = [started("j0", 750, tenant="red"), started("j1", 30, tenant="red"), started("j2", 0, tenant="blue")]
    alone = [started("j0", 50, tenant="red"), started("j1", 30, tenant="red")]
    other = [started("j2", 50, tenant="blue")]
    runs = [a_result(*lives, end=1_000).run for lives in (shared, alone, other)]
    whole, blue, red = against_private(runs[0], runs[1:])
    assert Against("red", jobs=2, unstarted=0, longer=0.5, mean=350.0, p50=0, p90=700, p99=700) == red
    assert Against("blue", jobs=1, unstarted=0, longer=0.0, mean=-50.0, p50=-50, p90=-50, p99=-50) == blue
    assert (whole.tenant, whole.jobs) == ("", 3)
    assert whole.longer == pytest.approx(1 / 3)


def test_only_jobs_that_are_asked_for_are_told_against_private() -> None:
    """As those within guarantee; of the others no private run needs to know."""
    shared = a_result(started("j0", 750), started("j1", 30), end=1_000).run
    private = a_result(started("j1", 30), end=1_000).run
    (found,) = against_private(shared, [private], {shared.lives[1].task.key})
    assert (found.jobs, found.mean) == (1, 0.0)
    with pytest.raises(ValueError, match=r"^wait of team/j0 on a private cluster: no private run has this job$"):
        against_private(shared, [private])
