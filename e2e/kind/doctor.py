"""Whether kind can start on this machine, and why not: one line for each thing that it needs, with the remedy.

What a kernel or a registry refuses is found by trying it (``trial``): a machine on which kind half starts costs whoever
relies on the answer an hour.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from e2e.ground import gobuild
from e2e.ground.binaries import Binaries, Origin, cache_root
from e2e.ground.doctor import Finding
from e2e.images import debian
from e2e.kind import daemon, node, trial
from e2e.kind.node import PROGRAMS

# Measured: the node image 0.9 GB in Docker's store and as much while it is made, programs 0.6 GB, a cluster 1.5 GB.
_DISK_GB = 6.0
_MEMORY_GB = 3.0
_GB = 1e9
# On version 2 devices and freezer are part of every group.
_CONTROLLERS = {1: ("cpu", "memory", "pids", "devices", "freezer"), 2: ("cpu", "memory", "pids")}
_ELSEWHERE = "use a virtual machine, or a container that is privileged"
_CGROUPS = "mount them so that groups can be made (package cgroupfs-mount does), or use another machine"

CANNOT = 3
"""Exit code of `doctor` where something is missing; another one is a fault of the doctor."""


def examine(environ: Mapping[str, str], *, thorough: bool = False) -> list[Finding]:
    """Everything that is checked, in the order in which it is worth mending.

    ``thorough`` also fetches what has to be there before the rest can be tried; it is kept.
    """
    docker = daemon.present(environ)
    stock = bool(environ.get("BERTH_KIND_STOCK"))
    made = docker is not None and docker.has(node.name())
    findings = [_docker(docker)]
    if docker is None or docker.own:
        findings += [_root(), _mounts(environ), _cgroups(), _links()]
    if not stock:
        findings.append(_apt(environ))
    if docker is None or docker.own:
        findings.append(_firewall(environ, thorough=thorough and not lacking(findings)))
    if not stock:
        findings.append(_node_image(made))
    return [*findings, *_programs(environ, assembled=not stock and not made), _disk(environ), _memory()]


def lacking(findings: list[Finding]) -> list[Finding]:
    """Those without which kind cannot start."""
    return [finding for finding in findings if not finding.ok and finding.essential]


def main(*, thorough: bool = False) -> int:
    """Print the findings; `CANNOT` when kind cannot start."""
    findings = examine(os.environ, thorough=thorough)
    for finding in findings:
        print(finding)
    missing = lacking(findings)
    what = "1 thing is" if len(missing) == 1 else f"{len(missing)} things are"
    print(f"kind cannot start: {what} missing" if missing else "kind can start here")
    return CANNOT if missing else 0


def _docker(docker: daemon.Docker | None) -> Finding:
    if docker is None:
        return Finding("docker", False, "none answers", "one is unpacked from Debian's packages and started", False)
    version = docker.run("version", "--format", "{{.Server.Version}}")
    return Finding("docker", True, f"{version} ({'our own' if docker.own else 'was there'})")


def _root() -> Finding:
    return Finding("root", os.geteuid() == 0, f"user {os.geteuid()}", "run this as root, or start Docker yourself")


def _mounts(environ: Mapping[str, str]) -> Finding:
    where = _existing(cache_root(environ))
    refused = trial.refused("mounts", str(where))
    return Finding("mounts", not refused, refused or f"an overlay at {where} works", _ELSEWHERE)


def _cgroups(root: Path = Path("/sys/fs/cgroup")) -> Finding:
    version, has = _controllers(root)
    bad = [name for name in _CONTROLLERS[version] if name not in has]
    detail = f"version {version} at {root}"
    if bad:
        return Finding("cgroups", False, f"{detail}, without {', '.join(bad)}", _CGROUPS)
    refused = trial.refused("groups", *map(str, has.values()))
    return Finding("cgroups", not refused, f"{detail}: {refused}" if refused else detail, _CGROUPS)


def _controllers(root: Path) -> tuple[int, dict[str, Path]]:
    """Version of the hierarchy, and where each controller that there is makes its groups."""
    if (root / "cgroup.controllers").exists():
        return 2, dict.fromkeys((root / "cgroup.controllers").read_text().split(), root)
    return 1, {path.name: path for path in sorted(root.iterdir()) if (path / "tasks").exists()} if root.exists() else {}


def _links() -> Finding:
    refused = trial.refused("links")
    return Finding("links", not refused, refused or "a bridge and a pair in a network of their own work", _ELSEWHERE)


def _firewall(environ: Mapping[str, str], *, thorough: bool) -> Finding:
    """Rules are tried with the iptables of Debian's Docker: what the machine itself has says nothing about a node's."""
    if daemon.unpacked(environ) is None:
        if not thorough:
            return Finding("firewall", False, "not tried yet", "`doctor --thorough` fetches what that takes", False)
        daemon.unpack(environ)
    program, environment = daemon.firewall(environ)
    refused = trial.refused("rules", program, environ=environment)
    return Finding("firewall", not refused, refused or "takes rules like kube-proxy's", _ELSEWHERE)


def _apt(environ: Mapping[str, str]) -> Finding:
    """A small package that the node image needs is fetched: an index that is there may be too old to fetch by."""
    elsewhere = "or use a machine that can pull images"
    if not all(shutil.which(name, path=environ.get("PATH", "")) for name in ("apt-get", "dpkg-deb")):
        return Finding("apt", False, "is not there", f"use a Debian 12 machine, {elsewhere}")
    try:
        with tempfile.TemporaryDirectory(prefix="berth-apt-") as scratch:
            debian.fetch("catatonit", archives=Path(scratch))
    except debian.PackagesError as error:
        return Finding("apt", False, " ".join(str(error).split()), elsewhere)
    return Finding("apt", True, f"fetches packages of {debian.SUITE}")


def _node_image(made: bool) -> Finding:
    detail = node.name() if made else f"{node.name()} is not made yet"
    return Finding("node image", made, detail, "it is made at the first start, in about 2 min", False)


def _existing(path: Path) -> Path:
    return next(found for found in (path, *path.parents) if found.exists())


def _programs(environ: Mapping[str, str], *, assembled: bool) -> Iterator[Finding]:
    binaries = Binaries(environ=environ)
    wanted = dict.fromkeys(("kind", "kubectl", "helm", *(PROGRAMS if assembled else ())))
    absent = [name for name in wanted if binaries.find(name).origin is Origin.ABSENT]
    if not absent:
        yield Finding("programs", True, f"{len(wanted)} in {binaries.cache}")
        return
    told = f"not built yet: {', '.join(absent)}"
    yield Finding("programs", False, told, "they are built at the first start", False)
    try:
        path, version = gobuild.go_command(environ)
    except gobuild.BuildError as error:
        yield Finding("go", False, "none that fits", str(error))
    else:
        yield Finding("go", True, f"{version} ({path})")


def _disk(environ: Mapping[str, str]) -> Finding:
    where = _existing(cache_root(environ))
    free = shutil.disk_usage(where).free / _GB
    detail = f"{free:.1f} GB free at {where}, {_DISK_GB:.0f} GB needed"
    return Finding("disk", free >= _DISK_GB, detail, "make room, or set BERTH_CACHE to another disk")


def _memory() -> Finding:
    found = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), flags=re.MULTILINE)
    free = int(found[1]) * 1000 / _GB if found else 0.0
    return Finding(
        "memory", free >= _MEMORY_GB, f"{free:.1f} GB available, {_MEMORY_GB:.0f} GB needed", "end something"
    )
