"""Builds programs from a Go module, once, into a directory that never holds half a program.

A fresh main module requires the wanted one, so that the versions are those the module itself asks for and the
checksum database vouches for each.  A module that replaces parts of itself by directories of its source tree
(k8s.io/kubernetes) gets those replacements redirected to the published modules.

The build runs in a temporary directory beside the target and moves each finished file by ``rename``.  A file lock
per module makes a second builder wait and then find the result; the kernel frees the lock of a builder that died,
and the next one clears its leavings.
"""

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from e2e.ground.processes import Child
from e2e.ground.progress import Progress
from e2e.ground.versions import GO_MINIMUM, Module

_POLL_S = 0.2


class BuildError(RuntimeError):
    """A program could not be built; the message says why and what helps."""


def go_command(environ: Mapping[str, str]) -> tuple[str, str]:
    """Path and version of the Go that PATH leads to; BuildError when there is none or it is too old."""
    minimum = ".".join(map(str, GO_MINIMUM))
    remedy = (
        f"install Go >= {minimum} (https://go.dev/dl), or set KUBEBUILDER_ASSETS to a directory that holds the programs"
    )
    go = shutil.which("go", path=environ.get("PATH", ""))
    if go is None:
        raise BuildError(f"Go is not on PATH; {remedy}")
    asked = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, env=_go_env(environ), check=False)
    version = asked.stdout.strip()
    found = re.match(r"go(\d+)\.(\d+)", version)
    if asked.returncode != 0 or found is None:
        raise BuildError(f"{go} does not tell its version: {asked.stderr.strip() or version!r}; {remedy}")
    if (int(found[1]), int(found[2])) < GO_MINIMUM:
        raise BuildError(f"{go} is {version}, older than {minimum}; {remedy}")
    return go, version


def build(
    module: Module, names: Iterable[str], target: Path, *, environ: Mapping[str, str], progress: Progress
) -> tuple[str, ...]:
    """Make sure that the named programs of a module, and its files, are in ``target``; return those built now.

    BuildError when Go is missing or too old, or when the build fails; then nothing is left behind.
    """
    wanted = sorted(names)
    target.mkdir(parents=True, exist_ok=True)
    with _locked(target.with_name(f".{target.name}.lock"), f"{module.key} {module.version}", progress):
        missing = tuple(name for name in wanted if not (target / name).exists())
        files = {source: name for source, name in module.files.items() if not (target / name).exists()}
        if not missing and not files:
            return ()
        go, _ = go_command(environ)
        scratch = target.with_name(f".{target.name}.build")
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        try:
            _Build(module, go, scratch, environ, progress).run(missing, files, target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return missing


def source_directory(module: Module, *, environ: Mapping[str, str]) -> Path:
    """Where Go keeps the module's source, fetched when it is not there; BuildError when it cannot be had."""
    go, _ = go_command(environ)
    wanted = f"{module.path}@{module.version}"
    command = [go, "mod", "download", "-json", wanted]
    said = subprocess.run(command, capture_output=True, text=True, env=_go_env(environ), cwd="/", check=False)
    if said.returncode:
        raise BuildError(f"the source of {wanted} cannot be had: {said.stderr.strip() or said.stdout.strip()}")
    told: dict[str, str] = json.loads(said.stdout[said.stdout.index("{\n") :])
    return Path(told["Dir"])


class _Build:
    """One build in its scratch directory."""

    def __init__(self, module: Module, go: str, scratch: Path, environ: Mapping[str, str], progress: Progress) -> None:
        self._module = module
        self._go = go
        self._scratch = scratch
        self._env = _go_env(environ)
        self._progress = progress

    def run(self, names: tuple[str, ...], files: Mapping[str, str], target: Path) -> None:
        module = self._module
        what = f"building {', '.join(names)}, about {module.cold_build_s} s with empty caches on 2 cores"
        self._progress.begin(f"{module.key} {module.version}", what if names else "fetching files of its source")
        source = self._download()
        (self._scratch / "go.mod").write_text(go_mod(module, (source / "go.mod").read_text()))
        if module.main is not None:
            (self._scratch / "main.go").write_text(module.main)
        out = self._scratch / "out"
        out.mkdir()
        if names:
            self._compile(names, out)
        for path, name in files.items():
            shutil.copyfile(source / path, out / name)
        for made in sorted(out.iterdir()):
            made.replace(target / made.name)
        self._progress.end("done")

    def _download(self) -> Path:
        """Fetch the module's source and return its directory."""
        said = self._go_run(["mod", "download", "-json", f"{self._module.path}@{self._module.version}"])
        # What go says about its downloads comes before the answer, which is indented JSON.
        told: dict[str, str] = json.loads(said[said.index("{\n") :])
        return Path(told["Dir"])

    def _compile(self, names: tuple[str, ...], out: Path) -> None:
        # Go names a program after its package's directory; a lone one is named by us, as etcd's is called "v3".
        packages = [self._module.packages[name] for name in names]
        output = str(out / names[0]) if len(names) == 1 else f"{out}{os.sep}"
        variables = [f"-X {name}={value}" for name, value in self._module.variables.items()]
        flags = ["-v", "-trimpath", "-buildvcs=false", "-ldflags", " ".join(["-s", "-w", *variables])]
        if self._module.tags:
            flags += ["-tags", ",".join(self._module.tags)]
        self._go_run(["build", *flags, "-o", output, *packages])

    def _go_run(self, arguments: list[str]) -> str:
        """Run go, showing what it reports; its output, or BuildError with the end of it."""
        log = self._scratch / f"go-{arguments[0]}.log"
        child = Child("go", [self._go, *arguments], log=log, cwd=self._scratch, env=self._env)
        try:
            child.start()
            while child.wait(_POLL_S) is None:
                lines = log.read_text(errors="replace").splitlines()
                if lines:
                    self._progress.update(f"{len(lines)} steps of go {arguments[0]}, now {lines[-1].strip()}")
        finally:
            child.signal(signal.SIGKILL)
        if child.returncode != 0:
            raise BuildError(
                f"go {arguments[0]} for {self._module.path} {self._module.version} ended with exit code "
                f"{child.returncode}; its last lines:\n{child.tail()}"
            )
        return log.read_text()


def go_mod(module: Module, own: str) -> str:
    """The main module that requires ``module``, whose own go.mod is ``own``."""
    lines = ["module berth.dev/ground", "", f"go {'.'.join(map(str, GO_MINIMUM))}.0", ""]
    lines.append(f"require {module.path} {module.version}")
    if module.staging is not None:
        local = re.findall(r"^\s*(?:replace\s+)?(\S+) => \./\S+$", own, flags=re.MULTILINE)
        lines += ["", "replace (", *(f"\t{name} => {name} {module.staging}" for name in local), ")"]
    return "\n".join(lines) + "\n"


def _go_env(environ: Mapping[str, str]) -> dict[str, str]:
    """The user's environment, less what would make the result depend on it."""
    fixed = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod", "GOWORK": "off"}
    return {**environ, **fixed}


@contextmanager
def _locked(path: Path, what: str, progress: Progress) -> Iterator[None]:
    """Hold the lock file; while another process holds it, say so and wait."""
    with path.open("a") as lock:
        held = _try_lock(lock.fileno())
        if not held:
            progress.begin(what, "waiting for another process that builds it")
        while not held:
            time.sleep(_POLL_S)
            progress.update("still waiting for another process that builds it")
            held = _try_lock(lock.fileno())
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
