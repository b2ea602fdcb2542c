"""Stories that are simulated: what happens to a task from its submission to its end, to the second."""

from dataclasses import replace
from itertools import pairwise

import pytest

from berth.core.faults import Waits
from berth.core.model import Trouble
from berth.sim.case import Costs, Outage, Slowdown
from berth.sim.engine import run
from berth.sim.record import Spent
from tests.simulated import CHECKPOINTS, a_case, a_fleet, a_task, by_name, lived

AT_ONCE = Waits(node_grace=0, unconfirmed=0)


def test_a_task_that_fits_starts_when_it_is_submitted_and_ends_when_its_work_is_done() -> None:
    """Nothing is added to a task's work that the case does not name."""
    life = lived(a_case(a_task("a", work=1000, submit=7)))["a"]
    (stint,) = life.stints
    assert (stint.start, stint.end, stint.cause) == (7, 1007, "Succeeded")
    assert Spent(useful=1000) == stint.spent
    assert (life.finished, life.outcome, life.wait) == (1007, "Succeeded", 0)


def test_a_gang_sits_where_the_clusters_own_rule_puts_it() -> None:
    """Two nodes of one leaf, in rank order, as positions in the fleet."""
    life = lived(a_case(a_task("half", devices=4), a_task("gang", replicas=2, submit=1)))["gang"]
    assert life.stints[0].nodes == (2, 3)


def test_who_waits_starts_in_the_cycle_that_gives_the_devices_back() -> None:
    """A node that comes free goes to the next in line at the same moment of the clock."""
    fleet = a_fleet(leaves=1, hosts=1)
    lives = lived(a_case(a_task("first", work=100), a_task("second", work=100), fleet=fleet))
    assert lives["second"].stints[0].start == 100


def test_a_cycle_is_run_at_most_once_in_so_many_seconds() -> None:
    """What comes between two turns waits for the next, and turns keep their distance."""
    tasks = [a_task(f"t{at}", devices=1, work=1000, submit=at) for at in (0, 1, 29, 31, 95)]
    starts = sorted(life.stints[0].start for life in lived(a_case(*tasks, every=30)).values())
    assert starts == [0, 30, 30, 60, 95]
    assert all(later - former >= 30 for former, later in pairwise(sorted(set(starts))))


def test_a_failure_loses_what_was_done_since_the_last_checkpoint() -> None:
    """Starting 30 s, then 100 s of work and 10 s of writing in turns: at 300 s two are written, 50 s are lost."""
    outage = Outage("h800", "n0", 300, None, Trouble.GONE)
    case = a_case(a_task("a", work=1000, costs=CHECKPOINTS), outages=(outage,), waits=AT_ONCE)
    first, second = lived(case)["a"].stints
    assert (first.cause, first.start, first.end) == ("NodeFailure", 0, 300)
    assert Spent(starting=30, useful=200, checkpointing=20, lost=50) == first.spent
    # The rest is 800 s, with 7 checkpoints on the way and none at its end.
    assert Spent(starting=30, restoring=20, useful=800, checkpointing=70) == second.spent
    assert (second.start, second.end) == (300, 300 + 30 + 20 + 800 + 70)


def test_a_checkpoint_that_was_not_written_whole_is_none() -> None:
    """A failure in the middle of the second checkpoint goes back to the first; its writing was for nothing."""
    outage = Outage("h800", "n0", 30 + 110 + 105, None, Trouble.GONE)
    case = a_case(a_task("a", work=1000, costs=CHECKPOINTS), outages=(outage,), waits=AT_ONCE)
    first = lived(case)["a"].stints[0]
    assert Spent(starting=30, useful=100, checkpointing=15, lost=100) == first.spent


def test_without_checkpoints_all_is_lost() -> None:
    """A task that writes none begins anew, and pays no restore."""
    outage = Outage("h800", "n0", 400, None, Trouble.GONE)
    case = a_case(a_task("a", work=1000, costs=Costs(restore=50)), outages=(outage,), waits=AT_ONCE)
    first, second = lived(case)["a"].stints
    assert (Spent(lost=400), Spent(useful=1000)) == (first.spent, second.spent)


def test_a_silent_node_is_waited_for_as_in_a_cluster() -> None:
    """Not ready at 100: 20 s of grace; then its pods' end is waited for, 300 s, before the gang goes on without."""
    case = a_case(a_task("a", replicas=2, work=1000), outages=(Outage("h800", "n0", 100),))
    first, second = lived(case)["a"].stints
    assert (first.cause, first.end) == ("NodeFailure", 100 + 20 + 300)
    assert Spent(lost=100, stopping=320) == first.spent
    assert second.start == 420


def test_repair_keeps_the_nodes_that_are_well() -> None:
    """Of a gang of three on two leaves, the lost one gets the nearest free node and the others stay."""
    case = a_case(
        a_task("gang", replicas=3, work=1000), outages=(Outage("h800", "n1", 200, None, Trouble.GONE),), waits=AT_ONCE
    )
    first, second = lived(case)["gang"].stints
    assert (first.nodes, second.nodes) == ((0, 1, 2), (0, 3, 2))
    assert first.end == second.start


def test_a_node_that_restarts_takes_its_gang_along() -> None:
    """Gone and back before the grace is over: its pods ended with it, the gang is not to blame and starts again."""
    case = a_case(a_task("a", work=1000), outages=(Outage("h800", "n0", 605, 610),), every=30)
    life = lived(case)["a"]
    first, second = life.stints
    assert (first.cause, first.end) == ("PodsLost", 635)
    assert Spent(lost=605, stopping=30) == first.spent
    assert (second.nodes[0], second.spent.useful) == (0, 1000)
    assert life.outcome == "Succeeded"


def test_a_node_that_is_down_takes_nobody() -> None:
    """While the only node is down the task waits, and starts when it is back."""
    case = a_case(a_task("a", submit=10), fleet=a_fleet(leaves=1, hosts=1), outages=(Outage("h800", "n0", 5, 500),))
    assert lived(case)["a"].stints[0].start == 500


def test_a_gang_that_sits_wide_takes_longer() -> None:
    """A tenth longer over two spines, a fiftieth over two leaves of one: the largest that holds, rounded up."""
    slowdown = Slowdown({"spine": 0.1, "leaf": 0.02})
    for replicas, seconds in ((1, 1000), (3, 1020), (5, 1100)):
        case = a_case(a_task("a", replicas=replicas, work=1000), fleet=a_fleet(spines=2), slowdown=slowdown)
        (stint,) = lived(case)["a"].stints
        assert Spent(useful=1000, slowed=seconds - 1000) == stint.spent


def test_a_time_limit_ends_a_task_for_good() -> None:
    """What it declared is its limit, starting included; what it wrote down counts, the rest is lost."""
    life = lived(a_case(a_task("a", work=1000, declared=500, costs=CHECKPOINTS)))["a"]
    (stint,) = life.stints
    assert (stint.cause, stint.end, life.outcome, life.finished) == ("TimeLimit", 500, "Failed", 500)
    assert Spent(starting=30, useful=400, checkpointing=40, lost=30) == stint.spent


def test_a_task_that_takes_as_long_as_it_declares_succeeds() -> None:
    """The end and the limit fall on one second: the work was done."""
    assert lived(a_case(a_task("a", work=500, declared=500)))["a"].outcome == "Succeeded"


def test_a_task_that_has_devices_at_the_beginning_goes_on_where_it_is() -> None:
    """It pays neither start nor restore, and nobody else gets its nodes."""
    held = a_task("held", replicas=2, work=300, held=("n3", "n0"), costs=replace(CHECKPOINTS, interval=None))
    lives = lived(a_case(held, a_task("next", replicas=3, work=10)))
    (stint,) = lives["held"].stints
    assert ((3, 0), 0, 300, Spent(useful=300)) == (stint.nodes, stint.start, stint.end, stint.spent)
    assert lives["next"].stints[0].start == 300


def test_pods_that_are_slow_to_stop_keep_the_devices() -> None:
    """A gang told to stop holds its nodes until its pods are gone; that time is told apart."""
    life = lived(a_case(a_task("a", work=1000, declared=500, costs=Costs(stop=45))))["a"]
    assert (545, Spent(lost=500, stopping=45)) == (life.stints[0].end, life.stints[0].spent)


def test_a_task_that_never_fits_tells_why_it_waited() -> None:
    """The run ends when nothing can happen any more; what waits is not finished and says why."""
    record = run(a_case(a_task("small", work=50), a_task("big", replicas=9)))
    lives = by_name(record)
    assert (
        lives["big"].finished,
        lives["big"].outcome,
        lives["big"].stints,
        lives["big"].waiting,
    ) == (None, "", (), "TooLarge")
    assert lives["small"].finished == 50 == record.end


def test_a_run_ends_where_it_is_told_to() -> None:
    """Who is under way then has spent what it has; what comes later has not happened."""
    outages = (Outage("h800", "n3", 100, 900), Outage("h800", "n2", 700))
    record = run(a_case(a_task("a", work=1000), a_task("b", submit=650), until=600, outages=outages))
    lives = by_name(record)
    (stint,) = lives["a"].stints
    assert (record.end, stint.end, stint.cause, lives["a"].finished) == (600, 600, "", None)
    assert Spent(useful=600) == stint.spent
    assert lives["b"].stints == ()
    assert (replace(outages[0], end=None),) == record.outages


def test_an_interrupted_run_is_a_valid_one() -> None:
    """It says so, ends where it was, and its sums are right."""
    seen: list[tuple[int, int]] = []
    tasks = [a_task(f"t{at}", work=1000, submit=at) for at in (0, 100, 200)]
    record = run(a_case(*tasks), progress=lambda now, ended: seen.append((now, ended)), stop=lambda: len(seen) > 1)
    assert (record.partial, record.end) == (True, 100)
    assert seen == [(0, 0), (100, 0)]
    assert [life.stints[0].spent.useful if life.stints else None for life in record.lives] == [100, 0, None]


@pytest.mark.parametrize(
    ("case", "text"),
    [
        (replace(a_case(), policy="best"), "policy: there is no 'best'"),
        (replace(a_case(), every=0), "every: 0 is not a number of seconds"),
        (a_case(a_task("a"), a_task("a")), "two have the same key: ml/a"),
        (a_case(a_task("a", held=("n77",))), "ml/a: no pool has all of the nodes n77"),
        (a_case(a_task("a", replicas=2, held=("n1",))), "ml/a has 2 replicas, and sits on 1"),
        (
            a_case(a_task("a", held=("n1",)), a_task("b", held=("n1",))),
            "ml/b has 1 replicas on node n1, which has room",
        ),
        (a_case(outages=(Outage("h800", "n9", 1),)), "pool h800 has no node n9"),
        (a_case(outages=(Outage("h800", "n1", 9, 9),)), "node n1 is back at 9, it failed at 9"),
    ],
)
def test_a_case_that_contradicts_itself_is_refused(case: object, text: str) -> None:
    """With the field, the value and what is wrong with it."""
    with pytest.raises(ValueError, match=text):
        run(case)  # type: ignore[arg-type]
