"""A Docker to run kind in: the one that is there, or one of our own.

Our own comes from Debian's packages, unpacked into the cache and not installed. It leaves no trace on the host: its
state and its socket lie in the cache, it has no default bridge and writes no rule into the host's firewall (nodes are
on one bridge, and the API server's port on loopback is forwarded by a process). It needs root, as any Docker that kind
can use on cgroup v1.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from e2e.ground.binaries import cache_root
from e2e.ground.processes import Identity
from e2e.ground.progress import Progress
from e2e.ground.waiting import until
from e2e.images import debian

_CAPFIT = Path(__file__).with_name("capfit.py")
_PACKAGES = ("docker.io", "iptables", "ca-certificates")
_WITHOUT = ("libc6", "libgcc-s1", "gcc-12-base", "perl*", "libperl*", "lib*-perl", "debconf", "adduser", "passwd",
            "dpkg", "tar", "coreutils", "openssl", "usrmerge", "init-system-helpers")  # fmt: skip
_READY_S = 60.0
_STOP_S = 30.0


class DockerError(RuntimeError):
    """A docker command failed, or there is no Docker; the message holds what it said."""


@dataclass(frozen=True, slots=True)
class Docker:
    """A running Docker. `environ` is what docker and kind need to find it; `own` says whose it is."""

    environ: Mapping[str, str]
    own: bool

    def run(self, *arguments: str, stdin: bytes | None = None, timeout_s: float = 300) -> str:
        """Output of a docker command; DockerError with its words when it fails."""
        done = subprocess.run(
            ["docker", *arguments], env=self.environ, input=stdin, capture_output=True, timeout=timeout_s, check=False
        )
        if done.returncode:
            shown = " ".join(arguments)
            raise DockerError(f"docker {shown[:200]}: {done.stderr.decode(errors='replace').strip()[-1000:]}")
        return done.stdout.decode(errors="replace").strip()

    def has(self, image: str) -> bool:
        """Whether an image is in its store."""
        try:
            self.run("image", "inspect", image)
        except DockerError:
            return False
        return True


def present(environ: Mapping[str, str]) -> Docker | None:
    """The user's Docker, if one answers, else our own, if it runs."""
    for docker in (Docker(dict(environ), own=False), _ours(environ)):
        if shutil.which("docker", path=docker.environ.get("PATH", "")) is None:
            continue
        try:
            docker.run("version", "--format", "{{.Server.Version}}", timeout_s=20)
        except (DockerError, subprocess.TimeoutExpired):
            continue
        return docker
    return None


def start(environ: Mapping[str, str], *, progress: Progress) -> Docker:
    """The Docker that is there; where none is, our own, started now. DockerError with the end of its log."""
    found = present(environ)
    if found is not None:
        return found
    if os.geteuid() != 0:
        raise DockerError("no Docker answers, and starting one takes root; start Docker, or run this as root")
    home = _home(environ)
    progress.begin("docker", "unpacking Debian's")
    unpack(environ)
    (home / "run").mkdir(parents=True, exist_ok=True)
    docker = _ours(environ)
    log = home / "dockerd.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            ["dockerd", "--data-root", str(home / "data"), "--exec-root", str(home / "run"), "--pidfile",
             str(home / "dockerd.pid"), "--host", docker.environ["DOCKER_HOST"], "--bridge", "none",
             "--iptables=false", "--ip6tables=false", "--exec-opt", "native.cgroupdriver=cgroupfs",
             "--storage-driver", "overlay2", "--add-runtime", f"capfit={_runtime(home)}",
             "--default-runtime", "capfit"],
            env=docker.environ, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    identity = Identity.of(process.pid)
    if identity is not None:
        identity.write(home / "owner.json")

    def up() -> bool:
        if process.poll() is not None:
            told = "\n".join(log.read_text(errors="replace").splitlines()[-8:])
            raise DockerError(f"dockerd ended with exit code {process.returncode}; end of {log}:\n{told}")
        return present(environ) is not None

    until(up, f"dockerd to answer; see {log}", timeout_s=_READY_S, poll_s=0.3)
    process.returncode = 0  # it outlives this process by intent; its pid file says whom to stop
    progress.end(f"runs, log in {log}")
    return docker


@contextmanager
def borrowed(environ: Mapping[str, str], *, progress: Progress, keep: bool = False) -> Iterator[Docker]:
    """A Docker for a while: one that was started for it is stopped afterwards, unless it is to be kept."""
    there = present(environ)
    docker = there or start(environ, progress=progress)
    try:
        yield docker
    finally:
        if there is None and not keep:
            stop(environ)


def stop(environ: Mapping[str, str]) -> bool:
    """Stop our own Docker with its containers; whether it ran. The user's is never touched."""
    docker = _ours(environ)
    identity = Identity.read(_home(environ) / "owner.json")
    if identity is None or not identity.alive:
        return False
    containers = docker.run("ps", "--all", "--quiet").split()
    if containers:
        docker.run("rm", "--force", "--volumes", *containers)
    docker.run("network", "prune", "--force")
    identity.stop(grace_s=_STOP_S)
    return True


def unpacked(environ: Mapping[str, str]) -> Path | None:
    """Where Debian's Docker lies unpacked, if it does."""
    root = _root(environ)
    return root if root.exists() else None


def firewall(environ: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
    """The iptables that comes with it, and the environment that it runs in."""
    return str(_root(environ) / "usr/sbin/iptables"), _ours(environ).environ


def _runtime(home: Path) -> Path:
    """`capfit.py` as a program that needs no search for a Python: Docker starts it for every call of runc."""
    program = home / "capfit"
    program.write_text(f"#!{Path(sys.executable).resolve()} -IS\n{_CAPFIT.read_text()}")
    program.chmod(0o755)
    return program


def _home(environ: Mapping[str, str]) -> Path:
    return cache_root(environ) / "docker"


def _root(environ: Mapping[str, str]) -> Path:
    return cache_root(environ) / "debian" / "docker"


def _ours(environ: Mapping[str, str]) -> Docker:
    root = _root(environ)
    libraries = root / "usr/lib/x86_64-linux-gnu"
    path = os.pathsep.join([str(root / "usr/sbin"), str(root / "usr/bin"), environ.get("PATH", "")])
    return Docker(
        {
            **environ,
            "DOCKER_HOST": f"unix://{_home(environ)}/docker.sock",
            "PATH": path,
            "LD_LIBRARY_PATH": str(libraries),
            "XTABLES_LIBDIR": str(libraries / "xtables"),
        },
        own=True,
    )


def unpack(environ: Mapping[str, str]) -> None:
    """Unpack Debian's Docker into the cache, once; PackagesError where it cannot be had."""
    root = _root(environ)
    if root.exists():
        return
    fresh = root.with_name(".docker.new")
    debian.unpack(_PACKAGES, fresh, archives=root.with_name("archives"), without=_WITHOUT)
    for family in ("iptables", "ip6tables"):
        (fresh / "usr/sbin" / family).unlink(missing_ok=True)
        (fresh / "usr/sbin" / family).symlink_to("xtables-nft-multi")
    fresh.rename(root)
