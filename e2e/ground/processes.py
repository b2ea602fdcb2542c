"""Child processes that never outlive their owner and are never mistaken for somebody else's.

Each child leads a session of its own, so that a Ctrl-C in the terminal reaches only the owner, who then stops
the children in order; and a signal to the child's group reaches what the child started.

A child dies with its owner, whatever killed the owner (``launch.py``).  That order to the kernel is bound to the
*thread* that forked: a child started from a pool's worker would die when the pool shrinks.  So one thread, which
lives as long as the interpreter, does all the forking (``_Forker``).

A process is identified by its number, its start time in clock ticks and the boot it lives in.  Numbers are
recycled; the triple is not.  ``Identity`` is what the pid files hold.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import asdict, dataclass
from pathlib import Path

from e2e.ground.waiting import until

_LAUNCHER = Path(__file__).with_name("launch.py")
_KILL_S = 10.0


@dataclass(frozen=True, slots=True)
class Identity:
    """A process that can be told from any later one with the same number.

    ``start_ticks`` is the kernel's start time in clock ticks since boot, ``boot`` the boot's random id.
    """

    pid: int
    start_ticks: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> "Identity | None":
        """Identity of the process that has this number now; None when there is none or it is a zombie."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return None
        # The name stands in parentheses and may hold spaces; the fields after it are plain.
        fields = stat.rpartition(")")[2].split()
        if fields[0] in "ZX":
            return None
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return cls(pid=pid, start_ticks=int(fields[19]), boot=boot)

    @classmethod
    def read(cls, path: Path) -> "Identity | None":
        """Identity that a pid file holds; None when there is no such file or it was left half written."""
        try:
            held = json.loads(path.read_text())
            return cls(pid=int(held["pid"]), start_ticks=int(held["start_ticks"]), boot=str(held["boot"]))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def write(self, path: Path) -> None:
        """Write the pid file."""
        path.write_text(json.dumps(asdict(self)) + "\n")

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        return Identity.of(self.pid) == self

    def signal(self, number: signal.Signals, *, group: bool = False) -> None:
        """Send a signal, to nobody when the process is gone."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                (os.killpg if group else os.kill)(self.pid, number)

    def stop(self, *, grace_s: float, group: bool = False) -> bool:
        """SIGTERM, then SIGKILL after ``grace_s``; whether SIGTERM was enough. Works on any process of ours."""
        self.signal(signal.SIGTERM, group=group)
        self.signal(signal.SIGCONT, group=group)
        if _gone(self, grace_s):
            return True
        self.signal(signal.SIGKILL, group=group)
        until(lambda: not self.alive, f"process {self.pid} to end after SIGKILL", timeout_s=_KILL_S)
        return False


class _Forker:
    """The one thread that forks. It ends with the interpreter, never before."""

    def __init__(self) -> None:
        self._orders: queue.SimpleQueue[tuple[Callable[[], None], Future[None]]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def carry_out(self, order: Callable[[], None]) -> None:
        """Have the thread call ``order``; return, or raise what it raised, when it is done."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="forker", daemon=True)
                self._thread.start()
        done: Future[None] = Future()
        self._orders.put((order, done))
        try:
            done.result()
        except (KeyboardInterrupt, SystemExit):
            # The order is carried out all the same; only when it is done does the caller know what to stop.
            wait([done])
            raise

    def _run(self) -> None:
        while True:
            order, done = self._orders.get()
            try:
                order()
            except OSError as error:
                done.set_exception(error)
            else:
                done.set_result(None)


_forker = _Forker()


class ChildError(RuntimeError):
    """A child died when it should live; the message names it and holds the end of its log."""


class Child:
    """One program with its log file and, where asked for, its pid file.

    It may be started again after it was stopped or died; the log is appended to.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        log: Path,
        pid_file: Path | None = None,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.argv = tuple(argv)
        self.log = log
        self._pid_file = pid_file
        self._cwd = cwd
        self._env = env
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"Child({self.name!r}, pid={self.pid}, alive={self.alive})"

    @property
    def pid(self) -> int | None:
        """Process number of the latest start, None before the first one."""
        return None if self._process is None else self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the program runs (a paused one does)."""
        return self._process is not None and self._process.poll() is None

    @property
    def returncode(self) -> int | None:
        """Exit code of the latest start, negative for a signal; None while it runs."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        """Start the program; raise OSError when it cannot be forked. A running one is left alone."""
        if self.alive:
            return
        _forker.carry_out(self._fork)

    def _fork(self) -> None:
        command = [sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid()), *self.argv]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._cwd,
                env=None if self._env is None else dict(self._env),
                start_new_session=True,
            )
        identity = Identity.of(self._process.pid)
        if identity is not None and self._pid_file is not None:
            identity.write(self._pid_file)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program's group, to nobody when it has ended."""
        # A child that was not waited for keeps its number, so this cannot hit another process.
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, number)

    def pause(self) -> None:
        """Freeze the program where it stands."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused program run on."""
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        self._ended(10)

    def stop(self, *, grace_s: float = 10) -> None:
        """SIGTERM, then SIGKILL after ``grace_s`` seconds. Does nothing to one that has ended."""
        self.terminate()
        if not self._ended(grace_s):
            self.kill()

    def terminate(self) -> None:
        """SIGTERM without waiting; a paused program is woken to hear it."""
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)

    def wait(self, timeout_s: float) -> int | None:
        """Exit code, or None when it still runs after ``timeout_s`` seconds."""
        self._ended(timeout_s)
        return self.returncode

    def tail(self, lines: int = 15) -> str:
        """The last lines of the log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def check(self) -> None:
        """Raise ChildError with the end of the log when the program does not run."""
        if not self.alive:
            raise ChildError(f"{self.name} ended with exit code {self.returncode}; end of {self.log}:\n{self.tail()}")

    def _ended(self, timeout_s: float) -> bool:
        if self._process is None:
            return True
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        if self._pid_file is not None:
            self._pid_file.unlink(missing_ok=True)
        return True


def _gone(process: Identity, timeout_s: float) -> bool:
    try:
        return until(lambda: not process.alive, f"process {process.pid} to end", timeout_s=timeout_s)
    except TimeoutError:
        return False
