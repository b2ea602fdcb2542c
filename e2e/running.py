"""The operator as a process of its own, to be started, watched, frozen, killed and started again.

It runs ``python -m berth run`` of this work tree, as a deployment would: a settings file, a kubeconfig, a log of JSON
lines. It listens on a free port of loopback and its log says on which. It dies with the process that started it
(``e2e.ground.processes``).
"""

import http.client
import json
import os
import signal
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from e2e.ground.processes import Child
from e2e.ground.waiting import until

_ROOT = Path(__file__).resolve().parents[1]
_REQUEST_S = 10.0
_POLL_S = 0.02


class OperatorProcess:
    """One operator; ``directory`` gets its settings file and its log, which is appended to by every start.

    It has a Lease of its own unless ``settings`` name one. ``settings`` are those of the settings file, in its spelling
    (``{"mode": "Observe", "auditSeconds": 1}``). With ``tree`` it imports from that directory and the standard library
    alone, as in an image. ``source`` is a source root, such as `operator/` of another commit, in place of this work
    tree's. As a context manager it is started, and with ``wait`` waited for until
    it is ready.
    """

    def __init__(
        self,
        kubeconfig: Path,
        directory: Path,
        *,
        settings: Mapping[str, Any] | None = None,
        log_level: str = "info",
        name: str = "berth",
        wait: bool = True,
        tree: Path | None = None,
        source: Path = _ROOT / "operator",
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._config = directory / f"{name}.yaml"
        # A Lease and an identity of its own: it does not wait for others, nor after a kill for itself.
        self._lease = {"leaseName": f"{name}-{uuid.uuid4().hex[:8]}", "identity": name}
        self.configure(settings or {})
        command = [sys.executable, *(["-S"] if tree is not None else []), "-m", "berth", "run"]
        options = ["--config", str(self._config), "--kubeconfig", str(kubeconfig), "--listen", "127.0.0.1:0"]
        self._child = Child(
            name,
            [*command, *options, "--log-level", log_level],
            log=directory / f"{name}.log",
            env={**os.environ, "PYTHONPATH": str(source if tree is None else tree)},
        )
        self._log_start = 0
        self._wait = wait

    def __repr__(self) -> str:
        return f"OperatorProcess({self._child!r}, log={self.log})"

    def __enter__(self) -> Self:
        try:
            self.start(ready=self._wait)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """Process number of the latest start, None before the first one."""
        return self._child.pid

    @property
    def alive(self) -> bool:
        """Whether it runs; a paused one does."""
        return self._child.alive

    @property
    def returncode(self) -> int | None:
        """Exit code of the latest start, negative for a signal; None while it runs."""
        return self._child.returncode

    @property
    def log(self) -> Path:
        """The log file, of all starts."""
        return self._child.log

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Write the settings file anew: the next start reads it; one that runs takes in what may change."""
        self._config.write_text(yaml.safe_dump({**self._lease, **settings}))

    def start(self, *, ready: bool = True, timeout_s: float = 30.0) -> None:
        """Start it and, with ``ready``, wait until it says so.

        ChildError with the end of the log when it ends meanwhile, TimeoutError when it takes too long.
        """
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        self._child.start()
        if ready:
            self.wait_ready(timeout_s=timeout_s)

    def wait_ready(self, *, timeout_s: float = 30.0) -> None:
        """Wait until it leads (``/leadz``) and is ready (``/readyz``)."""

        def there() -> bool:
            self._child.check()
            return self.ready()

        until(there, lambda: f"the operator to be ready; it says {self._excuse()!r}", timeout_s=timeout_s, poll_s=0.05)

    def restart(self, *, timeout_s: float = 30.0) -> None:
        """Start one that has ended, or end a running one in good order first."""
        self.stop()
        self.start(timeout_s=timeout_s)

    def stop(self, *, grace_s: float = 15.0) -> int | None:
        """SIGTERM, SIGKILL after ``grace_s``; the exit code. Does nothing to one that has ended."""
        self._child.stop(grace_s=grace_s)
        return self.returncode

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self._child.kill()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal without waiting for what it does."""
        self._child.signal(number)

    def wait(self, timeout_s: float) -> int | None:
        """Exit code, or None when it still runs after ``timeout_s`` seconds."""
        return self._child.wait(timeout_s)

    def pause(self) -> None:
        """Freeze it where it stands."""
        self._child.pause()

    def resume(self) -> None:
        """Let a frozen one run on."""
        self._child.resume()

    def check(self) -> None:
        """Raise ChildError with the end of the log when it does not run."""
        self._child.check()

    def logged(self, *, all_starts: bool = False, **fields: Any) -> list[dict[str, Any]]:
        """Log lines of the latest start (or all) whose fields have these values, such as ``level="ERROR"``."""
        if not self.log.exists():
            return []
        with self.log.open("rb") as file:
            file.seek(0 if all_starts else self._log_start)
            # The last line may still be in the writing.
            lines = file.read().split(b"\n")[:-1]
        # A refused command line or a traceback of the interpreter itself is no JSON.
        found = [json.loads(line) for line in lines if line.startswith(b"{")]
        return [line for line in found if all(line.get(key) == value for key, value in fields.items())]

    def address(self, *, timeout_s: float = 15.0) -> str:
        """``host:port`` of its health and metrics; waits until it listens."""

        def told() -> str | None:
            self._child.check()
            listening = self.logged(message="listening")
            return str(listening[-1]["address"]) if listening else None

        found = until(told, "the operator to listen", timeout_s=timeout_s, poll_s=_POLL_S)
        assert found is not None
        return found

    def get(self, path: str) -> tuple[int, str]:
        """HTTP status and text of ``/healthz``, ``/readyz`` or ``/metrics``; OSError when nobody answers."""
        host, _, port = self.address().rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=_REQUEST_S)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def ready(self) -> bool:
        """Whether it says that it leads and is ready."""
        try:
            return all(self.get(path)[0] == http.client.OK for path in ("/leadz", "/readyz"))
        except (OSError, http.client.HTTPException):
            return False

    def stands_by(self) -> bool:
        """Whether it is up, and another one holds the Lease."""
        try:
            codes = [self.get(path)[0] for path in ("/readyz", "/leadz")]
        except (OSError, http.client.HTTPException):
            return False
        return codes == [http.client.OK, http.client.SERVICE_UNAVAILABLE]

    def _excuse(self) -> str:
        try:
            return "; ".join(self.get(path)[1].strip() for path in ("/leadz", "/readyz"))
        except (OSError, http.client.HTTPException) as error:
            return str(error)
