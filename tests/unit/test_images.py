"""What goes into Berth's image, and that its two recipes say the same."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from berth import __version__
from e2e.images import berth, debian, tree

DOCKERFILE = (berth.ROOT / "Dockerfile").read_text()
STAGE = DOCKERFILE.partition("FROM ${BASE}")[2]


def test_the_dockerfile_and_the_assembled_image_have_the_same_settings() -> None:
    """User, entrypoint, environment, port and labels: whoever made it, it runs the same."""
    config = berth.config()
    environment = dict(re.findall(r"(PYTHON\w+)=(\S+)", STAGE))
    labels = dict(re.findall(r'(org\.opencontainers\.\S+)="(.*?)"', STAGE))

    assert environment == config.environment
    assert f"USER {config.user}" in STAGE
    assert f"EXPOSE {config.ports[0].removesuffix('/tcp')}" in STAGE
    assert "ENTRYPOINT [" + ", ".join(f'"{word}"' for word in config.entrypoint) + "]" in STAGE
    assert set(labels) == set(config.labels)
    assert labels["org.opencontainers.image.title"] == config.labels["org.opencontainers.image.title"]
    assert f"ARG VERSION={__version__}" in STAGE


def test_only_what_is_left_out_goes(tmp_path: Path) -> None:
    """Typed models and calls of the official client go, what loads them lazily stays."""
    kept = ["kubernetes/client/models/__init__.py", "kubernetes/client/configuration.py", "aiohttp/_parser.so"]
    gone = ["kubernetes/client/models/v1_pod.py", "kubernetes/aio/client/api/core_v1_api.py", "aiohttp/_parser.pyx",
            "bin/berth"]  # fmt: skip
    for name in (*kept, *gone):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("12345")

    freed = tree.prune(tmp_path)

    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == sorted(kept)
    assert freed == 5 * len(gone)


def test_compiled_modules_do_not_look_at_their_sources(tmp_path: Path) -> None:
    """In a read-only image a source is never newer: a changed one is not noticed, which shows that it is not read."""
    (tmp_path / "told.py").write_text("print('compiled')")
    tree.precompile(tmp_path)
    (tmp_path / "told.py").write_text("print('read')")

    said = subprocess.run(
        [sys.executable, "-c", "import told"], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert said.stdout == "compiled\n"


def test_a_newer_package_gives_another_key() -> None:
    """The key names a cached file system: a security update must not be hidden by it."""
    old = [debian.Archive("libc6_2.36-9_amd64.deb", 1), debian.Archive("zlib1g_1%3a1.2_amd64.deb", 1)]
    new = [debian.Archive("libc6_2.36-10_amd64.deb", 1), old[1]]

    assert old[1].package == "zlib1g"
    assert debian.key(old) == debian.key(list(old))
    assert debian.key(old) != debian.key(new)


def test_without_apt_the_error_says_what_to_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is no Debian gets a sentence, not a traceback of subprocess."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(debian.PackagesError, match=r"apt-get is not there.*Debian 12"):
        debian.closure(["bash"], archives=tmp_path)
