"""What people read of runs: the terminal's tables, the JSON lines and the page say the same, whole and safely."""

import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import berth
from berth.sim.case import Outage
from berth.sim.quality import Result
from berth.sim.record import Life
from berth.sim.report import html, lines, svg, terminal
from berth.text import width
from tests.running import a_fleet, a_life, a_result, a_stint, a_task

GOLDEN = Path(__file__).parent.parent / "golden"
EVIL = '<script>alert("x")</script>\x1b[31m&amp;'


def results() -> list[Result]:
    """Two policies on two seeds at load 0.6, and one interrupted run at 0.85."""
    found = [_ran(policy, seed) for policy in ("tree-best-fit", "berth") for seed in (1, 2)]
    waiting = a_life(a_task("late", 8, submit=300), waiting="NoRoom")
    cut = a_result(_job("a", 0, (0, 4)), waiting, end=2_000, policy="berth", seed=1, load=0.85, partial=True)
    return [*found, cut]


def _ran(policy: str, seed: int) -> Result:
    crossing = (0, 4) if policy == "tree-best-fit" or seed == 2 else (0, 1)
    outage = Outage("h800", "n7", 500, 1_500)
    first = a_stint((5,), 0, 600, "NodeFailure", lost=60, starting=30)
    lives = (
        _job("gang", 60 * seed, crossing),
        a_life(a_task("retried", tenant="blue"), first, a_stint((6,), 660, 1_200, starting=30, restoring=10)),
        _job("big", 600 * seed, (2, 3), tenant="blue"),
    )
    return a_result(*lives, end=5_000, policy=policy, seed=seed, load=0.6, outages=(outage,), warm_up=0)


def _job(name: str, wait: int, nodes: tuple[int, ...], tenant: str = "red") -> Life:
    return a_life(a_task(name, len(nodes), work=900, tenant=tenant), a_stint(nodes, wait, wait + 1_000, slowed=100))


@pytest.mark.parametrize("columns", [80, 160])
def test_the_summary_is_as_it_was_looked_at(columns: int) -> None:
    """Tables, their columns that fit, and every caveat; to see a change, look at the file's difference."""
    expected = (GOLDEN / f"simulate-{columns}.txt").read_text(encoding="utf-8")
    assert "\n".join(terminal.summary(results(), columns=columns)) + "\n" == expected


@pytest.mark.parametrize("columns", [60, 80, 120, 160])
def test_no_line_is_wider_than_the_terminal(columns: int) -> None:
    """And no escape code is in it without colour."""
    told = terminal.summary(results(), columns=columns)
    assert max(map(width, told)) <= columns
    assert not any("\x1b" in line for line in told)


def test_columns_that_do_not_fit_are_named() -> None:
    """What is left out is said; without a width nothing is."""
    narrow, whole = terminal.summary(results(), columns=80), terminal.summary(results())
    assert any(line.startswith("left out at 80 columns: ") for line in narrow)
    assert not any(line.startswith("left out") for line in whole)
    assert "SLOWDOWN" in "".join(whole)


def test_colour_marks_what_words_say_already() -> None:
    """The same lines, headings and caveats marked."""
    plain, marked = (terminal.summary(results(), columns=80, colour=colour) for colour in (False, True))
    assert plain == [re.sub(r"\x1b\[\d*m", "", line) for line in marked]
    assert any("\x1b" in line for line in marked)


def test_pools_are_told_where_there_are_several() -> None:
    """Each with its own use; a scenario with one pool has no such table."""
    life = a_life(a_task("a"), a_stint((0,), 0, 50, pool="h20"))
    fleets = (a_fleet(), a_fleet("s0\n  l0 8 8", name="h20"))
    told = [line.split() for line in terminal.summary([a_result(life, end=100, fleets=fleets)])]
    assert ["berth", "h800", "64", "0.00", "0.00"] in told
    assert ["berth", "h20", "16", "25.00", "25.00"] in told
    assert ["Pools"] not in [line.split() for line in terminal.summary(results())]


def test_nothing_that_has_ended_is_told_as_nothing() -> None:
    """Interrupted before the first run ended."""
    assert terminal.summary([]) == ["no run has ended: nothing to tell"]


def test_runs_without_jobs_are_told(tmp_path: Path) -> None:
    """No figure about jobs, all devices idle, no crash on any way out."""
    empty = [a_result(end=100), a_result(end=0, seed=2, partial=True)]
    told = "\n".join(terminal.summary(empty, columns=80))
    assert "0 jobs a run" in told
    assert "partial: berth, seed 2" in told
    html.write(tmp_path / "report.html", empty)
    assert "Partial" in (tmp_path / "report.html").read_text(encoding="utf-8")


def written(found: list[Result]) -> list[dict[str, object]]:
    stream = io.StringIO()
    lines.write(stream, found)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_lines_are_a_header_the_jobs_and_a_summary() -> None:
    """Each result in turn; every job with where it sat, by the names of nodes."""
    header, *jobs, summary = written(results()[:1])
    assert (header["kind"], header["policy"], header["berth"]) == ("run", "tree-best-fit", berth.__version__)
    assert header["pools"] == [
        {"devices": 64, "levels": ["spine", "leaf"], "name": "h800", "nodes": 8, "resource": "nvidia.com/gpu"}
    ]
    assert [job["name"] for job in jobs] == ["gang", "retried", "big"]
    attempts = jobs[1]["attempts"]
    assert isinstance(attempts, list)
    assert [(a["nodes"], a["cause"], a["seconds"]["lost"]) for a in attempts] == [
        (["n5"], "NodeFailure", 60),
        (["n6"], "Succeeded", 0),
    ]
    assert summary["kind"] == "summary"
    pools = summary["pools"]
    assert isinstance(pools, list)
    assert sum(pools[0]["buckets"].values()) == 64 * 5_000


def test_the_same_results_give_the_same_bytes(tmp_path: Path) -> None:
    """Keys in order, no time of day; lines and page."""
    first, second = io.StringIO(), io.StringIO()
    lines.write(first, results())
    lines.write(second, results())
    assert first.getvalue() == second.getvalue()
    for name in ("a", "b"):
        html.write(tmp_path / name, results())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_partial_run_says_so_everywhere(tmp_path: Path) -> None:
    """In the terminal, in the lines' header and summary, on the page."""
    cut = results()[-1:]
    assert any(line.startswith("partial: berth, seed 1, interrupted at 33m") for line in terminal.summary(cut))
    header, *_, summary = written(cut)
    assert (header["partial"], summary["partial"]) == (True, True)
    html.write(tmp_path / "report.html", cut)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "a run was interrupted" in page
    assert "partial: berth, seed 1, interrupted at 33m" in page
    assert "lower bounds" in page


class Seen(HTMLParser):
    """What a browser would meet: elements that were not closed, texts, addresses, ids."""

    VOID = frozenset({"meta", "br", "link", "img"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.texts: list[str] = []
        self.addresses: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_startendtag(self, tag: str, _attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_page_is_whole_and_fetches_nothing(tmp_path: Path) -> None:
    """Every element is closed, every address is on the page, no coordinate is missing."""
    html.write(tmp_path / "report.html", results())
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    seen = Seen(page)
    assert seen.open == []
    assert {"svg", "table", "style"} <= seen.tags
    assert not {"script", "link", "img", "iframe"} & seen.tags
    assert all(address.startswith("#s") for address in seen.addresses)
    assert not re.search(r"url\(|@import|https?:|\b(nan|inf)\b", page)
    assert "Work lost by cause, device-hours a run" in seen.texts
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_what_users_wrote_cannot_become_a_part_of_the_page(tmp_path: Path) -> None:
    """Names of scenarios, tenants, jobs and nodes; control characters are gone."""
    life = a_life(a_task(EVIL, tenant=EVIL), a_stint((0,), 0, 50))
    found = [a_result(life, a_life(a_task("b", tenant="other", submit=5)), end=100, name=EVIL)]
    html.write(tmp_path / "report.html", found)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "\x1b" not in page
    assert "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;" in page
    assert not any("\x1b" in line for line in terminal.summary(found, columns=100))


def test_a_page_that_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    """Nothing is half written: the target is a folder here."""
    (tmp_path / "report.html").mkdir()
    with pytest.raises(OSError, match=re.escape("report.html")):
        html.write(tmp_path / "report.html", results())
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    ("high", "expected"),
    [(0, [0, 1]), (1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]), (7, [0, 2, 4, 6, 8]), (100, [0, 20, 40, 60, 80, 100])],
)
def test_ticks_are_round_and_reach_beyond(high: float, expected: list[float]) -> None:
    """Steps of 1, 2 or 5 times a power of ten."""
    assert svg.ticks(high) == pytest.approx(expected)


@pytest.mark.parametrize(("end", "step"), [(10, 2), (3_600, 900), (86_400, 6 * 3_600), (60 * 86_400, 10 * 86_400)])
def test_times_are_at_round_moments(end: int, step: int) -> None:
    """Six steps or fewer, and none beyond the run."""
    assert svg.times(end) == list(range(0, end + 1, step))


def test_a_logarithmic_scale_begins_at_nothing() -> None:
    """0 at its start, the most at its end, and growing between."""
    scale = svg.logarithmic(86_400, 100, 300)
    places = [scale(value) for value in (0, 10, 60, 3_600, 86_400)]
    assert (places[0], places[-1]) == pytest.approx((100, 300))
    assert places == sorted(set(places))


def test_long_names_keep_their_ends() -> None:
    """Which is where they differ."""
    assert svg.shortened("h800-spine-1-leaf-2-node-3", 11) == "h800-…ode-3"
    assert svg.shortened("short", 11) == "short"
