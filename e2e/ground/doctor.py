"""What this machine lacks for the ground: one line for each thing, with the remedy.

Only the standard library is used here, so that a machine without the packages can be asked too.
"""

import importlib.metadata
import os
import re
import resource
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from e2e.ground import gobuild, ports
from e2e.ground.binaries import Binaries, Found, Origin
from e2e.ground.components import PROGRAMS
from e2e.ground.versions import CHART_TOOLS, CONTROL_PLANE, MODULE_OF

_ROOT = Path(__file__).resolve().parents[2]
_PYTHON = (3, 11)
# Measured: Go's caches grow by 4.8 GB in a cold build, a control plane writes 0.2 GB and takes 0.6 GB of memory.
_BUILD_DISK_GB = 6.0
_RUN_DISK_GB = 1.0
_MEMORY_GB = 1.5
_OPEN_FILES = 4096
_GB = 1e9


@dataclass(frozen=True, slots=True)
class Finding:
    """One checked thing; ``remedy`` says what to do when it is not ``ok``. Without ``essential`` ones nothing works."""

    what: str
    ok: bool
    detail: str
    remedy: str = ""
    essential: bool = True

    def __str__(self) -> str:
        mark = "ok" if self.ok else "missing" if self.essential else "note"
        line = f"{mark:<8}{self.what:<26}{self.detail}"
        return line if self.ok else f"{line}; {self.remedy}"


def examine(environ: Mapping[str, str]) -> list[Finding]:
    """Everything that is checked, in the order in which it is worth mending."""
    binaries = Binaries(environ=environ)
    found = [binaries.find(name) for module in (*CONTROL_PLANE, *CHART_TOOLS) for name in module.packages]
    absent = [item for item in found if item.origin is Origin.ABSENT and item.name in PROGRAMS]
    return [
        _python(),
        *_packages(),
        _go(environ, needed=bool(absent)),
        *(_program(item) for item in found),
        *_space(binaries.cache, building=bool(absent)),
        _memory(),
        _free_ports(),
        _open_files(),
    ]


def main() -> int:
    """Print the findings; exit code 1 when something essential is missing."""
    findings = examine(os.environ)
    for finding in findings:
        print(finding)
    lacking = [finding for finding in findings if not finding.ok and finding.essential]
    print(f"{len(lacking)} essential things are missing" if lacking else "the ground can be used")
    return 1 if lacking else 0


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    needed = ".".join(map(str, _PYTHON))
    if sys.platform != "linux":
        return Finding("Linux", False, sys.platform, "the ground needs Linux (/proc, prctl); use a Linux machine")
    return Finding("python", sys.version_info >= _PYTHON, version, f"install Python >= {needed}")


def _packages() -> Iterator[Finding]:
    """The project's own requirements, as pyproject.toml names them."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())
    groups = {
        "packages": (project["project"]["dependencies"], True),
        "packages for development": (project["dependency-groups"]["dev"], False),
    }
    for what, (requirements, essential) in groups.items():
        names = [found[0] for line in requirements if (found := re.match(r"[\w.-]+", line))]
        lacking = [name for name in names if not _installed(name)]
        # The ground's certificates come from a package that only development needs.
        necessary = essential or "cryptography" in lacking
        detail = f"{len(names) - len(lacking)} of {len(names)}" + (f", not {', '.join(lacking)}" if lacking else "")
        yield Finding(what, not lacking, detail, f"{sys.executable} -m pip install -e . --group dev", necessary)


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _go(environ: Mapping[str, str], *, needed: bool) -> Finding:
    try:
        path, version = gobuild.go_command(environ)
    except gobuild.BuildError as error:
        return Finding(
            "go", not needed, "none that fits" if needed else "none that fits, and none is needed", str(error)
        )
    return Finding("go", True, f"{version} ({path})")


def _program(found: Found) -> Finding:
    refused = f" ({found.refused})" if found.refused else ""
    if found.origin is not Origin.ABSENT:
        return Finding(found.name, True, f"{found.version} from {found.origin}: {found.path}{refused}")
    module = MODULE_OF[found.name]
    return Finding(
        found.name,
        False,
        f"{found.version} is not built yet{refused}",
        f"run `python -m e2e.ground build {found.name}` (about {module.cold_build_s} s for {module.key}, on 2 cores)",
        essential=False,
    )


def _space(cache: Path, *, building: bool) -> Iterator[Finding]:
    where = next(path for path in (cache, *cache.parents) if path.exists())
    needs = [(where, _BUILD_DISK_GB if building else 0.0), (Path(tempfile.gettempdir()), _RUN_DISK_GB)]
    for path, needed in needs:
        free = shutil.disk_usage(path).free / _GB
        yield Finding(
            "disk",
            free >= needed,
            f"{free:.1f} GB free at {path}, {needed:.0f} GB needed",
            "make room, or set BERTH_CACHE, GOCACHE and GOMODCACHE (build) or TMPDIR (control planes) to another disk",
        )


def _memory() -> Finding:
    told = Path("/proc/meminfo").read_text()
    found = re.search(r"^MemAvailable:\s+(\d+) kB", told, flags=re.MULTILINE)
    free = int(found[1]) * 1000 / _GB if found else 0.0
    return Finding("memory", free >= _MEMORY_GB, f"{free:.1f} GB available, {_MEMORY_GB} GB needed", "end something")


def _free_ports() -> Finding:
    try:
        free = ports.assign(["probe"])
    except (ports.PortTakenError, OSError) as error:
        return Finding("ports", False, str(error), "let this user listen on 127.0.0.1")
    return Finding("ports", True, f"can listen on {ports.LOOPBACK}, for instance on {free['probe']}")


def _open_files() -> Finding:
    # Go programs raise their own limit up to the hard one.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = hard == resource.RLIM_INFINITY or hard >= _OPEN_FILES
    return Finding("open files", enough, f"hard limit {hard}, {_OPEN_FILES} needed", "raise it (ulimit -Hn)")
