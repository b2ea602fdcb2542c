"""Scenarios with a mistake: each is told with file, line, field, value and remedy, all of a file at once."""

import lzma
from pathlib import Path

import pytest

from berth.sim.scenario.cases import Changes, load
from berth.sim.scenario.problems import ScenarioError

SCENARIO = """\
scenario: 1
cluster:
  pools:
  - name: h800
    device: {resource: nvidia.com/gpu, count: 8}
    levels:
    - {name: spine, count: 2}
    - {name: leaf, count: 2}
    nodes: 4
workload:
  draw:
    jobs: 10
    sizes: [{devices: 8}]
    durations: {fixed: 1h}
load: 0.8
"""
TRACE = """\
id,submit_s,duration_s,gpus,tenant
1,0,100,8,a
2,10,100,16,b
3,20.5,0,8,a
"""
REPLAY = SCENARIO.replace(
    SCENARIO[SCENARIO.index("  draw:") : SCENARIO.index("load: 0.8")],
    "  trace:\n    file: jobs.csv\n    columns: {id: id, tenant: tenant}\n",
)
LISTED = SCENARIO[: SCENARIO.index("  draw:")] + (
    "  jobs:\n"
    "  - {name: a/x, submit: -2h, replicas: 2, devices: 8, "
    'placed: {nodes: "h800-spine1-leaf1-node[1-2]", since: -1h}}\n'
    "  - {name: a/y, replicas: 3, devices: 8}\n"
)

CHANGES: dict[str, tuple[str, str, str, list[str]]] = {
    "an unknown key": (
        SCENARIO,
        "load: 0.8",
        "laod: 0.8",
        [
            "s.yaml:15: laod: there is no such field; did you mean load?",
        ],
    ),
    "a negative load": (SCENARIO, "load: 0.8", "load: -0.8", ["s.yaml:15: load: -0.8: must be more than 0"]),
    "one negative load of several": (
        SCENARIO,
        "load: 0.8",
        "load: [0.8, -1]",
        ["s.yaml:15: load[1]: -1: must be more than 0"],
    ),
    "a load that is text": (SCENARIO, "load: 0.8", "load: high", ["s.yaml:15: load: 'high': must be a number"]),
    "no load": (
        SCENARIO,
        "load: 0.8\n",
        "",
        ["s.yaml:11: workload.draw: a drawn workload needs a load to know how fast jobs come; add load: 0.75"],
    ),
    "an unknown policy": (
        SCENARIO,
        "load: 0.8",
        "load: 0.8\npolicies: [berth, berht]",
        [
            (
                "s.yaml:16: policies[1]: 'berht': there is no such policy; did you mean berth? there are berth, "
                "random, name-order, most-allocated, tree-best-fit, kueue-tas, hived, fifo, first-fit-backfill"
            )
        ],
    ),
    "a policy twice": (
        SCENARIO,
        "load: 0.8",
        "load: 0.8\npolicies: [berth, berth]",
        ["s.yaml:16: policies[1]: 'berth': stands twice; keep one of the two"],
    ),
    "an unknown queue": (
        SCENARIO,
        "load: 0.8",
        "load: 0.8\nqueue: strikt",
        [
            (
                "s.yaml:16: queue: 'strikt': must be conservative or any-fit or strict or first-fit-backfill; "
                "did you mean strict?"
            )
        ],
    ),
    "a duration without a unit": (
        SCENARIO,
        "fixed: 1h",
        "fixed: 3600",
        ["s.yaml:14: workload.draw.durations.fixed: 3600: must be a duration, such as 90s, 15m or 1h30m"],
    ),
    "a duration of nothing": (
        SCENARIO,
        "load: 0.8",
        "load: 0.8\nevery: 0s",
        ["s.yaml:16: every: '0s': must be at least 1s"],
    ),
    "a count below one": (
        SCENARIO,
        "nodes: 4",
        "nodes: 0",
        ["s.yaml:9: cluster.pools[0].nodes: 0: must be at least 1"],
    ),
    "two kinds of tree": (
        SCENARIO,
        "nodes: 4",
        "nodes: 4\n    topology: {file: t.csv, node: host}",
        [
            (
                "s.yaml:4: cluster.pools[0]: exactly one of nodes, topology and hosts says which nodes there are; "
                "there is nodes and topology"
            )
        ],
    ),
    "a level without its count": (
        SCENARIO,
        "{name: leaf, count: 2}",
        "{name: leaf}",
        ["s.yaml:4: cluster.pools[0]: level leaf: with nodes it needs count"],
    ),
    "a missing field": (
        SCENARIO,
        "  - name: h800\n    device",
        "  - device",
        ["s.yaml:4: cluster.pools[0].name: is missing; it says: what jobs call it"],
    ),
    "a size that fits nowhere": (
        SCENARIO,
        "devices: 8}",
        "devices: 256}",
        ["s.yaml:13: workload.draw.sizes[0].devices: 256: the largest pool has 128"],
    ),
    "a slowdown by a level that is not there": (
        SCENARIO,
        "load: 0.8",
        "load: 0.8\nslowdown: {spin: 0.1}",
        ["s.yaml:16: slowdown.spin: 'spin': no pool has this level; did you mean spine?"],
    ),
    "an estimate without its error": (
        SCENARIO,
        "load: 0.8",
        "load: 0.8\nknowledge: {durations: estimated}",
        ["s.yaml:16: knowledge: durations: estimated needs sigma, and no other takes it"],
    ),
    "no job that counts": (
        SCENARIO,
        "load: 0.8",
        "load: 0.8\nwarmUp: 10",
        ["s.yaml:16: warmUp: 10: must be less than the 10 jobs of the scenario"],
    ),
    "a node that fails and is not there": (
        SCENARIO,
        "load: 0.8",
        "load: 0.8\nfailures: {listed: [{node: n1, start: 1h}]}",
        ["s.yaml:16: failures.listed[0].node: 'n1': no pool has this node"],
    ),
    "another version": (SCENARIO, "scenario: 1", "scenario: 2", ["s.yaml:1: scenario: 2: must be 1"]),
    "a key twice": (
        SCENARIO,
        "load: 0.8",
        "load: 0.8\nload: 0.9",
        ["s.yaml:16: load: stands twice; keep one of the two"],
    ),
    "no YAML": (
        SCENARIO,
        "load: 0.8",
        "load: [0.8",
        ["s.yaml:16: is not YAML: did not find expected ',' or ']'"],
    ),
    "several mistakes": (
        SCENARIO,
        "load: 0.8",
        "load: -1\nevery: soon\nwarmup: 3",
        [
            "s.yaml:15: load: -1: must be more than 0",
            "s.yaml:16: every: 'soon': must be a duration, such as 90s, 15m or 1h30m",
            "s.yaml:17: warmup: there is no such field; did you mean warmUp?",
        ],
    ),
    "several that only the whole tells": (
        REPLAY,
        "load: 0.8",
        "load: 0.8\npolicies: [none]\nwarmUp: 99\nslowdown: {rack: 1}",
        [
            (
                "s.yaml:15: policies[0]: 'none': there is no such policy; there are berth, random, name-order, "
                "most-allocated, tree-best-fit, kueue-tas, hived, fifo, first-fit-backfill"
            ),
            "s.yaml:16: warmUp: 99: must be less than the 3 jobs of the scenario",
            "s.yaml:17: slowdown.rack: 'rack': no pool has this level; there is spine, leaf",
        ],
    ),
    "a trace that is not there": (
        REPLAY,
        "file: jobs.csv",
        "file: job.csv",
        [
            (
                "s.yaml:12: workload.trace.file: there is no file job.csv; files are looked for beside the one that "
                "names them"
            )
        ],
    ),
    "a column that is not there": (
        REPLAY,
        "tenant: tenant",
        "tenant: tennant",
        [
            (
                "jobs.csv:1: tennant: there is no such column (workload.trace.columns.tenant); did you mean tenant?; "
                "it has id, submit_s, duration_s, gpus, tenant"
            )
        ],
    ),
    "a filter that leaves nothing": (
        REPLAY,
        "    columns:",
        "    filter: {minDevices: 64}\n    columns:",
        ["jobs.csv: has no job that counts (of 3); widen the filter"],
    ),
    "a job on a node that is not there": (
        LISTED,
        "node[1-2]",
        "node[4-5]",
        ["s.yaml:12: workload.jobs[0].placed.nodes: h800-spine1-leaf1-node5: no pool of the scenario has this node"],
    ),
    "a job on too few nodes": (
        LISTED,
        "node[1-2]",
        "node1",
        ["s.yaml:12: workload.jobs[0].placed.nodes: names 1 nodes; one for each of 2 replicas is needed"],
    ),
    "a job twice": (
        LISTED,
        "a/y",
        "a/x",
        ["s.yaml:13: workload.jobs[1].name: 'a/x': is job 0 of the list already; give each a name of its own"],
    ),
    "a job without a namespace": (
        LISTED,
        "a/y",
        "y",
        ["s.yaml:13: workload.jobs[1].name: 'y': must be NAMESPACE/NAME"],
    ),
    "more devices than a node has": (
        LISTED,
        "{name: a/y, replicas: 3, devices: 8}",
        "{name: a/y, replicas: 1, devices: 8, placed: {nodes: h800-spine1-leaf1-node2, since: 0s}}",
        [
            (
                "s.yaml:13: workload.jobs[1].placed.nodes: h800-spine1-leaf1-node2: jobs up to this one hold 16 "
                "devices of it, and it has 8 for jobs"
            )
        ],
    ),
    "a load for listed jobs": (
        LISTED,
        "scenario: 1",
        "scenario: 1\nload: 0.5",
        ["s.yaml:2: load: listed jobs come when they say; leave load out"],
    ),
}

ROWS: dict[str, tuple[str, str]] = {
    "a duration that is text": (
        "2,10,soon,16,b",
        "jobs.csv:3: duration_s: 'soon': must be seconds, 0 or more; correct or remove the row",
    ),
    "a negative time": (
        "2,-10,100,16,b",
        "jobs.csv:3: submit_s: '-10': must be seconds, 0 or more; correct or remove the row",
    ),
    "no number at all": (
        "2,10,nan,16,b",
        "jobs.csv:3: duration_s: 'nan': must be seconds, 0 or more; correct or remove the row",
    ),
    "no devices": (
        "2,10,100,0,b",
        "jobs.csv:3: gpus: '0': must be a whole number of at least 1; correct or remove the row",
    ),
    "a cell too few": (
        "2,10,100,16",
        "jobs.csv:3: has 4 cells; the header has 5: id, submit_s, duration_s, gpus, tenant",
    ),
    "a name twice": ("1,10,100,16,b", "jobs.csv:3: id: '1': stands in line 2 already"),
    "a job that fits nowhere": (
        "2,10,100,256,b",
        (
            "jobs.csv:3: gpus: 256: the largest pool has 128; leave such jobs out with "
            "workload.trace.filter.maxDevices: 128"
        ),
    ),
}


def told(directory: Path, scenario: str, trace: str = TRACE) -> list[str]:
    """Problems of a scenario beside a trace, without the directory."""
    (directory / "s.yaml").write_text(scenario)
    (directory / "jobs.csv").write_text(trace)
    with pytest.raises(ScenarioError) as raised:
        load(directory / "s.yaml")
    return str(raised.value).replace(f"{directory}/", "").splitlines()


def test_without_a_mistake_they_are_read(tmp_path: Path) -> None:
    """The table's own beginnings are good scenarios."""
    (tmp_path / "jobs.csv").write_text(TRACE)
    for name, text in {"draw": SCENARIO, "replay": REPLAY, "listed": LISTED.replace("load: 0.8\n", "")}.items():
        (tmp_path / f"{name}.yaml").write_text(text)
        assert load(tmp_path / f"{name}.yaml").name == name


@pytest.mark.parametrize(("scenario", "old", "new", "lines"), CHANGES.values(), ids=CHANGES.keys())
def test_a_mistake_is_told_with_its_place(scenario: str, old: str, new: str, lines: list[str], tmp_path: Path) -> None:
    """Nothing else is told, and nothing twice."""
    assert old in scenario
    assert told(tmp_path, scenario.replace(old, new, 1)) == lines


@pytest.mark.parametrize(("row", "line"), ROWS.values(), ids=ROWS.keys())
def test_a_bad_row_of_a_trace_is_told_with_its_line_and_column(row: str, line: str, tmp_path: Path) -> None:
    """The value as it stands, and what to do."""
    assert told(tmp_path, REPLAY, TRACE.replace("2,10,100,16,b", row)) == [line]


def test_all_bad_rows_are_told_up_to_twenty(tmp_path: Path) -> None:
    """A trace that is wrong throughout does not flood the terminal."""
    trace = TRACE + "".join(f"{number},0,x,8,a\n" for number in range(10, 40))
    lines = told(tmp_path, REPLAY, trace)
    assert len(lines) == 21
    assert lines[0].startswith("jobs.csv:5: duration_s: 'x'")
    assert lines[-1] == "jobs.csv: 10 more problems like these"


def test_a_trace_that_is_no_xz_is_told(tmp_path: Path) -> None:
    """And one that is cut in the middle, too."""
    scenario = REPLAY.replace("jobs.csv", "jobs.csv.xz")
    (tmp_path / "jobs.csv.xz").write_bytes(b"no xz at all")
    assert "the file is damaged" in told(tmp_path, scenario)[0]
    (tmp_path / "jobs.csv.xz").write_bytes(lzma.compress((TRACE * 500).encode())[:-40])
    assert "the file is damaged" in told(tmp_path, scenario)[0]


def test_a_topology_with_bad_rows_is_told(tmp_path: Path) -> None:
    """A host twice, and one without its leaf."""
    scenario = SCENARIO.replace("    nodes: 4", "    topology: {file: t.csv, node: host}").replace(
        "count: 2", "column: x"
    )
    scenario = scenario.replace("name: leaf, column: x", "name: leaf, column: y")
    (tmp_path / "t.csv").write_text("host,x,y\nh1,s1,l1\nh1,s1,l2\nh3,s1,\n")
    assert told(tmp_path, scenario) == [
        "t.csv:3: host: 'h1': stands in line 2 already; one row a node",
        "t.csv:4: y: is empty; every node has a name and its domains",
    ]


def test_a_scenario_that_is_not_there_is_told(tmp_path: Path) -> None:
    """By its path."""
    with pytest.raises(ScenarioError) as raised:
        load(tmp_path / "none.yaml", Changes())
    assert str(raised.value) == f"{tmp_path}/none.yaml: cannot be read: No such file or directory; correct the path"
