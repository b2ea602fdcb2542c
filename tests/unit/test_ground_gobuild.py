"""Builds end in a whole program or in none, whoever else builds and however they end.

The compiler is a small program of the tests' own, which does what ``go`` does as far as a build can see.
"""

import io
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from e2e.ground.gobuild import BuildError, build, go_command, go_mod, source_directory
from e2e.ground.progress import Progress
from e2e.ground.versions import Module

_ROOT = Path(__file__).resolve().parents[2]
_GO = """#!/bin/sh
case "$1" in
env) echo "${TEST_GO_VERSION:-go1.26.1}" ;;
mod) echo "go: downloading something" >&2; printf '{\\n\\t"Dir": "%s"\\n}\\n' "$TEST_SOURCE" ;;
build)
  echo started >> "$TEST_SOURCE/builds"
  echo "$*" > "$TEST_SOURCE/arguments"
  if [ -f main.go ]; then cp main.go "$TEST_SOURCE/built.go"; fi
  echo compiling/it
  sleep "${TEST_SECONDS:-0}"
  if [ -n "$TEST_BREAKS" ]; then echo "it.go:1: syntax error"; exit 1; fi
  while [ "$1" != -o ]; do shift; done
  case "$2" in */) for p in one two; do echo program > "$2$p"; done ;; *) echo program > "$2" ;; esac ;;
esac
"""


def module(*names: str) -> Module:
    """A module with these programs and one file that is needed at run time."""
    return Module(
        key="thing",
        path="example.com/thing",
        version="v1.0.0",
        packages={name: f"example.com/thing/cmd/{name}" for name in names},
        minimum=(1, 0),
        exclusive_maximum=(2, 0),
        cold_build_s=1,
        files={"conf/stage.yaml": "stage.yaml"},
    )


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The module's source, as it would be in Go's module cache."""
    directory = tmp_path / "source"
    (directory / "conf").mkdir(parents=True)
    (directory / "go.mod").write_text("module example.com/thing\n")
    (directory / "conf" / "stage.yaml").write_text("a: stage\n")
    return directory


@pytest.fixture
def environ(tmp_path: Path, source: Path) -> dict[str, str]:
    """An environment whose ``go`` is the tests' own."""
    go = tmp_path / "go-bin" / "go"
    go.parent.mkdir()
    go.write_text(_GO)
    go.chmod(0o755)
    return {"PATH": f"{go.parent}:{os.environ['PATH']}", "TEST_SOURCE": str(source)}


def builds(source: Path) -> int:
    """How often the compiler was started."""
    log = source / "builds"
    return len(log.read_text().splitlines()) if log.exists() else 0


def entries(directory: Path) -> list[str]:
    """Names in a directory and, for hidden ones, beside it."""
    return sorted(
        path.name for path in (*directory.iterdir(), *directory.parent.glob(".*")) if path.name[-5:] != ".lock"
    )


def test_programs_and_files_are_put_in_place(tmp_path: Path, source: Path, environ: dict[str, str]) -> None:
    """One go build makes all the missing programs; nothing temporary is left."""
    target = tmp_path / "bin" / "thing"
    said = io.StringIO()

    made = build(module("one", "two"), ["two", "one"], target, environ=environ, progress=Progress(said))

    assert made == ("one", "two")
    assert entries(target) == ["one", "stage.yaml", "two"]
    assert builds(source) == 1
    assert said.getvalue().startswith("thing v1.0.0: building one, two, about 1 s")


def test_a_program_of_our_own_is_built_with_its_tags(tmp_path: Path, source: Path, environ: dict[str, str]) -> None:
    """Where a module's own program is too much, ours stands in the main module and takes what it needs."""
    own = replace(module("one"), packages={"one": "."}, main="package main\n", tags=("no_this", "no_that"))

    build(own, ["one"], tmp_path / "bin" / "thing", environ=environ, progress=Progress(io.StringIO()))

    assert (source / "built.go").read_text() == "package main\n"
    assert "-tags no_this,no_that" in (source / "arguments").read_text()
    assert (source / "arguments").read_text().split()[-1] == "."


def test_the_source_of_a_module_is_where_go_says(source: Path, environ: dict[str, str]) -> None:
    """What go tells of its downloads is not taken for the answer."""
    assert source_directory(module(), environ=environ) == source


def test_what_is_there_is_never_built_again(tmp_path: Path, source: Path, environ: dict[str, str]) -> None:
    """A second build does nothing."""
    target = tmp_path / "bin" / "thing"
    build(module("one"), ["one"], target, environ=environ, progress=Progress(io.StringIO()))

    assert build(module("one"), ["one"], target, environ=environ, progress=Progress(io.StringIO())) == ()
    assert builds(source) == 1


def test_a_failed_build_leaves_nothing_and_shows_the_end_of_the_output(tmp_path: Path, environ: dict[str, str]) -> None:
    """The error holds what the compiler said."""
    target = tmp_path / "bin" / "thing"

    with pytest.raises(BuildError, match=r"(?s)go build for example.com/thing v1.0.0 .* exit code 1.*syntax error"):
        build(
            module("one"), ["one"], target, environ={**environ, "TEST_BREAKS": "yes"}, progress=Progress(io.StringIO())
        )

    assert entries(target) == []


def test_two_builders_build_once(tmp_path: Path, source: Path, environ: dict[str, str]) -> None:
    """The second waits, says so, and finds the result of the first."""
    target = tmp_path / "bin" / "thing"
    slow = {**environ, "TEST_SECONDS": "1"}
    said = [io.StringIO(), io.StringIO()]
    made: list[tuple[str, ...]] = []

    def run(output: io.StringIO) -> None:
        made.append(build(module("one"), ["one"], target, environ=slow, progress=Progress(output)))

    builders = [threading.Thread(target=run, args=(output,)) for output in said]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join()

    assert sorted(made) == [(), ("one",)]
    assert builds(source) == 1
    assert sum("waiting for another process" in output.getvalue() for output in said) == 1


def test_a_killed_build_leaves_no_half_program_and_no_lock(
    tmp_path: Path, source: Path, environ: dict[str, str]
) -> None:
    """After a SIGKILL in the middle nothing is in the cache, the compiler is gone, and the next build succeeds."""
    target = tmp_path / "bin" / "thing"
    script = (
        "import sys; from pathlib import Path; from tests.unit.test_ground_gobuild import *;"
        "build(module('one'), ['one'], Path(sys.argv[1]), environ=dict(os.environ), progress=Progress())"
    )
    builder = subprocess.Popen(
        [sys.executable, "-c", script, str(target)],
        cwd=_ROOT,
        env={**os.environ, **environ, "TEST_SECONDS": "60", "PYTHONPATH": f"{_ROOT}:{_ROOT / 'operator'}"},
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 20
    while builds(source) == 0 and time.monotonic() < deadline:
        time.sleep(0.05)
    builder.send_signal(signal.SIGKILL)
    builder.wait(10)

    assert [path.name for path in target.iterdir()] == []
    build(module("one"), ["one"], target, environ=environ, progress=Progress(io.StringIO()))
    assert entries(target) == ["one", "stage.yaml"]


def test_an_old_go_is_named_with_the_remedy(environ: dict[str, str]) -> None:
    """The error tells the version found and the one needed."""
    with pytest.raises(BuildError, match=r"go is go1.24.9, older than 1.26; install Go >= 1.26"):
        go_command({**environ, "TEST_GO_VERSION": "go1.24.9"})


def test_replacements_by_directories_become_published_modules() -> None:
    """A main module that requires Kubernetes names a version for each part that Kubernetes takes from its tree."""
    own = (
        "module k\n\nreplace (\n\tk8s.io/api => ./staging/src/k8s.io/api\n\texample.com/x => example.com/y v1.0.0\n)\n"
    )
    staged = Module(
        key="k",
        path="k8s.io/kubernetes",
        version="v1.36.3",
        packages={},
        minimum=(1, 36),
        exclusive_maximum=(1, 37),
        cold_build_s=1,
        staging="v0.36.3",
    )

    made = go_mod(staged, own)

    assert "require k8s.io/kubernetes v1.36.3" in made
    assert "\tk8s.io/api => k8s.io/api v0.36.3" in made
    assert "example.com" not in made
