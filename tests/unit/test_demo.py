"""The demo's own arithmetic: the rule that presses the trace, the laws that it checks, the spans that it tells."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from e2e.demo import summary, workload
from e2e.demo.board import Board, Seen, project
from e2e.demo.fabric_map import FabricMap, Marks
from e2e.demo.pods import Member, broken, overfull
from e2e.demo.stage import Fabric
from e2e.demo.view import View
from e2e.demo.workload import Gang, TraceError

MODELS = Path(__file__).resolve().parents[2] / "e2e" / "models"
TRACE = MODELS / "kalos319.csv"


@pytest.fixture(scope="module")
def lingjun() -> Fabric:
    """847 hosts under 3 spines and 119 leaves."""
    return Fabric.load()


@pytest.fixture
def small() -> Fabric:
    """16 hosts: two spines, two leaves under each, four hosts under each leaf."""
    return Fabric.load(MODELS / "small-h800.yaml")


def seen(name: str, nodes: tuple[str, ...] = (), **more: object) -> Seen:
    values: dict[str, object] = {
        "name": name,
        "replicas": max(1, len(nodes)),
        "devices": 8,
        "level": None,
        "state": "Running" if nodes else "Pending",
        "attempt": 1 if nodes else 0,
        "nodes": nodes,
        "spans": {"spine": 1, "leaf": 1, "node": len(set(nodes))},
        "domain": "",
        "domain_level": "",
        "reason": "",
        "why": "",
        "finished": False,
    }
    return Seen(**{**values, **more})  # type: ignore[arg-type]  # one table of defaults for fields of many types


def hear(board: Board, *news: Seen) -> None:
    for one in news:
        if one.name not in board.times:
            board.submitted(Gang(one.name, 0.0, one.replicas, one.devices, 1.0))
        board.upsert(("kalos", one.name), one)


class TestWorkload:
    def test_the_whole_trace_asks_for_the_stated_load_at_the_stated_pace(self, lingjun: Fabric) -> None:
        """Pods a second and share of the device-seconds are what the constants say."""
        made = lingjun.workload()
        window = made.gangs[-1].at
        pods = sum(gang.replicas for gang in made.gangs)
        asked = sum(gang.replicas * gang.devices * gang.run_s for gang in made.gangs)
        assert len(made.gangs) == 319
        assert pods / window == pytest.approx(workload.PODS_PER_S)
        assert asked / (lingjun.devices * window) == pytest.approx(workload.LOAD, rel=1e-3)

    def test_order_of_submission_and_of_run_time_is_that_of_the_trace(self, lingjun: Fabric) -> None:
        """What came later comes later, what ran longer runs longer."""
        runs, gangs = workload.read(TRACE), lingjun.workload().gangs
        assert [gang.at for gang in gangs] == sorted(gang.at for gang in gangs)
        by_trace = sorted(range(len(runs)), key=lambda index: runs[index].duration_s)
        assert [gangs[index].run_s for index in by_trace] == sorted(gang.run_s for gang in gangs)

    def test_every_gang_has_the_devices_of_its_job(self, lingjun: Fabric) -> None:
        """Replicas times devices is what the trace says, on as many nodes."""
        runs, gangs = workload.read(TRACE), lingjun.workload().gangs
        assert [(run.nodes, run.gpus) for run in runs] == [(g.replicas, g.replicas * g.devices) for g in gangs]

    def test_speed_divides_all_times(self, lingjun: Fabric) -> None:
        """Twice as fast: every gap and every run time is half."""
        once, twice = lingjun.workload().gangs, lingjun.workload(speed=2.0).gangs
        assert [gang.at / 2 for gang in once] == pytest.approx([gang.at for gang in twice])
        assert [gang.run_s / 2 for gang in once] == pytest.approx([gang.run_s for gang in twice], abs=0.01)

    def test_fewer_gangs_are_taken_evenly_and_more_than_there_are_refused(self, lingjun: Fabric) -> None:
        """Forty of them reach from the first to near the last; 320 are too many, and the message says how many are."""
        names = [gang.name for gang in lingjun.workload(gangs=40).gangs]
        assert (len(set(names)), names[0]) == (40, "kalos-000")
        assert names[-1] > "kalos-300"
        with pytest.raises(TraceError, match="320 gangs are wanted, the trace has 319; ask for fewer"):
            lingjun.workload(gangs=320)

    def test_only_the_seed_decides_who_is_bound_to_a_domain(self, lingjun: Fabric) -> None:
        """Same seed, same gangs; bound are multi-node gangs only, to the narrowest level that can hold them."""
        made = lingjun.workload().gangs
        assert made == lingjun.workload().gangs
        assert made != lingjun.workload(seed=2).gangs
        bound = [gang for gang in made if gang.level is not None]
        assert {(gang.replicas > 1, gang.level) for gang in bound} == {(True, "leaf"), (True, "spine")}
        assert all((gang.level == "leaf") == (gang.replicas <= 8) for gang in bound)

    def test_a_trace_with_a_mistake_is_refused_with_its_line(self, tmp_path: Path) -> None:
        """The message names file, line and what is needed."""
        path = tmp_path / "trace.csv"
        path.write_text("id,submit_s,duration_s,gpus,nodes\n0,0,10,8,1\n1,5,ten,8,1\n")
        with pytest.raises(TraceError, match=r"trace\.csv:3: .*'ten'; whole numbers are needed"):
            workload.read(path)


class TestLaws:
    def test_a_device_given_twice_is_noticed(self, small: Fabric) -> None:
        """Two gangs on one host: the law is broken, and both are named."""
        board = Board(small)
        hear(board, seen("a", ("n1", "n2")), seen("b", ("n2", "n3")))
        assert board.wrong == ["n2: 8 devices were given to a 8, b 8"]

    def test_devices_of_a_gang_that_has_ended_may_be_given_again(self, small: Fabric) -> None:
        """Its placement stays in its status, and holds nothing any more; nor does one whose placement is gone."""
        board = Board(small)
        hear(board, seen("a", ("n1", "n2")), seen("a", ("n1", "n2"), finished=True), seen("b", ("n2", "n3")))
        hear(board, seen("b"), seen("c", ("n3",)))
        assert (board.wrong, board.devices_held()) == ([], 8)

    def test_devices_of_one_node_may_be_shared_up_to_what_it_has(self, small: Fabric) -> None:
        """Four gangs of two devices fill a node; a fifth is one too many."""
        board = Board(small)
        hear(board, *(seen(name, ("n1",), devices=2) for name in "abcd"))
        assert board.wrong == []
        hear(board, seen("e", ("n1",), devices=2))
        assert board.wrong == ["n1: 8 devices were given to a 2, b 2, c 2, d 2, e 2"]

    def test_a_split_gang_and_one_out_of_its_domain_are_noticed(self, small: Fabric) -> None:
        """Fewer places than replicas; two leaves where one is required."""
        board = Board(small)
        hear(board, seen("a", ("n1",), replicas=2), seen("b", ("n2", "n9"), level="leaf", spans={"leaf": 2}))
        assert board.wrong == [
            "a: 1 of 2 replicas have a place",
            "b: must stay in one leaf, is in 2",
        ]

    def test_pods_are_judged_by_node_and_by_gang(self) -> None:
        """Too many devices asked on one node; a rank that is missing; a rank on another node than the status says."""
        pods = [Member("a", 1, 0, "n1", 8, "Running"), Member("b", 1, 0, "n1", 8, "Running")]
        assert overfull(pods, 8) == ["n1: its pods ask for 16 devices, it has 8"]
        jobs = {"a": seen("a", ("n1", "n2")), "b": seen("b", ("n3",)), "c": seen("c")}
        assert broken(pods, jobs) == [
            "a: 1 of 2 pods are there",
            "b: 1 pods are elsewhere: rank 0 is on n1, the status says n3",
        ]

    def test_a_training_job_is_read_as_it_comes(self) -> None:
        """One that waits, and one that is placed, with its folded nodes."""
        spec = {"replicas": 2, "devicesPerReplica": 8, "topology": {"level": "leaf"}}
        waits = {"metadata": {"name": "x"}, "spec": spec, "status": {"pending": {"reason": "NoPool", "message": "m"}}}
        placed = {"nodes": "h[1-2]", "spans": {"leaf": 1, "node": 2}, "domain": "s/l", "level": "leaf"}
        runs = {"metadata": {"name": "x"}, "spec": spec, "status": {"state": "Running", "placement": placed}}
        assert (project(waits).why, project(waits).holds, project(waits).level) == ("m", False, "leaf")
        assert (project(runs).nodes, project(runs).holds) == (("h1", "h2"), True)


class TestSummary:
    def test_the_smallest_span_fills_the_largest_domains_first(self, lingjun: Fabric) -> None:
        """Eight hosts may share one leaf, nine cannot; 362 fit the largest spine."""
        leaves, spines = lingjun.sizes(1), lingjun.sizes(0)
        assert [summary.smallest(n, leaves) for n in (1, 8, 9, 128)] == [1, 1, 2, 16]
        assert [summary.smallest(n, spines) for n in (362, 363)] == [1, 2]

    def test_it_tells_shares_means_and_waits(self, small: Fabric) -> None:
        """Of two multi-node gangs one is under one leaf; the job on one node counts for the wait only."""
        now = [0.0]
        board = Board(small, clock=lambda: now[0])
        for name, wait in (("a", 0.0), ("b", 2.0), ("c", 4.0)):
            board.submitted(Gang(name, 0.0, 1, 8, 1.0))
            board.times[name].submitted = -wait
        spread = {"spine": 1, "leaf": 2, "node": 2}
        hear(board, seen("a", ("n1", "n2")), seen("b", ("n3", "n5"), spans=spread), seen("c", ("n6",)))
        found = summary.summarize(board, seconds=10.0, most_devices=40)
        assert (found.placed, found.multi_node, found.pods, found.waited) == (3, 2, 5, 2)
        assert (found.wait_median, found.wait_p99) == (2.0, 4.0)
        assert [(s.level, s.under_one, s.could_be_one, s.mean, s.smallest) for s in found.spans] == [
            ("spine", 2, 2, 1.0, 1.0),
            ("leaf", 1, 2, 1.5, 1.0),
        ]
        assert max(map(len, summary.lines(found, 3, small.devices))) <= 78

    def test_without_a_gang_it_says_so(self, small: Fabric) -> None:
        """Interrupted at the very start."""
        found = summary.summarize(Board(small), seconds=0.1, most_devices=0)
        assert summary.lines(found, 319, 128) == ["gangs      0 of 319 submitted, none placed"]


class TestView:
    @pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 30), (160, 50)])
    @pytest.mark.parametrize("colour", [True, False])
    def test_it_fills_the_screen_and_not_more(self, lingjun: Fabric, width: int, height: int, colour: bool) -> None:
        """No line is wider than the screen, no line too many, and runs, waits and reasons are there."""
        board = Board(lingjun)
        hosts = [host.node for host in lingjun.hosts]
        hear(board, *(seen(f"kalos-{n:03}", tuple(hosts[n * 20 : n * 20 + 20])) for n in range(40)))
        hear(
            board,
            *(seen(f"kalos-{n}", why=f"needs {n} nodes; 7 of 847 are free in pool h800") for n in range(100, 160)),
        )
        console = Console(width=width, height=height, file=io.StringIO(), record=True)
        console.print(View(board, 319, "the rule").draw(width, height, colour=colour))
        plain = console.export_text().splitlines()
        assert len(plain) <= height
        assert max(map(len, plain)) <= width
        assert any("40 gangs have a berth" in line for line in plain)
        assert any("60 gangs wait" in line for line in plain)
        assert any("needs 100 nodes; 7 of 847" in line for line in plain)

    def test_every_host_has_one_cell(self, lingjun: Fabric) -> None:
        """As many letters on the map as hosts that gangs hold, and a dot for each of the others."""
        marks = Marks()
        marks.update(["a"])
        held = {host.node: {"a": 8} for host in lingjun.hosts[:100]}
        text = "\n".join(line.plain for line in FabricMap(lingjun).draw(held, marks, 160, blocks=False))
        assert (text.count("A"), text.count("·")) == (100, 747)

    def test_a_mark_belongs_to_one_gang_as_long_as_it_holds(self) -> None:
        """62 symbols go round; who stays keeps his."""
        marks = Marks()
        marks.update(["stays"])
        mine = marks["stays"]
        for number in range(200):
            marks.update([f"g{number}", "stays"])
            assert marks["stays"] == mine
            assert marks[f"g{number}"].symbol != mine.symbol
