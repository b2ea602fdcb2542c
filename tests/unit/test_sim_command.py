"""`berth simulate`: the same bytes for the same seed, files whole or not at all, an end on request, wrong usage."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from berth.cli.commands import plugin
from berth.cli.files import whole
from tests.unit.test_sim_scenario_mistakes import LISTED, SCENARIO

ROOT = Path(__file__).parents[2]
LONG = SCENARIO.replace("jobs: 10", "jobs: 6000").replace("fixed: 1h", "exponential: 1h")
QUEUE = LISTED.replace("load: 0.8\n", "").replace("replicas: 3", "replicas: 15")


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    """Ten drawn jobs, two policies, two seeds."""
    path = tmp_path / "s.yaml"
    path.write_text(SCENARIO + "policies: [berth, random]\nseeds: 2\n")
    return path


def simulate(*words: str | Path) -> Result:
    """Run the command in this process."""
    return CliRunner(env={"COLUMNS": "100"}).invoke(plugin, ["simulate", *map(str, words)])


def test_the_same_seed_gives_the_same_bytes(scenario: Path, tmp_path: Path) -> None:
    """In one process or in two, from one run of the program to the next."""
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    assert simulate(scenario, "--json", one).exit_code == 0
    assert simulate(scenario, "--json", two, "-j", "2").exit_code == 0
    assert one.read_bytes() == two.read_bytes()
    heads = [json.loads(line) for line in one.read_text().splitlines() if '"kind":"run"' in line]
    assert [(head["policy"], head["seed"], head["partial"]) for head in heads] == [
        ("berth", 1, False),
        ("random", 1, False),
        ("berth", 2, False),
        ("random", 2, False),
    ]


def test_what_is_printed_is_the_same_with_files_and_without(scenario: Path, tmp_path: Path) -> None:
    """Where nobody asks for single jobs they are not kept, in one process or in two."""
    whole_ = simulate(scenario, "--json", tmp_path / "x").stdout.splitlines()[:-1]
    assert len(whole_) > 10
    assert simulate(scenario).stdout.splitlines() == whole_
    assert simulate(scenario, "-j", "2").stdout.splitlines() == whole_


def test_what_is_printed_is_a_table_or_the_lines(scenario: Path) -> None:
    """With `-o json` nothing else is on stdout; progress is silent where stderr is no terminal."""
    table = simulate(scenario, "--policy", "berth", "--seeds", "1")
    assert (table.exit_code, table.stderr) == (0, "")
    assert table.stdout.startswith("s, load 0.8\n")
    lines = simulate(scenario, "--policy", "berth", "--load", "0.5", "-o", "json")
    assert {json.loads(line)["kind"] for line in lines.stdout.splitlines()} == {"run", "job", "summary"}
    told = simulate(scenario, "--seeds", "1", "--progress")
    assert told.exit_code == 0


def test_a_directory_gets_the_report_and_the_lines(scenario: Path, tmp_path: Path) -> None:
    """And nothing besides: no half file is left."""
    out = tmp_path / "made" / "here"
    done = simulate(scenario, "--out", out, "--seeds", "1")
    assert done.exit_code == 0
    assert sorted(path.name for path in out.iterdir()) == ["report.html", "results.jsonl"]
    assert f"written: {out / 'report.html'}" in done.stdout
    assert (out / "report.html").read_text().lower().startswith("<!doctype html>")


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    """An error in the middle leaves what was there, and nothing beside it."""
    path = tmp_path / "x"
    path.write_text("before")

    def write() -> None:
        with whole(path) as beside:
            beside.write_text("half")
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        write()
    assert (path.read_text(), list(tmp_path.iterdir())) == ("before", [path])


def test_files_that_cannot_be_written_are_told_before_anything_is_played(tmp_path: Path) -> None:
    """A directory that is not there, a directory for a file."""
    path = tmp_path / "s.yaml"
    path.write_text(LONG)
    gone = simulate(path, "--json", tmp_path / "none" / "x")
    text = f"--json {tmp_path}/none/x: there is no directory {tmp_path}/none; create it, or correct the path"
    assert (gone.exit_code, gone.stderr) == (1, f"Error: {text}\n")
    assert simulate(path, "--html", tmp_path).stderr.endswith("is a directory; name a file in it\n")


def test_mistakes_of_a_scenario_end_with_1(tmp_path: Path) -> None:
    """All of them, behind how many there are."""
    path = tmp_path / "s.yaml"
    path.write_text(SCENARIO.replace("load: 0.8", "load: -1\nwarmup: 3"))
    done = simulate(path)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        "Error: 2 problems",
        f"{path}:15: load: -1: must be more than 0",
        f"{path}:16: warmup: there is no such field; did you mean warmUp?",
    ]
    path.write_text(SCENARIO)
    unknown = simulate(path, "--policy", "berht")
    assert unknown.stderr.startswith(f"Error: {path}: --policy berht: there is no such policy; did you mean berth?")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_signal_leaves_a_valid_partial_result(
    tmp_path: Path, number: signal.Signals, code: int, processes: str
) -> None:
    """What was played until then is written, and says that it is partial."""
    (tmp_path / "s.yaml").write_text(LONG + "seeds: 2\n")
    command = [sys.executable, "-m", "berth", "simulate", "s.yaml", "--json", "out", "--progress", "-j", processes]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "operator")}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stderr is not None
        assert "jobs ended" in running.stderr.readline()
        time.sleep(0.3)
        running.send_signal(number)
        out, err = running.communicate(timeout=100)
    assert running.returncode == code, err
    assert "interrupted: " in err.splitlines()[-1]
    assert "artial" in out
    heads = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert {head["partial"] for head in heads if head["kind"] == "run"} == {True}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "s.yaml"]


def test_a_job_of_the_queue_is_asked_about(tmp_path: Path) -> None:
    """As it is, and as it would be; whom that would put off; the same as JSON."""
    path = tmp_path / "now.yaml"
    path.write_text(QUEUE + 'at: "2026-11-22T10:00:00Z"\n')
    done = simulate(path, "--job", "y", "--replicas", "14", "--set", "job=a/y,replicas=2,level=leaf")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "a/y, played forward by Berth's own rules:"
    assert lines[4].split("  ")[0] == "starts"
    assert "in 23h (2026-11-23T09:00:00Z)" in lines[4]
    assert "now (2026-11-22T10:00:00Z)" in lines[4]
    as_it_is, fewer = json.loads(simulate(path, "--job", "y", "--replicas", "14", "-o", "json").stdout)
    assert (as_it_is["startsIn"], fewer["startsIn"]) == (23 * 3600, 0)
    assert (as_it_is["spans"]["spine"], as_it_is["replicas"], fewer["replicas"]) == (2, 15, 14)


def test_who_would_be_put_off_is_named(tmp_path: Path) -> None:
    """The other jobs whose start moves, with by how much at most."""
    document = yaml.safe_load(QUEUE)
    document["workload"]["jobs"].append({"name": "b/z", "replicas": 4, "devices": 8, "submit": "-1m"})
    document["workload"]["jobs"][1]["submit"] = "-1h"
    path = tmp_path / "now.yaml"
    path.write_text(yaml.safe_dump(document))
    done = simulate(path, "--job", "a/y", "--replicas", "14", "-o", "json")
    as_it_is, fewer = json.loads(done.stdout)
    assert as_it_is["othersLater"] == {}
    assert fewer["othersLater"].keys() | fewer["othersEarlier"].keys() == {"b/z"}


QUESTIONS = {
    "a job that is not there": (["--job", "x/y"], "'x/y': there is no such job; did you mean a/y?"),
    "a job that has its devices": (["--job", "x"], "a/x has its devices already; ask about a job that waits"),
    "no such field": (
        ["--set", "job=y,replcas=2"],
        (
            "--set 'replcas': there is no such field; did you mean replicas? there are replicas, devices, pools, "
            "level, policy, priority, maxDuration, work"
        ),
    ),
    "nothing to change": (
        ["--set", "job=y"],
        "--set 'job=y': must name a job and what would be otherwise, such as job=NAME,replicas=24",
    ),
    "two jobs": (["--job", "y", "--set", "job=a/x,replicas=2"], "y, a/x: ask about one job at a time"),
    "a value that is none": (
        ["--set", "job=y,replicas=0"],
        "y with replicas 0: workload.jobs[1].replicas: 0: must be at least 1",
    ),
}


@pytest.mark.parametrize(("words", "text"), QUESTIONS.values(), ids=QUESTIONS.keys())
def test_a_question_that_has_no_answer_is_told(words: list[str], text: str, tmp_path: Path) -> None:
    """What is wrong, and what there is."""
    path = tmp_path / "now.yaml"
    path.write_text(QUEUE)
    done = simulate(path, *words)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.replace(f"{path}: ", "") == f"Error: {text}\n"


USAGE = {
    "nothing to play": [],
    "a file and the cluster": ["s.yaml", "--from-cluster"],
    "replicas of nobody": ["s.yaml", "--replicas", "2"],
    "a namespace for a file": ["s.yaml", "-n", "x"],
    "policies for the cluster": ["--from-cluster", "--policy", "random"],
    "a report of a question": ["s.yaml", "--job", "x", "--html", "y"],
    "a load of nothing": ["s.yaml", "--load", "0"],
    "no seed": ["s.yaml", "--seeds", "0"],
}


@pytest.mark.parametrize("words", USAGE.values(), ids=USAGE.keys())
def test_wrong_usage_ends_with_2(words: list[str]) -> None:
    """Before anything is read."""
    assert simulate(*words).exit_code == 2
