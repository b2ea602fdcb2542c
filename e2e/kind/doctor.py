"""Whether kind can start on this machine, and why not: one line for each thing that it needs, with the remedy."""

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from e2e.ground import gobuild
from e2e.ground.binaries import Binaries, Origin, cache_root
from e2e.ground.doctor import Finding
from e2e.kind import daemon, node
from e2e.kind.node import PROGRAMS

# Measured: the node image 0.9 GB in Docker's store and as much while it is made, programs 0.6 GB, a cluster 1.5 GB.
_DISK_GB = 6.0
_MEMORY_GB = 3.0
_GB = 1e9
_CONTROLLERS = ("cpu", "memory", "pids", "devices", "freezer")


def examine(environ: Mapping[str, str]) -> list[Finding]:
    """Everything that is checked, in the order in which it is worth mending."""
    docker = daemon.present(environ)
    findings = [_docker(docker)]
    if docker is None or docker.own:
        findings += [_root(), _kernel(), _cgroups(), _apt(environ)]
    return [*findings, *_programs(environ, docker), _disk(environ), _memory()]


def lacking(findings: list[Finding]) -> list[Finding]:
    """Those without which kind cannot start."""
    return [finding for finding in findings if not finding.ok and finding.essential]


def main() -> int:
    """Print the findings; exit code 1 when kind cannot start."""
    findings = examine(os.environ)
    for finding in findings:
        print(finding)
    missing = lacking(findings)
    print(f"kind cannot start: {len(missing)} things are missing" if missing else "kind can start here")
    return 1 if missing else 0


def _docker(docker: daemon.Docker | None) -> Finding:
    if docker is None:
        return Finding("docker", False, "none answers", "one is unpacked from Debian's packages and started", False)
    version = docker.run("version", "--format", "{{.Server.Version}}")
    return Finding("docker", True, f"{version} ({'our own' if docker.own else 'was there'})")


def _root() -> Finding:
    return Finding("root", os.geteuid() == 0, f"user {os.geteuid()}", "run this as root, or start Docker yourself")


def _kernel() -> Finding:
    known = {line.split()[-1] for line in Path("/proc/filesystems").read_text().splitlines()}
    status = Path("/proc/self/status").read_text()
    found = re.search(r"^CapBnd:\s+([0-9a-f]+)", status, flags=re.MULTILINE)
    privileged = found is not None and bool(int(found[1], 16) >> 21 & 1)  # CAP_SYS_ADMIN
    bad = [*(["overlay"] if "overlay" not in known else []), *([] if privileged else ["CAP_SYS_ADMIN"])]
    detail = f"lacks {', '.join(bad)}" if bad else "overlay, CAP_SYS_ADMIN"
    return Finding("kernel", not bad, detail, "use a virtual machine, or a container that is privileged")


def _cgroups() -> Finding:
    root = Path("/sys/fs/cgroup")
    if (root / "cgroup.controllers").exists():
        there = (root / "cgroup.controllers").read_text().split()
        # On version 2 devices and freezer are part of every group.
        bad = [name for name in _CONTROLLERS[:3] if name not in there]
        return Finding("cgroups", not bad, f"version 2, {' '.join(there)}", f"enable {', '.join(bad)}")
    bad = [name for name in _CONTROLLERS if not (root / name / "tasks").exists()]
    detail = f"version 1 at {root}" + (f", without {', '.join(bad)}" if bad else "")
    return Finding("cgroups", not bad, detail, "mount them (package cgroupfs-mount does)")


def _apt(environ: Mapping[str, str]) -> Finding:
    there = all(shutil.which(name, path=environ.get("PATH", "")) for name in ("apt-get", "dpkg-deb"))
    return Finding(
        "apt",
        there,
        "is there" if there else "is not there",
        "use a Debian 12 machine, or start Docker and pull images",
    )


def _programs(environ: Mapping[str, str], docker: daemon.Docker | None) -> Iterator[Finding]:
    binaries = Binaries(environ=environ)
    made = docker is not None and docker.has(node.name())
    wanted = ("kind", "kubectl") if made else ("kind", *PROGRAMS)
    absent = [name for name in wanted if binaries.find(name).origin is Origin.ABSENT]
    yield Finding(
        "node image",
        made,
        node.name() if made else f"{node.name()} is not made yet",
        "it is made at the first start, in about 2 min",
        essential=False,
    )
    if absent:
        yield Finding(
            "programs", False, f"not built yet: {', '.join(absent)}", "they are built at the first start", False
        )
        try:
            path, version = gobuild.go_command(environ)
        except gobuild.BuildError as error:
            yield Finding("go", False, "none that fits", str(error))
        else:
            yield Finding("go", True, f"{version} ({path})")
    else:
        yield Finding("programs", True, f"{len(wanted)} in {binaries.cache}")


def _disk(environ: Mapping[str, str]) -> Finding:
    cache = cache_root(environ)
    where = next(path for path in (cache, *cache.parents) if path.exists())
    free = shutil.disk_usage(where).free / _GB
    detail = f"{free:.1f} GB free at {where}, {_DISK_GB:.0f} GB needed"
    return Finding("disk", free >= _DISK_GB, detail, "make room, or set BERTH_CACHE to another disk")


def _memory() -> Finding:
    found = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), flags=re.MULTILINE)
    free = int(found[1]) * 1000 / _GB if found else 0.0
    return Finding(
        "memory", free >= _MEMORY_GB, f"{free:.1f} GB available, {_MEMORY_GB:.0f} GB needed", "end something"
    )
