"""Finds the ground's programs, and builds those that are nowhere.

Search order, for each program:

1. the directory that ``KUBEBUILDER_ASSETS`` names (what controller developers already have), if the program
   there is of a version that fits;
2. the cache, ``${BERTH_CACHE:-${XDG_CACHE_HOME:-~/.cache}/berth}/bin/<module>-<version>/``;
3. a build from the pinned Go module into that cache.

PATH is not searched: a kubectl or an etcd of any age may lie there.  All programs of Kubernetes have to be of one
minor version, as a controller manager may not be newer than its API server and kubectl should match it.
"""

import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from e2e.ground import gobuild
from e2e.ground.progress import Progress
from e2e.ground.versions import KUBERNETES, KWOK, MODULE_OF, MODULES, Module

_VERSION_TIMEOUT_S = 20


class Origin(StrEnum):
    """Where a program was found."""

    ASSETS = "KUBEBUILDER_ASSETS"
    CACHE = "cache"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Found:
    """Where the search for one program ended; ``refused`` says why the one of KUBEBUILDER_ASSETS was not taken."""

    name: str
    path: Path
    origin: Origin
    version: str
    refused: str | None = None


class Binaries:
    """The programs, by name.

    ``environ`` stands for the process environment, for the search and for the build.
    """

    def __init__(self, *, environ: Mapping[str, str] | None = None, progress: Progress | None = None) -> None:
        self._environ = dict(os.environ if environ is None else environ)
        self._progress = Progress() if progress is None else progress

    @property
    def cache(self) -> Path:
        """The directory that holds one directory for each module and version."""
        return cache_root(self._environ) / "bin"

    def find(self, name: str) -> Found:
        """Search for one program without building it; ValueError for a name that is not in ``versions``."""
        module = MODULE_OF.get(name)
        if module is None:
            raise ValueError(f"unknown program {name!r}; known are {', '.join(sorted(MODULE_OF))}")
        refused = None
        assets = self._environ.get("KUBEBUILDER_ASSETS")
        if assets:
            path = Path(assets) / name
            if path.is_file():
                version = program_version(path)
                refused = _unfit(module, path, version)
                if refused is None and version is not None:
                    return Found(name, path, Origin.ASSETS, f"v{'.'.join(map(str, version))}")
        path = self.cache / module.directory / name
        origin = Origin.CACHE if path.exists() else Origin.ABSENT
        return Found(name, path, origin, module.version, refused)

    def ensure(self, names: Iterable[str]) -> dict[str, Path]:
        """Paths of the named programs, after building those that are absent.

        gobuild.BuildError when one is absent and cannot be built.
        """
        found = [self.find(name) for name in names]
        for item in found:
            if item.refused is not None and item.origin is Origin.ABSENT:
                self._progress.note(item.refused)
        for module in MODULES:
            absent = [item.name for item in found if item.origin is Origin.ABSENT and item.name in module.packages]
            if absent:
                self._build(module, absent)
        return {item.name: item.path for item in found}

    def stage_files(self) -> tuple[Path, ...]:
        """KWOK's standard stages, in the cache beside KWOK; fetched when they are not there."""
        target = self.cache / KWOK.directory
        paths = tuple(target / name for name in KWOK.files.values())
        if not all(path.exists() for path in paths):
            self._build(KWOK, ())
        return paths

    def openapi(self) -> Path:
        """What the API server takes, as its source tells it; fetched when it is not in the cache."""
        path = self.cache / KUBERNETES.directory / "openapi.json"
        if not path.exists():
            self._build(KUBERNETES, ())
        return path

    def _build(self, module: Module, names: Iterable[str]) -> None:
        gobuild.build(module, names, self.cache / module.directory, environ=self._environ, progress=self._progress)


def cache_root(environ: Mapping[str, str]) -> Path:
    """``$BERTH_CACHE``, else ``$XDG_CACHE_HOME/berth``, else ``~/.cache/berth``; always absolute."""
    if environ.get("BERTH_CACHE"):
        return Path(environ["BERTH_CACHE"]).absolute()
    base = environ.get("XDG_CACHE_HOME") or str(Path(environ.get("HOME") or Path.home()) / ".cache")
    return Path(base).absolute() / "berth"


def program_version(path: Path) -> tuple[int, int, int] | None:
    """The version that a program tells about itself, None when it tells none."""
    arguments = ["version", "--client"] if path.name == "kubectl" else ["--version"]
    try:
        said = subprocess.run(
            [str(path), *arguments], capture_output=True, text=True, timeout=_VERSION_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"\bv?(\d+)\.(\d+)\.(\d+)", said.stdout)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def _unfit(module: Module, path: Path, version: tuple[int, int, int] | None) -> str | None:
    """Why the program of KUBEBUILDER_ASSETS cannot be used, None when it can."""
    low, high = (".".join(map(str, bound)) for bound in (module.minimum, module.exclusive_maximum))
    if version is None:
        return f"{path} is not taken: it does not tell its version"
    if not module.minimum <= version[:2] < module.exclusive_maximum:
        return f"{path} is not taken: version {'.'.join(map(str, version))}, needed is >= {low} and < {high}"
    return None
