"""The doctor of the kind suite: what it tries, what it says, and what CI makes of it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from e2e.ground.doctor import Finding
from e2e.images.berth import ROOT
from e2e.kind import doctor, trial

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it makes groups and namespaces")


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    """Findings by what was checked."""
    return {finding.what: finding for finding in findings}


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    """A machine without Docker, Go and anything that was built before."""
    (tmp_path / "cache").mkdir()
    return {"PATH": str(tmp_path / "bin"), "BERTH_CACHE": str(tmp_path / "cache"), **more}


def docker(tmp_path: Path, images: str = "exit 1") -> None:
    """A Docker of the user's that answers; `images` is what becomes of questions for an image."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "docker"
    program.write_text(f"#!/bin/sh\ncase $1 in version) echo 27.0;; image) {images};; esac\n")
    program.chmod(0o755)


def test_what_is_essential_decides(tmp_path: Path) -> None:
    """Programs can be built and an image can be made, so they are notes; without apt or a Go that fits they cannot."""
    found = doctor.examine(environment(tmp_path))
    told = by_name(found)
    assert (told["docker"].ok, told["docker"].essential) == (False, False)
    assert (told["programs"].ok, told["programs"].essential) == (False, False)
    assert (told["go"].ok, told["go"].essential) == (False, True)
    assert {"go", "apt"} <= by_name(doctor.lacking(found)).keys()
    assert told["programs"] not in doctor.lacking(found)


def test_with_somebodys_docker_the_kernel_is_his_affair(tmp_path: Path) -> None:
    """Nothing of ours is started then, so root, mounts, groups and links are not asked for."""
    docker(tmp_path)
    told = by_name(doctor.examine(environment(tmp_path)))
    assert told["docker"].detail == "27.0 (was there)"
    assert told.keys().isdisjoint({"root", "mounts", "cgroups", "links", "firewall"})


def test_a_node_image_that_is_there_needs_fewer_programs(tmp_path: Path) -> None:
    """What is in the image need not be built; what talks to the cluster has to be."""
    docker(tmp_path, images="exit 0")
    told = by_name(doctor.examine(environment(tmp_path)))
    assert told["node image"].ok
    assert told["programs"].detail == "not built yet: kind, kubectl, helm"


def test_a_node_image_that_is_pulled_needs_neither_packages_nor_programs(tmp_path: Path) -> None:
    """BERTH_KIND_STOCK=1: nothing of a node is made here."""
    docker(tmp_path)
    told = by_name(doctor.examine(environment(tmp_path, BERTH_KIND_STOCK="1")))
    assert told.keys().isdisjoint({"apt", "node image"})
    assert told["programs"].detail == "not built yet: kind, kubectl, helm"


@pytest.mark.parametrize(
    ("files", "detail"),
    [
        pytest.param({"cgroup.controllers": "cpu memory\n"}, "version 2 at {}, without pids", id="version 2"),
        pytest.param(
            {f"{name}/tasks": "" for name in ("cpu", "memory", "pids", "devices")},
            "version 1 at {}, without freezer",
            id="version 1",
        ),
        pytest.param({}, "version 1 at {}, without cpu, memory, pids, devices, freezer", id="nothing is mounted"),
    ],
)
def test_controllers_that_are_missing_are_named(tmp_path: Path, files: dict[str, str], detail: str) -> None:
    """With where it was looked."""
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    found = doctor._cgroups(tmp_path)
    assert (found.ok, found.detail) == (False, detail.format(tmp_path))


def test_controllers_that_make_no_group_are_told(tmp_path: Path) -> None:
    """They may be mounted read-only, which no list shows: a group is made in each, and what refuses is named."""
    for name in ("cpu", "memory", "pids", "devices", "freezer"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tasks").touch()
    assert doctor._cgroups(tmp_path).ok
    assert trial.refused("groups", str(tmp_path / "cpu"), str(tmp_path / "gone")) == "No such file or directory"


@root_only
def test_what_the_kernel_refuses_is_said_in_its_words(tmp_path: Path) -> None:
    """No overlay can be mounted in a directory where no directory can be made."""
    assert trial.refused("mounts", "/proc") != ""
    assert trial.refused("rules", "/bin/false").startswith(("iptables -N TRIAL", "unshare"))


@root_only
def test_a_trial_leaves_nothing_behind(tmp_path: Path) -> None:
    """Whether it was let through or not: no directory, no mount, no link."""
    assert trial.refused("mounts", str(tmp_path)) in {"", "mount overlay: Invalid argument"}
    trial.refused("links")
    assert "berth-trial" not in Path("/proc/mounts").read_text()
    assert list(Path("/sys/class/net").glob("trial-*")) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("ends", "code", "asked", "said"),
    [
        pytest.param({}, 0, ["make test", "doctor", "make e2e"], "", id="kind can start"),
        pytest.param({"e2e": 1}, 1, ["make test", "doctor", "make e2e"], "", id="a red suite is red"),
        pytest.param({"doctor": 3}, 0, ["make test", "doctor"], "LEFT OUT: make e2e", id="kind cannot start"),
        pytest.param({"doctor": 1}, 1, ["make test", "doctor"], "ended with 1", id="the doctor is broken"),
        pytest.param({"test": 2}, 2, ["make test"], "", id="tests that fail end it"),
        pytest.param({"patience": 0}, 0, ["make test"], "LEFT OUT: make e2e", id="a machine that is too slow"),
    ],
)
def test_ci_runs_the_suite_where_kind_can_start(
    tmp_path: Path, ends: dict[str, int], code: int, asked: list[str], said: str
) -> None:
    """The script of CI, with a `make` and a Python that note what they are asked for and end as they are told."""
    clone = tmp_path / "clone"
    (clone / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "run", clone / ".ci" / "run")
    slow = f'[ "$1" = test ] && sleep {SLOW if "patience" in ends else 0}'
    stand_in(clone / "bin" / "make", f'echo "make $1" >> {tmp_path}/asked\n{slow}\n', ends)
    stand_in(clone / ".venv" / "bin" / "python", f'echo "$3" >> {tmp_path}/asked\nset -- doctor\n', ends)
    environ = {"PATH": f"{clone / 'bin'}:/usr/bin:/bin"}
    if "patience" in ends:
        environ["BERTH_CI_ENOUGH_MINUTES"] = "0"

    done = subprocess.run([clone / ".ci" / "run"], env=environ, capture_output=True, text=True, check=False)

    assert (done.returncode, (tmp_path / "asked").read_text().splitlines()) == (code, asked), done.stderr
    assert said in done.stdout + done.stderr


SLOW = 1.1
"""Seconds that the `make test` of these cases takes: more than no minutes."""


def stand_in(path: Path, does: str, ends: dict[str, int]) -> None:
    """A program that does something, and ends as `ends` says of its first argument."""
    cases = " ".join(f"{name}) exit {code};;" for name, code in ends.items())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{does}\ncase $1 in {cases or 'none) exit 0;;'} esac\n")
    path.chmod(0o755)
