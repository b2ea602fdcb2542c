"""What Berth's image holds beside Python: the operator and what it imports, nothing else.

    python3 e2e/images/tree.py SOURCE TARGET

SOURCE is the work tree. The Dockerfile runs this file by itself, hence the standard library only. pip takes its index
from the environment, as ever (`PIP_INDEX_URL`, `PIP_NO_INDEX`, `PIP_FIND_LINKS`).

The official `kubernetes` package is most of the weight: 126 of 158 MB, typed models and calls of every API, for both
its clients, of which Berth uses the loading of kubeconfigs. They are loaded when they are first named, so they can be
left out; tests/integration/test_image_tree.py runs the operator through a job's life on the tree that is left.
"""

import compileall
import py_compile
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

LEFT_OUT = (
    # Typed models and calls: named lazily by kubernetes/client/__init__.py, by nothing that Berth uses.
    "kubernetes/client/models/[!_]*.py",
    "kubernetes/client/api/*.py",
    "kubernetes/aio/client/models/[!_]*.py",
    "kubernetes/aio/client/api/*.py",
    # Sources of compiled modules, and types for checkers.
    "**/*.pyx",
    "**/*.pxd",
    "**/*.pyi",
    "**/*.c",
    "**/*.h",
    "aiohttp/.hash",
    # Console scripts, which nobody runs here.
    "bin",
)


def main() -> int:
    """Fill the target; exit code 1 with one line when a package cannot be had."""
    if len(sys.argv) != 3:
        sys.stderr.write("usage: tree.py SOURCE TARGET\n")
        return 2
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    try:
        fill(source, target)
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"pip ended with exit code {error.returncode}: see above\n")
        return 1
    return 0


def fill(source: Path, target: Path) -> None:
    """Make `target` anew: installed, pruned, compiled."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    project = tomllib.loads((source / "pyproject.toml").read_text())["project"]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    subprocess.run(
        [*pip, "--root-user-action", "ignore", "--only-binary", ":all:", "--target", str(target)]
        + project["dependencies"],
        check=True,
    )
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(source / "operator" / "berth", target / "berth", ignore=skip)
    shutil.copyfile(source / "LICENSE", target / "LICENSE")
    prune(target)
    precompile(target)


def prune(target: Path) -> int:
    """Remove what is left out; how many bytes that were."""
    freed = 0
    for pattern in LEFT_OUT:
        for path in list(target.glob(pattern)):
            freed += sum(file.stat().st_size for file in (path, *path.rglob("*")) if file.is_file())
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return freed


def precompile(target: Path) -> None:
    """Compile all modules: at run time the root file system is read-only, so Python could not.

    Unchecked: the sources of an image do not change, and looking at each would cost time at every start.
    """
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(target, quiet=2, invalidation_mode=unchecked, stripdir=str(target), workers=0)


if __name__ == "__main__":
    sys.exit(main())
