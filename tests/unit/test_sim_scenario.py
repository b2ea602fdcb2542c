"""From a scenario to its cases: clusters, traces, draws, limits, listed jobs; all chance comes from the seed alone."""

import itertools
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from berth.core.model import Policy
from berth.sim.case import Case, Costs, Slowdown
from berth.sim.progress import MILLION, Progress
from berth.sim.scenario import drawing, tasks
from berth.sim.scenario.cases import NO_CHANGES, Changes, Ready, Setting, load
from berth.sim.scenario.fields import seconds, written
from berth.sim.scenario.traces import Shape
from tests.unit.test_sim_scenario_mistakes import LISTED, REPLAY, SCENARIO, TRACE

ROOT = Path(__file__).parents[2]


def read(directory: Path, text: str, changes: Changes = NO_CHANGES, **files: str) -> Ready:
    """A scenario beside its files."""
    for name, content in files.items():
        (directory / f"{name}.csv").write_text(content)
    (directory / "s.yaml").write_text(text)
    return load(directory / "s.yaml", changes)


def only(ready: Ready) -> Case:
    """The only case of a scenario."""
    [case] = ready.cases()
    return case


def offered(case: Case) -> float:
    """Device-seconds of all jobs against what the cluster has from the first arrival to the last."""
    devices = sum(node.allocatable[fleet.resource] for fleet in case.fleets for node in fleet.nodes)
    work = sum(task.devices * task.work for task in case.tasks)
    return work / (devices * (case.tasks[-1].submit - case.tasks[0].submit))


def test_a_regular_tree_has_its_nodes_in_network_order(tmp_path: Path) -> None:
    """Two spines of two leaves of four nodes of eight devices."""
    [fleet] = only(read(tmp_path, SCENARIO)).fleets
    assert (fleet.levels, len(fleet.nodes)) == (("spine", "leaf"), 16)
    assert fleet.nodes[5].path == ("h800-spine1", "h800-spine1-leaf2")
    assert fleet.nodes[5].allocatable == {"pods": 110, "nvidia.com/gpu": 8}


def test_the_scenarios_of_the_project_are_read() -> None:
    """All of them, with what they name; each says the runs that the design asks for."""
    found = {path.stem: load(path) for path in sorted((ROOT / "scenarios").glob("*.yaml"))}
    assert {name: len(ready.settings()) for name, ready in found.items()}.keys() >= {"itp", "lingjun-kalos", "small"}
    lingjun = found["lingjun-kalos"]
    assert [len(fleet.nodes) for fleet in lingjun.fleets] == [847]
    assert len({path.path[:1] for path in lingjun.fleets[0].nodes}) == 3
    assert len({path.path for path in lingjun.fleets[0].nodes}) == 119
    assert {shape.devices >= 8 and shape.seconds >= 300 for shape in lingjun.rows} == {True}
    assert {setting.load for setting in lingjun.settings()} == {0.6, 0.75, 0.85}
    assert len({setting.seed for setting in lingjun.settings()}) == 5
    assert (len(found["itp"].rows), {s.load for s in found["itp"].settings()}) == (69_351, {0.83})


def test_a_cluster_model_of_the_demo_is_a_cluster(tmp_path: Path) -> None:
    """Its CPU and memory count, its labels of levels are left out."""
    model = ROOT / "e2e" / "models" / "small-h800.yaml"
    cluster = SCENARIO[SCENARIO.index("  pools:") : SCENARIO.index("workload:")]
    [fleet] = only(read(tmp_path, SCENARIO.replace(cluster, f"  model: {model}\n"))).fleets
    assert len(fleet.nodes) == 16
    assert fleet.nodes[0].allocatable["cpu"] == 192_000


def test_a_trace_is_replayed_as_it_is(tmp_path: Path) -> None:
    """From its first job on; an end that is a fraction is the whole second; a job takes at least one."""
    case = only(read(tmp_path, REPLAY.replace("load: 0.8\n", ""), jobs=TRACE))
    assert [(str(task.key), task.submit, task.work, task.devices) for task in case.tasks] == [
        ("a/1", 0, 100, 8),
        ("b/2", 10, 100, 16),
        ("a/3", 20, 1, 8),
    ]
    assert [task.gang.replicas for task in case.tasks] == [1, 2, 1]
    assert [task.tenant for task in case.tasks] == ["a", "b", "a"]
    assert {task.declared for task in case.tasks} == {None}


@pytest.mark.parametrize("wanted", [0.3, 0.8, 1.5])
def test_a_load_spreads_arrivals_and_nothing_else(tmp_path: Path, wanted: float) -> None:
    """The work of all jobs is that share of what there is; which jobs come in which order is the same."""
    text = SCENARIO.replace("jobs: 10", "jobs: 500").replace("fixed: 1h", "exponential: 1h")
    case = only(read(tmp_path, text.replace("load: 0.8", f"load: {wanted}")))
    base = only(read(tmp_path, text))
    assert offered(case) == pytest.approx(wanted, rel=1e-3)
    assert [replace(task, submit=0) for task in case.tasks] == [replace(task, submit=0) for task in base.tasks]


def test_policies_of_a_seed_have_the_same_draws(tmp_path: Path) -> None:
    """Jobs, limits and failures are those of the seed; another seed has others."""
    text = SCENARIO + (
        "policies: [berth, random]\nseeds: 2\nknowledge: {durations: estimated, sigma: 1.0}\n"
        "failures: {drawn: {meanTimeBetween: 2h, repair: 5m}}\n"
    )
    one, two, other, _ = read(tmp_path, text).cases()
    assert (one.policy, two.policy, one.seed, other.seed) == ("berth", "random", 1, 2)
    assert one.tasks == two.tasks
    assert one.outages == two.outages != ()
    assert one.tasks != other.tasks
    assert one.outages != other.outages


def test_what_is_drawn_for_one_purpose_does_not_change_what_is_drawn_for_another(tmp_path: Path) -> None:
    """With failures and estimates, the same jobs arrive at the same times."""
    plain = only(read(tmp_path, SCENARIO))
    more = (
        SCENARIO
        + "failures: {drawn: {meanTimeBetween: 2h, repair: 5m}}\nknowledge: {durations: estimated, sigma: 1.0}\n"
    )
    case = only(read(tmp_path, more))
    assert [(t.submit, t.gang, t.work) for t in case.tasks] == [(t.submit, t.gang, t.work) for t in plain.tasks]


def test_draws_are_the_same_for_ever(tmp_path: Path) -> None:
    """Whoever reads a published figure can draw what it was measured on."""
    text = SCENARIO.replace("fixed: 1h", "lognormal: 1h, sigma: 1.5")
    case = only(read(tmp_path, text))
    assert [(task.submit, task.work) for task in case.tasks[:4]] == DRAWN


DRAWN = [(0, 11269), (319, 104), (380, 3559), (689, 497)]


def test_changes_of_the_caller_win(tmp_path: Path) -> None:
    """Policies, loads and seeds of the command line."""
    ready = read(tmp_path, SCENARIO, Changes(("random", "berth"), (0.5, 0.6), 3))
    assert [(s.load, s.seed, s.policy) for s in ready.settings()][:3] == [
        (0.5, 1, "random"),
        (0.5, 1, "berth"),
        (0.5, 2, "random"),
    ]
    assert len(ready.settings()) == 12


def test_each_slowdown_is_a_case_of_its_own_name(tmp_path: Path) -> None:
    """Tables are told apart in results; every limit covers the largest of them."""
    text = SCENARIO + "slowdown: [{}, {spine: 0.1}]\nknowledge: {durations: declared}\n"
    none, some = read(tmp_path, text).cases()
    assert (none.name, some.name) == ("s (slowdown none)", "s (slowdown spine 0.1)")
    assert (none.slowdown, some.slowdown) == (Slowdown({}), Slowdown({"spine": 0.1}))
    assert none.tasks == some.tasks
    assert {task.declared for task in none.tasks} == {3960}


@given(
    seconds_=st.integers(1, 10**6),
    slow=st.floats(0, 1),
    factor=st.floats(1, 10),
    interval=st.none() | st.integers(1, 10**5),
    save=st.integers(0, 600),
    start=st.integers(0, 600),
)
def test_a_limit_never_cuts_a_job_that_nothing_disturbs(
    seconds_: int, slow: float, factor: float, interval: int | None, save: int, start: int
) -> None:
    """It covers the engine's own length of an attempt, at the slowdown it was made for."""
    costs = Costs(start=start, interval=interval, save=save)
    length = Progress(seconds_, costs, round(slow * MILLION)).length
    assert tasks.limit(seconds_, costs, slow, 1.0, factor, None) >= length


@given(devices=st.integers(1, 2000), each=st.integers(1, 16))
def test_a_job_is_split_into_as_few_equal_replicas_as_fit(devices: int, each: int) -> None:
    """All devices are there, no replica is larger than a node, and no fewer replicas would do."""
    replicas, size = tasks.split(Shape("x", 0, 1, devices), each)
    assert replicas * size == devices
    assert size <= each
    assert not [n for n in range(1, replicas) if devices % n == 0 and devices // n <= each]


@given(st.integers(-(10**7), 10**7))
def test_durations_are_read_as_they_are_written(span: int) -> None:
    """Any number of seconds, before the run's begin too."""
    assert seconds(written(span)) == span


def test_a_poisson_process_has_its_mean_and_spread() -> None:
    """Gaps of rate 1: mean 1, and as many above the median as below."""
    times = drawing.arrivals(20_000, 7)
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert sum(gaps) / len(gaps) == pytest.approx(1, rel=0.03)
    assert sum(gap < 0.6931 for gap in gaps) / len(gaps) == pytest.approx(0.5, abs=0.02)


def test_sizes_are_drawn_by_their_weight(tmp_path: Path) -> None:
    """Three of one to one of the other."""
    text = SCENARIO.replace("[{devices: 8}]", "[{devices: 8, weight: 3}, {devices: 16}]").replace(
        "jobs: 10", "jobs: 4000"
    )
    counts = Counter(task.devices for task in only(read(tmp_path, text)).tasks)
    assert counts[8] / 4000 == pytest.approx(0.75, abs=0.03)


def test_listed_jobs_keep_what_they_have(tmp_path: Path) -> None:
    """Places in rank order, since when; without a limit a job is taken to hold its devices for what is assumed."""
    case = only(read(tmp_path, LISTED.replace("load: 0.8\n", "")))
    held, waits = case.tasks
    assert held.held == ("h800-spine1-leaf1-node1", "h800-spine1-leaf1-node2")
    assert (held.submit, held.since, held.work, waits.work) == (-7200, -3600, 82_800, 86_400)


def test_a_job_that_has_outlived_what_was_assumed_is_given_a_quarter_more(tmp_path: Path) -> None:
    """As the operator expects it; one with a limit, what is left of it after earlier attempts."""
    text = LISTED.replace("since: -1h", "since: -25h").replace("submit: -2h", "submit: -26h")
    assert only(read(tmp_path, text)).tasks[0].work == 5 * 3600
    text = LISTED.replace("placed:", "maxDuration: 10h, held: 3h, placed:")
    task = only(read(tmp_path, text)).tasks[0]
    assert (task.declared, task.spent, task.work) == (36_000, 10_800, 6 * 3600)


def test_what_a_listed_job_asks_for_is_all_there(tmp_path: Path) -> None:
    """Level, groups, requests, selector, tolerations and affinity reach the gang."""
    job = {
        "name": "a/z",
        "replicas": 4,
        "devices": 8,
        "pools": ["h800"],
        "level": "spine",
        "policy": "Required",
        "groups": {"size": 2, "level": "leaf"},
        "priority": 5,
        "requests": {"cpu": "500m", "memory": "1Ki"},
        "selector": {"zone": "a"},
        "tolerations": [{"key": "x", "operator": "Exists"}],
        "affinity": [[{"key": "metadata.name", "operator": "In", "values": ["n"]}]],
        "heldBack": "Suspended",
    }
    document = yaml.safe_load(LISTED)
    document["workload"]["jobs"] = [job]
    [task] = only(read(tmp_path, yaml.safe_dump(document))).tasks
    gang = task.gang
    assert (gang.level, gang.policy, gang.pools) == ("spine", Policy.REQUIRED, ("h800",))
    assert gang.groups is not None
    assert (gang.groups.size, gang.groups.level) == (2, "leaf")
    assert gang.requests == (("cpu", 500), ("memory", 1024))
    assert gang.selector == (("zone", "a"),)
    assert gang.tolerations[0].operator == "Exists"
    assert gang.affinity[0][0].name
    assert (task.priority, task.held_back, task.tenant) == (5, "Suspended", "a")


def test_a_setting_says_all_that_tells_runs_apart() -> None:
    """Equal settings are one run."""
    assert Setting(0.5, Slowdown(), 1, "berth") == Setting(0.5, Slowdown(), 1, "berth")
