"""Where the ground's programs are searched for, and which are refused."""

import io
from pathlib import Path

import pytest

from e2e.ground.binaries import Binaries, Origin, cache_root
from e2e.ground.gobuild import BuildError
from e2e.ground.progress import Progress
from e2e.ground.versions import KUBERNETES, KWOK, MODULE_OF


def program(path: Path, says: str) -> Path:
    """A program that tells a version."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


def binaries(tmp_path: Path, **environ: str) -> Binaries:
    """The search in an environment without Go."""
    return Binaries(
        environ={"PATH": "/nowhere", "BERTH_CACHE": str(tmp_path / "cache"), **environ},
        progress=Progress(io.StringIO()),
    )


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"BERTH_CACHE": "/b", "XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/b"),
        ({"XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/x/berth"),
        ({"BERTH_CACHE": "", "XDG_CACHE_HOME": "", "HOME": "/h"}, "/h/.cache/berth"),
    ],
)
def test_the_cache_is_where_the_environment_says(environ: dict[str, str], expected: str) -> None:
    """BERTH_CACHE goes before XDG_CACHE_HOME, and that before the home directory; empty counts as unset."""
    assert str(cache_root(environ)) == expected


def test_a_fitting_program_of_kubebuilder_assets_is_taken(tmp_path: Path) -> None:
    """It goes before the cache, and its own version is told."""
    program(tmp_path / "cache" / "bin" / MODULE_OF["etcd"].directory / "etcd", "etcd Version: 3.6.16")
    assets = program(tmp_path / "assets" / "etcd", "etcd Version: 3.6.4").parent

    found = binaries(tmp_path, KUBEBUILDER_ASSETS=str(assets)).find("etcd")

    assert (found.origin, found.path, found.version) == (Origin.ASSETS, assets / "etcd", "v3.6.4")


@pytest.mark.parametrize(
    ("name", "says", "reason"),
    [
        ("etcd", "etcd Version: 3.5.21", "version 3.5.21, needed is >= 3.6 and < 4.0"),
        ("kube-apiserver", "Kubernetes v1.33.0", "version 1.33.0, needed is >= 1.36 and < 1.37"),
        ("kubectl", "Client Version: v1.37.0", "version 1.37.0, needed is >= 1.36 and < 1.37"),
        ("etcd", "hello", "does not tell its version"),
    ],
)
def test_an_unfit_program_of_kubebuilder_assets_is_refused_with_the_reason(
    name: str, says: str, reason: str, tmp_path: Path
) -> None:
    """The cache serves instead, and the reason names the file."""
    assets = program(tmp_path / "assets" / name, says).parent
    cached = program(tmp_path / "cache" / "bin" / MODULE_OF[name].directory / name, "any")

    found = binaries(tmp_path, KUBEBUILDER_ASSETS=str(assets)).find(name)

    assert (found.origin, found.path) == (Origin.CACHE, cached)
    assert found.refused is not None
    assert str(assets / name) in found.refused
    assert reason in found.refused


def test_what_is_on_path_is_not_taken(tmp_path: Path) -> None:
    """A kubectl of any age may be there; it must match the API server."""
    there = program(tmp_path / "bin" / "kubectl", "Client Version: v1.36.3").parent

    assert binaries(tmp_path, PATH=str(there)).find("kubectl").origin is Origin.ABSENT


def test_a_cached_program_is_used_as_it_is(tmp_path: Path) -> None:
    """Nothing is built, so no Go is needed."""
    path = program(tmp_path / "cache" / "bin" / KUBERNETES.directory / "kubectl", "any")

    assert binaries(tmp_path).ensure(["kubectl"]) == {"kubectl": path}


def test_another_version_in_the_cache_is_not_used(tmp_path: Path) -> None:
    """The cache is kept by version."""
    program(tmp_path / "cache" / "bin" / "kwok-v0.7.0" / "kwok", "kwok version v0.7.0")

    found = binaries(tmp_path).find("kwok")

    assert (found.origin, found.path.parent.name) == (Origin.ABSENT, f"kwok-{KWOK.version}")


def test_what_is_nowhere_needs_go_and_the_error_says_so(tmp_path: Path) -> None:
    """Without Go the error names it and both ways out."""
    with pytest.raises(BuildError, match=r"Go is not on PATH; install Go >= 1.26 .* or set KUBEBUILDER_ASSETS"):
        binaries(tmp_path).ensure(["etcd"])


def test_an_unknown_program_is_a_mistake(tmp_path: Path) -> None:
    """The error names those that are known."""
    with pytest.raises(ValueError, match="unknown program 'minikube'; known are containerd, "):
        binaries(tmp_path).find("minikube")
