"""Policies side by side: intervals over seeds, paired with the baseline's run on the same seed."""

from dataclasses import replace
from math import sqrt

import pytest

from berth.sim.comparison import Figure, compare, figures
from berth.sim.measures.intervals import Estimate, difference, mean, ratio, student
from berth.sim.quality import Result
from tests.running import a_fleet, a_life, a_result, a_stint, a_task


def ran(policy: str, seed: int, wait: int, nodes: tuple[int, ...] = (0, 1), **more: object) -> Result:
    """One gang of two hosts that waits so long."""
    life = a_life(a_task(replicas=len(nodes)), a_stint(nodes, wait, wait + 100))
    return a_result(life, end=1_000, policy=policy, seed=seed, load=0.6, **more)  # type: ignore[arg-type]


def test_an_interval_is_students() -> None:
    """Of 1, 2 and 3: 2 ± 4.3027 / √3."""
    found = mean([1, 2, 3])
    assert (found.value, found.seeds) == (2, 3)
    assert pytest.approx(4.3027 / sqrt(3), abs=1e-4) == found.margin
    assert (found.low, found.high) == pytest.approx((-0.4841, 4.4841), abs=1e-3)


def test_one_seed_tells_no_interval() -> None:
    """Never a bare mean that looks sure."""
    assert Estimate(5.0, None, 1) == mean([5.0])
    assert (mean([5.0]).low, mean([5.0]).high) == (None, None)


@pytest.mark.parametrize(
    ("freedom", "value"), [(1, 12.7062), (4, 2.7764), (20, 2.0860), (30, 2.0423), (31, 2.0395), (120, 1.9799)]
)
def test_students_quantiles(freedom: int, value: float) -> None:
    """As printed in tables, on both sides of where the table here ends."""
    assert pytest.approx(value, abs=1.5e-4) == student(freedom)


def test_a_ratio_is_of_sums_and_its_interval_of_residuals() -> None:
    """6 over 12; a base of nothing on one seed is no harm, on all of them there is no ratio.

    Residuals -0.5, 0.5, 0 over a mean of 4: deviation 0.5 / 4, and 4.3027 / √3 of it.
    """
    found = ratio([1, 3, 2], [3, 5, 4])
    assert found is not None
    assert (found.value, found.seeds) == (0.5, 3)
    assert pytest.approx(4.3027 * 0.125 / sqrt(3), abs=1e-4) == found.margin
    spoiled = ratio([1, 1], [0, 4])
    assert spoiled is not None
    assert spoiled.value == 0.5
    assert ratio([1, 1], [0, 0]) is None


def test_a_difference_is_paired() -> None:
    """Seeds that are far apart do not widen it: 10 longer on each."""
    assert Estimate(10.0, 0.0, 3) == difference([110, 1_010, 20], [100, 1_000, 10])


def test_policies_are_compared_on_the_same_seeds() -> None:
    """Waits of 10 and 30 s against 20 and 40 s: two thirds; a seed that only one of them ran is not in the ratio."""
    results = [ran("tree-best-fit", 1, 20), ran("berth", 1, 10), ran("tree-best-fit", 2, 40), ran("berth", 2, 30)]
    (setting,) = compare([*results, ran("berth", 3, 500)])
    assert (setting.case, setting.load, setting.baseline) == ("small", 0.6, "tree-best-fit")
    assert [s.policy for s in setting.standings] == ["tree-best-fit", "berth"]
    berth = setting.standing("berth")
    assert berth is not None
    found = berth.figures["wait/mean"]
    assert (found.mean.value, found.mean.seeds) == (180.0, 3)
    assert found.ratio is not None
    assert found.difference is not None
    assert (found.ratio.value, found.ratio.seeds) == pytest.approx((2 / 3, 2))
    assert (found.difference.value, found.difference.margin) == (-10.0, 0.0)


def test_without_the_baseline_the_first_policy_is_it() -> None:
    """Its own ratios are 1."""
    (setting,) = compare([ran("berth", 1, 20), ran("random", 1, 10)])
    assert setting.baseline == "berth"
    own = setting.standings[0].figures["wait/mean"].ratio
    assert own is not None
    assert own.value == 1.0


def test_settings_are_kept_apart() -> None:
    """Another load is another setting."""
    light, heavy = ran("berth", 1, 20), ran("berth", 1, 10)
    other = Result(heavy.case, heavy.run, a_result(end=5, load=0.85).quality)
    assert [s.load for s in compare([light, other])] == [0.6, 0.85]


def test_a_seed_is_run_once() -> None:
    """Two results of one seed would make an interval too narrow."""
    with pytest.raises(ValueError, match=r"^small, berth: two results for seed 1; "):
        compare([ran("berth", 1, 20), ran("berth", 1, 20)])


def test_what_a_run_does_not_have_is_missing_not_nothing() -> None:
    """A gang on one host has no pairs: the figure is there for the other seed alone, and says so."""
    (setting,) = compare([ran("berth", 1, 0, (0, 4)), ran("berth", 2, 0, (0,))])
    found: Figure = setting.standings[0].figures["crossing/spine"]
    assert (found.mean.value, found.mean.seeds, found.missing) == (1.0, 1, 1)


CUT = a_result(a_life(a_task()), end=10, policy="berth", seed=2, load=0.6, partial=True)
"""A run that was interrupted before its job had started."""


def test_interrupted_seeds_and_jobs_that_never_started_are_told() -> None:
    """Beside the figures that they spoil."""
    (setting,) = compare([CUT])
    standing = setting.standings[0]
    assert (standing.seeds, standing.partial, standing.left_out, standing.unstarted) == ((2,), (2,), (), 1)
    assert setting.counts(CUT.quality)


def test_what_was_interrupted_spoils_no_whole_run() -> None:
    """It is left out where another seed of the policy is whole."""
    (setting,) = compare([ran("berth", 1, 20), CUT])
    standing = setting.standings[0]
    assert (standing.seeds, standing.partial, standing.left_out, standing.unstarted) == ((1,), (), (2,), 0)
    assert standing.figures == compare([ran("berth", 1, 20)])[0].standings[0].figures
    assert not setting.counts(CUT.quality)


def test_what_was_interrupted_is_not_compared_with_what_is_whole() -> None:
    """Its queue had no time to build up."""
    for runs in ([ran("tree-best-fit", 2, 20), CUT], [replaced(CUT, "tree-best-fit"), ran("berth", 2, 20)]):
        (setting,) = compare(runs)
        other = setting.standing("berth")
        assert other is not None
        assert {figure.ratio for figure in other.figures.values()} == {None}
        assert {figure.difference for figure in other.figures.values()} == {None}


def replaced(result: Result, policy: str) -> Result:
    """The same run, by another policy."""
    return result._replace(quality=replace(result.quality, policy=policy))


def test_figures_of_several_pools_say_whose_they_are() -> None:
    """Those of all pools stand without a name."""
    life = a_life(a_task(replicas=2), a_stint((0, 4), 0, 10, pool="h20"))
    found = figures(a_result(life, end=10, fleets=(a_fleet(), a_fleet(name="h20"))).quality)
    assert (found["crossing/spine"], found["h20/crossing/spine"]) == (1.0, 1.0)
    assert "h800/crossing/spine" not in found
    assert {"h800/largest/leaf", "h20/fragmentation/pool", "share/idle", "8-15/wait/p99"} - found.keys() == {
        "8-15/wait/p99"
    }
