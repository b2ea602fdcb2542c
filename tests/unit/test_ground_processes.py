"""Children that die with their owner, and processes that are not mistaken for others."""

import os
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from e2e.ground import ports
from e2e.ground.processes import Child, ChildError, Identity
from e2e.ground.waiting import until

_ROOT = Path(__file__).resolve().parents[2]
_DEAF = "trap '' TERM; echo ready; while :; do sleep 0.1; done"


def shell(tmp_path: Path, script: str, name: str = "child") -> Child:
    """A child that runs a shell script."""
    return Child(name, ["/bin/sh", "-c", script], log=tmp_path / f"{name}.log", pid_file=tmp_path / f"{name}.pid")


def test_a_child_runs_in_a_session_of_its_own_and_stops_on_sigterm(tmp_path: Path) -> None:
    """Ctrl-C in the terminal does not reach it; its pid file names it while it runs."""
    child = shell(tmp_path, "exec sleep 60")
    child.start()
    assert child.pid is not None
    assert os.getsid(child.pid) == child.pid
    assert Identity.read(tmp_path / "child.pid") == Identity.of(child.pid)

    child.stop(grace_s=10)

    assert child.returncode == -signal.SIGTERM
    assert not (tmp_path / "child.pid").exists()


def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    """The wait is bounded."""
    child = shell(tmp_path, _DEAF)
    child.start()
    until(lambda: "ready" in child.tail(), "the script", timeout_s=10)

    child.stop(grace_s=0.3)

    assert child.returncode == -signal.SIGKILL


def test_a_paused_child_can_be_stopped(tmp_path: Path) -> None:
    """It is woken to hear SIGTERM."""
    child = shell(tmp_path, "exec sleep 60")
    child.start()
    child.pause()

    child.stop(grace_s=10)

    assert child.returncode == -signal.SIGTERM


def test_a_dead_child_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    """The error names it, its exit code and its last words."""
    child = shell(tmp_path, "echo what went wrong >&2; exit 3")
    child.start()
    child.wait(10)

    with pytest.raises(ChildError, match=r"(?s)child ended with exit code 3.*what went wrong"):
        child.check()


def test_a_program_that_is_not_there_is_told(tmp_path: Path) -> None:
    """Its log says which."""
    child = Child("none", ["/no/such/program"], log=tmp_path / "none.log")
    child.start()
    child.wait(10)

    with pytest.raises(ChildError, match=r"/no/such/program: No such file or directory"):
        child.check()


def test_a_child_may_be_started_again(tmp_path: Path) -> None:
    """It is another process, and its log goes on."""
    child = shell(tmp_path, "echo again; exec sleep 60")
    child.start()
    first = child.pid
    until(lambda: child.tail() == "again", "the first start", timeout_s=10)
    child.kill()

    child.start()

    until(lambda: child.tail() == "again\nagain", "the second start", timeout_s=10)
    assert child.alive
    assert child.pid != first
    child.stop()


def test_a_child_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    """The kernel's order to die with the parent is bound to a thread; it must not be a passing one."""
    child = shell(tmp_path, "exec sleep 60")
    starter = threading.Thread(target=child.start)
    starter.start()
    starter.join()

    assert child.wait(0.5) is None
    child.stop()


def test_a_child_dies_with_its_killed_owner(tmp_path: Path) -> None:
    """Also when the owner had no chance to do anything about it, and the child ignores SIGTERM."""
    script = (
        "import sys, time; from pathlib import Path; from tests.unit.test_ground_processes import *;"
        "child = shell(Path(sys.argv[1]), _DEAF); child.start(); time.sleep(60)"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", script.replace("_DEAF", repr(_DEAF)), str(tmp_path)],
        cwd=_ROOT,
        env={**os.environ, "PYTHONPATH": f"{_ROOT}:{_ROOT / 'operator'}"},
    )
    until(
        lambda: (tmp_path / "child.log").exists() and "ready" in (tmp_path / "child.log").read_text(),
        "it",
        timeout_s=20,
    )
    orphan = Identity.read(tmp_path / "child.pid")
    assert orphan is not None
    assert orphan.alive

    owner.kill()
    owner.wait(10)

    until(lambda: not orphan.alive, "the child to die", timeout_s=10)


def test_a_recycled_number_is_another_process() -> None:
    """Same number, other start time or other boot: not alive, and no signal is sent."""
    mine = Identity.of(os.getpid())
    assert mine is not None
    assert mine.alive

    for other in (replace(mine, start_ticks=mine.start_ticks - 1), replace(mine, boot="another")):
        assert not other.alive
        other.signal(signal.SIGKILL)


def test_a_half_written_pid_file_names_nobody(tmp_path: Path) -> None:
    """Neither does a missing one."""
    path = tmp_path / "x.pid"
    assert Identity.read(path) is None
    path.write_text('{"pid": 1')
    assert Identity.read(path) is None


def test_free_ports_are_free_and_differ() -> None:
    """Two calls never give the same port."""
    first, second = ports.assign(["a", "b"]), ports.assign(["a", "b"])

    given = [*first.values(), *second.values()]
    assert len(set(given)) == 4
    assert all(ports.is_free(port) for port in given)


def test_a_taken_port_is_named() -> None:
    """The error says which program would have used it, and what to do."""
    base, port = ports.assign(["a", "b"]).values()
    told = rf"port {port} \(for b\) is taken; stop what listens there"

    with socket.create_server((ports.LOOPBACK, port)), pytest.raises(ports.PortTakenError, match=told):
        ports.assign(["a", "b"], base=port - 1)

    assert ports.is_free(base)


@pytest.mark.parametrize("base", [0, -1, 65_535, 70_000])
def test_a_port_out_of_range_is_refused(base: int) -> None:
    """All of the ports must exist."""
    with pytest.raises(ValueError, match=rf"port {base}: choose one between 1 and 65534"):
        ports.assign(["a", "b"], base=base)


def test_waiting_ends_with_what_was_waited_for() -> None:
    """Time comes from the clock that is given, and the first true result is returned."""
    now = [0.0]
    results = iter([0, 0, 7])

    def sleep(seconds: float) -> None:
        now[0] += seconds

    found = until(lambda: next(results), "seven", timeout_s=10, poll_s=4, clock=lambda: now[0], sleep=sleep)
    assert (found, now[0]) == (7, 8.0)
    with pytest.raises(TimeoutError, match="waited 10 s for the end of time"):
        until(lambda: False, "the end of time", timeout_s=10, poll_s=4, clock=lambda: now[0], sleep=sleep)
