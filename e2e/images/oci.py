"""An image file from directories: an OCI layout that is a `docker save` archive at the same time.

containerd reads the one, older Docker the other, and both find the same blobs. Same files, same digest: owners are
root, times are one constant, names are sorted.
"""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_CREATED = "2026-01-01T00:00:00Z"
_TYPE = "application/vnd.oci.image"
_COMPRESSION = 1
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Config:
    """What runs, as whom, with which environment."""

    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: Sequence[str] = ()

    def wire(self) -> dict[str, Any]:
        """As the image's configuration spells it; what is not set is left out."""
        told = {
            "Env": [f"{name}={value}" for name, value in {"PATH": PATH, **self.environment}.items()],
            "Entrypoint": list(self.entrypoint),
            "Cmd": list(self.command),
            "User": self.user,
            "Labels": dict(self.labels),
            "ExposedPorts": {port: {} for port in self.ports},
        }
        return {name: value for name, value in told.items() if value}


@dataclass(frozen=True, slots=True)
class Layer:
    """One packed directory: its compressed bytes, their digest, and the digest of what is in them."""

    data: bytes = field(repr=False)
    digest: str
    content: str


def layer(*parts: tuple[Path, str]) -> Layer:
    """Pack directories or files, each at a path of the image."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        made: set[str] = set()
        for source, where in parts:
            _parents(tar, where.strip("/"), made)
            _add(tar, source, where.strip("/"), made)
    raw = buffer.getvalue()
    packed = gzip.compress(raw, _COMPRESSION, mtime=0)
    return Layer(packed, _sha(packed), _sha(raw))


def write(path: Path, name: str, layers: Sequence[Layer], config: Config) -> str:
    """Write the image file; the digest of its configuration, which is the image's id."""
    settings = _json(
        {
            "architecture": "amd64",
            "os": "linux",
            "created": _CREATED,
            "config": config.wire(),
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{item.content}" for item in layers]},
            "history": [{"created": _CREATED, "created_by": "e2e.images"} for _ in layers],
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": f"{_TYPE}.manifest.v1+json",
            "config": _descriptor("config.v1+json", settings),
            "layers": [_descriptor("layer.v1.tar+gzip", item.data) for item in layers],
        }
    )
    tag = name.rpartition(":")[2]
    named = {"io.containerd.image.name": reference(name), "org.opencontainers.image.ref.name": tag}
    index = {"schemaVersion": 2, "manifests": [{**_descriptor("manifest.v1+json", manifest), "annotations": named}]}
    legacy = [
        {"Config": _blob(settings), "RepoTags": [name], "Layers": [f"blobs/sha256/{item.digest}" for item in layers]}
    ]
    files = {f"blobs/sha256/{item.digest}": item.data for item in layers}
    files |= {_blob(settings): settings, _blob(manifest): manifest}
    files |= {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": _json(index)}
    files |= {"manifest.json": _json(legacy)}
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.new")
    with tarfile.open(unfinished, "w") as tar:
        for member, data in files.items():
            info = tarfile.TarInfo(member)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    unfinished.replace(path)
    return _sha(settings)


def reference(name: str) -> str:
    """The full name that a short one stands for: containerd takes names as they are, kubelets ask for full ones."""
    registry, slash, _ = name.partition("/")
    if slash and ("." in registry or ":" in registry or registry == "localhost"):
        return name
    return f"docker.io/{name}" if slash else f"docker.io/library/{name}"


def _add(tar: tarfile.TarFile, source: Path, where: str, made: set[str]) -> None:
    if source.is_dir() and not source.is_symlink():
        if where and where not in made:
            made.add(where)
            tar.addfile(_clean(tar.gettarinfo(source, where)))
        for child in sorted(source.iterdir()):
            _add(tar, child, f"{where}/{child.name}".lstrip("/"), made)
        return
    info = _clean(tar.gettarinfo(source, where))
    if info.islnk():
        # The second name of a file: packed as a file of its own, since the first may lie outside the image.
        info.type, info.linkname, info.size = tarfile.REGTYPE, "", source.stat().st_size
    if info.isreg():
        with source.open("rb") as file:
            tar.addfile(info, file)
    else:
        tar.addfile(info)


def _parents(tar: tarfile.TarFile, where: str, made: set[str]) -> None:
    parts = where.split("/")[:-1]
    for end in range(1, len(parts) + 1):
        name = "/".join(parts[:end])
        if name not in made:
            made.add(name)
            info = tarfile.TarInfo(name)
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(_clean(info))


def _clean(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.mtime = 0
    info.uname = info.gname = "root"
    return info


def _descriptor(kind: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": f"{_TYPE}.{kind}", "digest": f"sha256:{_sha(data)}", "size": len(data)}


def _blob(data: bytes) -> str:
    return f"blobs/sha256/{_sha(data)}"


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
