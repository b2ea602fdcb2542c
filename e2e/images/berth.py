"""Berth's image: by the Dockerfile where base images can be pulled, else assembled from Debian packages.

Both ways lead to the same image: Debian 12's Python 3.11, the tree of `e2e.images.tree` in /opt/berth, user 65532, no
shell. What is assembled is an image file that docker, podman and containerd load.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from berth import __version__
from e2e.ground.binaries import cache_root
from e2e.ground.progress import Progress
from e2e.images import debian, oci, tree

ROOT = Path(__file__).resolve().parents[2]
NAME = f"berth:{__version__}"
USER = "65532"
HOME = "/opt/berth"
BUILDERS = ("docker", "podman", "buildah")
_PULL_S = 90
_BASES = ("python:3.11-slim-bookworm", "gcr.io/distroless/python3-debian12:nonroot")
_PYTHON = ("python3-minimal", "libpython3.11-stdlib", "ca-certificates")
# Named by the dependencies and needed by installers, interactive use, or modules of Python that are taken out below.
_WITHOUT = ("dpkg", "tar", "perl*", "debconf", "openssl", "readline-common", "libreadline8", "libncursesw6",
            "libtinfo6", "libdb5.3", "libsqlite3-0", "gcc-12-base", "libselinux1", "libpcre2*", "libacl1", "libmd0",
            "libgdbm*", "libnsl2", "libtirpc*", "libgssapi*", "libkrb5*", "libk5*", "libkeyutils1",
            "libcom-err2")  # fmt: skip
# Modules of Python's library that an operator has no use for, and those whose libraries are left out above.
_UNUSED = ("curses", "dbm", "distutils", "idlelib", "lib2to3", "pydoc_data", "sqlite3", "test", "tkinter", "turtledemo",
           "lib-dynload/_curses*", "lib-dynload/_dbm*", "lib-dynload/_sqlite3*", "lib-dynload/readline*",
           "lib-dynload/nis*", "config-3.11-*")  # fmt: skip
_PASSWD = f"root:x:0:0:root:/:/nonexistent\nnonroot:x:{USER}:{USER}:nonroot:/:/nonexistent\n"
_GROUP = f"root:x:0:\nnonroot:x:{USER}:\n"


class ImageError(RuntimeError):
    """The image could not be made; the message says why and what helps."""


def builder(environ: Mapping[str, str]) -> str | None:
    """The program that can build a Dockerfile and whose base images can be pulled; None when there is none."""
    for name in BUILDERS:
        if shutil.which(name, path=environ.get("PATH", "")) is None:
            continue
        if all(_pulled(name, base) for base in _BASES):
            return name
    return None


def build(name: str, with_builder: str) -> None:
    """Build the Dockerfile; ImageError with the builder's own words above it."""
    command = [with_builder, *(["bud"] if with_builder == "buildah" else ["build"]), "--tag", name]
    command += ["--build-arg", f"VERSION={__version__}", "--build-arg", f"REVISION={revision()}", str(ROOT)]
    if subprocess.run(command, check=False).returncode:
        raise ImageError(f"{' '.join(command)} failed: see above")


def assemble(name: str, out: Path, *, environ: Mapping[str, str], progress: Progress) -> Path:
    """Make the image file `out` from Debian's packages and PyPI's; no builder and no registry is needed."""
    require_python()
    base = python_base(environ=environ, progress=progress)
    progress.begin("image", f"{name}: Python packages")
    with tempfile.TemporaryDirectory(prefix="berth-image-") as scratch:
        content = Path(scratch) / "tree"
        try:
            tree.fill(ROOT, content)
        except subprocess.CalledProcessError as error:
            raise ImageError("pip could not install what pyproject.toml names: see above") from error
        layers = [oci.layer((base, "")), oci.layer((content, HOME))]
    oci.write(out, name, layers, config())
    progress.end(f"{out}, {out.stat().st_size / 1e6:.0f} MB")
    return out


def config() -> oci.Config:
    """The same settings as in the Dockerfile."""
    return oci.Config(
        entrypoint=["/usr/bin/python3", "-m", "berth"],
        environment={"PYTHONPATH": HOME, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"},
        user=f"{USER}:{USER}",
        ports=["8080/tcp"],
        labels={
            "org.opencontainers.image.title": "berth",
            "org.opencontainers.image.description": "Berths training gangs on mixed accelerators",
            "org.opencontainers.image.licenses": "Apache-2.0",
            "org.opencontainers.image.version": __version__,
            "org.opencontainers.image.revision": revision(),
        },
    )


def python_base(*, environ: Mapping[str, str], progress: Progress) -> Path:
    """A file system of Debian's Python without a shell, from the cache when these packages were unpacked before."""
    cache = cache_root(environ) / "debian"
    archives = cache / "archives"
    progress.begin("base", "Debian's Python")
    found = debian.closure(_PYTHON, archives=archives)
    root = cache / f"python-{debian.key(found)}"
    if not root.exists():
        fresh = root.with_name(f".{root.name}.new")
        debian.unpack(_PYTHON, fresh, archives=archives, without=_WITHOUT)
        _finish(fresh)
        fresh.rename(root)
    progress.end(f"{len(found)} packages, {root}")
    return root


def require_python() -> None:
    """Packages are picked, and modules compiled, by the Python that runs this: it must be the image's."""
    if sys.version_info[:2] != (3, 11):
        raise ImageError(
            f"this is Python {sys.version_info.major}.{sys.version_info.minor}, an assembled image has Debian 12's "
            "3.11: make the virtual environment with Python 3.11 (`make PYTHON=python3.11 image`), or use a machine "
            "that can pull images"
        )


def revision() -> str:
    """The commit of the work tree, `unknown` where there is none."""
    said = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return said.stdout.strip() or "unknown"


def _finish(root: Path) -> None:
    """What the packages' scripts would have done, less what an operator does not use."""
    library = root / "usr/lib/python3.11"
    for pattern in _UNUSED:
        for path in library.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name in ("usr/share/python3", "usr/share/perl5", "usr/lib/x86_64-linux-gnu/gconv", "usr/share/pixmaps",
                 "usr/share/applications", "usr/share/debconf", "var", "usr/sbin"):  # fmt: skip
        shutil.rmtree(root / name, ignore_errors=True)
    (root / "usr/sbin").mkdir(exist_ok=True)
    for program in (root / "usr/bin").iterdir():
        if not program.name.startswith("python3"):
            program.unlink()
    (root / "etc").mkdir(exist_ok=True)
    (root / "etc/passwd").write_text(_PASSWD)
    (root / "etc/group").write_text(_GROUP)
    (root / "etc/nsswitch.conf").write_text("hosts: files dns\n")
    authorities = sorted((root / "usr/share/ca-certificates").rglob("*.crt"))
    bundle = root / "etc/ssl/certs/ca-certificates.crt"
    bundle.parent.mkdir(parents=True, exist_ok=True)
    bundle.write_text("".join(path.read_text() for path in authorities))
    shutil.rmtree(root / "usr/share/ca-certificates")
    (root / "usr/lib/ssl").mkdir(exist_ok=True)  # where OpenSSL looks
    (root / "usr/lib/ssl/cert.pem").symlink_to("/etc/ssl/certs/ca-certificates.crt")
    for name in ("proc", "sys", "dev", "run", "tmp"):
        (root / name).mkdir(exist_ok=True)
    (root / "tmp").chmod(0o1777)
    tree.precompile(library)


def _pulled(program: str, image: str) -> bool:
    try:
        done = subprocess.run([program, "pull", image], capture_output=True, timeout=_PULL_S, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
