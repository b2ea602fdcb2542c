"""Image files: what docker, podman and containerd read is one and the same, and depends on nothing but the files."""

import gzip
import hashlib
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from e2e.images import oci


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A file, a link to it, a second name of it, and a directory that all may write to."""
    root = tmp_path / "tree"
    (root / "bin").mkdir(parents=True)
    (root / "bin/tool").write_text("content")
    (root / "bin/tool").chmod(0o755)
    (root / "bin/link").symlink_to("tool")
    os.link(root / "bin/tool", root / "bin/again")
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    return root


def members(layer: oci.Layer) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(layer.data))) as tar:
        return {info.name: info for info in tar.getmembers()}


def read(image: Path) -> dict[str, bytes]:
    found = {}
    with tarfile.open(image) as tar:
        for info in tar.getmembers():
            file = tar.extractfile(info)
            assert file is not None
            found[info.name] = file.read()
    return found


def test_a_layer_keeps_kinds_modes_and_links_and_gives_all_to_root(tree: Path) -> None:
    """A second name of a file is a file of its own: the first may lie outside of what is packed."""
    found = members(oci.layer((tree, "opt/app")))

    assert {"opt", "opt/app", "opt/app/bin", "opt/app/bin/again", "opt/app/bin/link", "opt/app/bin/tool",
            "opt/app/tmp"} == set(found)  # fmt: skip
    assert found["opt/app/tmp"].mode == 0o1777
    assert found["opt/app/bin/tool"].mode == 0o755
    assert found["opt/app/bin/link"].linkname == "tool"
    assert found["opt/app/bin/again"].isreg()
    assert found["opt/app/bin/again"].size == len("content")
    assert {(info.uid, info.gid, info.mtime, info.uname) for info in found.values()} == {(0, 0, 0, "root")}


def test_same_files_same_digest_whenever_they_were_written(tree: Path) -> None:
    """Times do not count."""
    before = oci.layer((tree, ""))
    os.utime(tree / "bin/tool", (1, 1))

    assert oci.layer((tree, "")).digest == before.digest


def test_one_file_may_be_packed_by_itself(tree: Path) -> None:
    """It gets the name that is asked for, and the directories above it."""
    assert list(members(oci.layer((tree / "bin/tool", "usr/local/bin/renamed")))) == [
        "usr", "usr/local", "usr/local/bin", "usr/local/bin/renamed",
    ]  # fmt: skip


def test_both_indexes_of_an_image_lead_to_the_same_blobs(tree: Path, tmp_path: Path) -> None:
    """Docker's manifest and the OCI index name the same layers, each under its own digest."""
    image = tmp_path / "image.tar"
    layers = [oci.layer((tree, "")), oci.layer((tree / "bin/tool", "extra"))]
    config = oci.Config(entrypoint=["/bin/tool"], user="65532:65532", labels={"a": "b"}, ports=["8080/tcp"])

    identity = oci.write(image, "registry.example/team/app:1.2", layers, config)

    files = read(image)
    for name, data in files.items():
        if name.startswith("blobs/sha256/"):
            assert name == f"blobs/sha256/{hashlib.sha256(data).hexdigest()}"
    (legacy,) = json.loads(files["manifest.json"])
    (entry,) = json.loads(files["index.json"])["manifests"]
    manifest: dict[str, Any] = json.loads(files[f"blobs/sha256/{entry['digest'].removeprefix('sha256:')}"])
    assert legacy["RepoTags"] == ["registry.example/team/app:1.2"]
    assert entry["annotations"]["io.containerd.image.name"] == "registry.example/team/app:1.2"
    assert entry["annotations"]["org.opencontainers.image.ref.name"] == "1.2"
    assert legacy["Config"] == f"blobs/sha256/{identity}"
    assert legacy["Layers"] == [f"blobs/sha256/{one['digest'].removeprefix('sha256:')}" for one in manifest["layers"]]
    settings = json.loads(files[legacy["Config"]])
    assert settings["config"]["User"] == "65532:65532"
    assert settings["config"]["ExposedPorts"] == {"8080/tcp": {}}
    assert settings["rootfs"]["diff_ids"] == [
        f"sha256:{hashlib.sha256(gzip.decompress(layer.data)).hexdigest()}" for layer in layers
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("berth:0.1.0", "docker.io/library/berth:0.1.0"),
        ("team/berth:0.1.0", "docker.io/team/berth:0.1.0"),
        ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"),
        ("localhost/berth:1", "localhost/berth:1"),
        ("127.0.0.1:5000/berth:1", "127.0.0.1:5000/berth:1"),
    ],
)
def test_containerd_is_told_full_names(name: str, expected: str) -> None:
    """A kubelet that is asked for `berth:0.1.0` looks for Docker Hub's: without this an image on the node is missed."""
    assert oci.reference(name) == expected
