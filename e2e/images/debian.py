"""A file system from Debian packages: fetched by apt, unpacked, never installed on this machine.

apt computes the closure as if nothing was installed, fetches what is missing and checks it against the signed index.
The packages' own scripts do not run: what they would have done is done by who asks, and is little for a container.
That makes it quick (seconds instead of a minute for a whole bootstrap), works without root, and leaves out what only
an installer needs.
"""

import fnmatch
import hashlib
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

SUITE = "bookworm"
"""Debian 12: its Python is 3.11, and its systemd (252) still runs on cgroup v1, which newer ones do not."""

_USELESS = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "usr/share/lintian",
            "usr/share/bug", "usr/share/bash-completion")  # fmt: skip
_MERGED = ("bin", "sbin", "lib", "lib64")


class PackagesError(RuntimeError):
    """Packages could not be had; the message says which, why, and what helps."""


@dataclass(frozen=True, slots=True)
class Archive:
    """One package file of a closure; `size` in bytes."""

    name: str
    size: int

    @property
    def package(self) -> str:
        """Name of the package, from that of its file."""
        return self.name.partition("_")[0]


def closure(packages: Iterable[str], *, archives: Path) -> list[Archive]:
    """Files of the packages and of all that they depend on, sorted by name."""
    # apt names only what it would fetch: it is asked as if nothing had been fetched.
    said = _apt("--print-uris", *packages, archives=archives / "none")
    found = re.findall(r"^'\S+' (\S+_\S+\.deb) (\d+)", said, flags=re.MULTILINE)
    return sorted((Archive(name, int(size)) for name, size in found), key=lambda archive: archive.name)


def fetch(package: str, *, archives: Path) -> None:
    """Fetch a package, as a trial; PackagesError where apt cannot."""
    _apt("--download-only", package, archives=archives)


def key(found: Iterable[Archive]) -> str:
    """Names a closure: another version of any package gives another key."""
    return hashlib.sha256("\n".join(archive.name for archive in found).encode()).hexdigest()[:12]


def unpack(packages: Iterable[str], root: Path, *, archives: Path, without: Iterable[str] = ()) -> list[Archive]:
    """Fill `root`, made anew, with the packages and what they depend on; the files that it came from.

    `without` are patterns of packages that the dependencies name and that nothing there runs.
    """
    wanted = list(packages)
    found = [
        archive
        for archive in closure(wanted, archives=archives)
        if not any(fnmatch.fnmatch(archive.package, pattern) for pattern in without)
    ]
    _apt("--download-only", *wanted, archives=archives)
    shutil.rmtree(root, ignore_errors=True)
    for name in _MERGED:
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for archive in found:
        _extract(archives / archive.name, root)
    for name in _USELESS:
        shutil.rmtree(root / name, ignore_errors=True)
    return found


def _extract(archive: Path, root: Path) -> None:
    # Packages that still have files in /bin get them into /usr/bin: the links stay.
    tar = ["tar", "-x", "--keep-directory-symlink", "--no-same-owner", "-p", "-C", str(root)]
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(archive)], stdout=subprocess.PIPE) as pipe:
        done = subprocess.run(tar, stdin=pipe.stdout, capture_output=True, text=True, check=False)
    if pipe.returncode or done.returncode:
        raise PackagesError(f"{archive} cannot be unpacked: {done.stderr.strip()}; remove it and try again")


def _apt(*arguments: str, archives: Path) -> str:
    (archives / "partial").mkdir(parents=True, exist_ok=True)
    options = {
        "Dir::State::status": "/dev/null",  # as if nothing was installed
        "Dir::Cache::archives": str(archives),
        "APT::Install-Recommends": "false",
        "APT::Default-Release": f"/^{SUITE}/",
        "APT::Sandbox::User": "root",
        "Debug::NoLocking": "true",
    }
    command = ["apt-get", "-qq", "-y", *(f"-o{name}={value}" for name, value in options.items()), "install"]
    try:
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise PackagesError(
            "apt-get is not there: images are assembled from Debian's packages; use a Debian 12 machine, or one that "
            "can pull images"
        ) from error
    if done.returncode:
        raise PackagesError(
            f"apt-get could not get {' '.join(a for a in arguments if not a.startswith('-'))}: "
            f"{done.stderr.strip()[-500:]}; packages of Debian's suite {SUITE} are needed: `apt-get update`, and look "
            "at the sources of apt"
        )
    return done.stdout
