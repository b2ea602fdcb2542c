"""The node image, made where none can be pulled: Debian's systemd and runc, and the programs that were built here.

It does what kind's own Dockerfile (images/base in kind's module) does, in its order, with files of that module. The
images of Kubernetes' programs are imported while it is made, by the node's own containerd run on the node's files, so
that a node has them when it starts.
"""

import hashlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from e2e.ground.binaries import Binaries, cache_root
from e2e.ground.gobuild import source_directory
from e2e.ground.processes import Child
from e2e.ground.progress import Progress
from e2e.ground.versions import CONTAINERD, COREDNS, ETCD, KIND, KUBERNETES
from e2e.ground.waiting import until
from e2e.images import debian, oci
from e2e.kind import system
from e2e.kind.daemon import Docker

PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl", "kubelet", "kubeadm",
             "kube-proxy", "etcd", "containerd", "containerd-shim-runc-v2", "ctr", "coredns")  # fmt: skip
_PACKAGES = ("systemd", "systemd-sysv", "base-files", "base-passwd", "bash", "dash", "coreutils", "findutils", "grep",
             "sed", "mawk", "tar", "gzip", "hostname", "procps", "mount", "util-linux", "kmod", "iptables", "conntrack",
             "iproute2", "ethtool", "libc-bin", "jq", "runc", "containernetworking-plugins")  # fmt: skip
_WITHOUT = ("perl*", "libperl*", "lib*-perl", "usrmerge", "debconf", "init-system-helpers", "gcc-12-base")
_UNITS = ("kubelet.service", "containerd.service", "undo-mount-hacks.service")
_STORAGE = """apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: standard
  annotations: {storageclass.kubernetes.io/is-default-class: "true"}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
"""
_OFF = ("io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime",
        "io.containerd.internal.v1.opt")  # fmt: skip


def name() -> str:
    """Image name of this version: what is built, and how."""
    made = hashlib.sha256()
    for module in (KUBERNETES, ETCD, CONTAINERD, COREDNS, KIND):
        made.update(f"{module.path}@{module.version}\n".encode())
    for source in (Path(__file__), Path(system.__file__), Path(oci.__file__), Path(debian.__file__)):
        made.update(source.read_bytes())
    return f"berth-node:{KUBERNETES.version}-{made.hexdigest()[:8]}"


def ensure(docker: Docker, *, environ: Mapping[str, str], progress: Progress) -> str:
    """Name of the node image in Docker's store, made when it is not there."""
    wanted = name()
    if docker.has(wanted):
        return wanted
    programs = Binaries(environ=environ, progress=progress).ensure(PROGRAMS)
    archives = cache_root(environ) / "debian" / "archives"
    work = cache_root(environ) / "kind"
    work.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="node-", dir=work))
    try:
        progress.begin("node image", "Debian packages")
        root = scratch / "root"
        debian.unpack(_PACKAGES, root, archives=archives, without=_WITHOUT)
        _configure(root)
        progress.update("kind's files and the programs")
        _kind_files(root, source_directory(KIND, environ=environ) / "images/base/files", programs)
        progress.update("images of Kubernetes' programs")
        files = system.images(programs, scratch / "images", archives=archives, kubernetes=KUBERNETES.version)
        progress.update("importing them")
        _preload(root, files, programs, scratch)
        progress.update("packing")
        _import(docker, root, wanted)
        progress.end(wanted)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return wanted


def _configure(root: Path) -> None:
    """What the scripts of Debian's packages would have done."""
    for kind in ("passwd", "group"):
        shutil.copyfile(root / f"usr/share/base-passwd/{kind}.master", root / "etc" / kind)
    (root / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
    shutil.rmtree(root / "var/run", ignore_errors=True)
    for link, target in (("usr/bin/awk", "mawk"), ("usr/bin/which", "which.debianutils"), ("var/run", "/run")):
        (root / link).symlink_to(target)
    for directory in (
        "root",
        "proc",
        "sys",
        "dev",
        "run",
        "tmp",
        "var/lib",
        "var/log",
        "var/tmp",
        "etc/systemd/system",
    ):
        (root / directory).mkdir(parents=True, exist_ok=True)
    for open_to_all in ("tmp", "var/tmp"):
        (root / open_to_all).chmod(0o1777)
    # kind's entrypoint chooses between the variants of iptables by this.
    for family in ("iptables", "ip6tables"):
        for priority, variant in ((10, "legacy"), (20, "nft")):
            command = ["chroot", str(root), "update-alternatives", "--quiet", "--install", f"/usr/sbin/{family}"]
            command += [family, f"/usr/sbin/{family}-{variant}", str(priority)]
            for tool in ("restore", "save"):
                command += ["--slave", f"/usr/sbin/{family}-{tool}", f"{family}-{tool}"]
                command += [f"/usr/sbin/{family}-{variant}-{tool}"]
            subprocess.run(command, check=True, capture_output=True)
    subprocess.run(["ldconfig", "-r", str(root)], check=True, capture_output=True)


def _kind_files(root: Path, base: Path, programs: Mapping[str, Path]) -> None:
    for source in (path for path in base.rglob("*") if path.is_file()):
        where = source.relative_to(base)
        if where.parts[0] not in {"etc", "kind"} and where != Path("usr/local/bin/entrypoint"):
            continue
        target = root / where
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        target.chmod(0o755 if "bin" in where.parts else 0o644)
    system_units = root / "usr/lib/systemd/system"
    (system_units / "sysinit.target.wants/systemd-tmpfiles-setup.service").unlink(missing_ok=True)
    for pattern in ("multi-user.target.wants/*", "local-fs.target.wants/*", "basic.target.wants/*",
                    "sockets.target.wants/*udev*", "sockets.target.wants/*initctl*"):  # fmt: skip
        for unit in system_units.glob(pattern):
            unit.unlink()
    own_units = root / "etc/systemd/system"
    for unit in own_units.glob("*.wants/*"):
        unit.unlink()
    wants = own_units / "multi-user.target.wants"
    wants.mkdir(exist_ok=True)
    for unit_name in _UNITS:
        (wants / unit_name).symlink_to(f"/etc/systemd/system/{unit_name}")
    (own_units / "systemd-binfmt.service").symlink_to("/dev/null")
    with (root / "etc/systemd/journald.conf").open("a") as journal:
        journal.write("ReadKMsg=no\n")
    for directory in ("etc/kubernetes/manifests", "kind/manifests", "opt/cni"):
        (root / directory).mkdir(parents=True, exist_ok=True)
    (root / "opt/cni/bin").symlink_to("/usr/lib/cni")
    (root / "kind/version").write_text(KUBERNETES.version)
    (root / "kind/manifests/default-storage.yaml").write_text(_STORAGE)
    for program in ("containerd", "containerd-shim-runc-v2", "ctr"):
        shutil.copy(programs[program], root / "usr/local/bin" / program)
    for program in ("kubelet", "kubectl", "kubeadm"):
        shutil.copy(programs[program], root / "usr/bin" / program)
    _containerd(root, programs)


def _containerd(root: Path, programs: Mapping[str, Path]) -> None:
    settings = root / "etc/containerd/config.toml"
    text = settings.read_text()
    pause = system.pause_name(programs["kubeadm"], KUBERNETES.version)
    wanted = {
        'sandbox_image = "registry.k8s.io/pause:3.10"': f'sandbox_image = "{pause}"',
        # A negative oom_score_adj takes CAP_SYS_RESOURCE, which not every host gives.
        "restrict_oom_score_adj = false": "restrict_oom_score_adj = true",
    }
    for before, after in wanted.items():
        if before not in text:
            raise RuntimeError(f"kind {KIND.version}: {before!r} is not in its containerd settings; look there anew")
        text = text.replace(before, after)
    settings.write_text(text)
    said = subprocess.run([str(programs["ctr"]), "oci", "spec"], capture_output=True, text=True, check=True)
    spec: dict[str, Any] = json.loads(said.stdout)
    spec["process"].pop("rlimits", None)
    spec.setdefault("hooks", {}).setdefault("createContainer", []).append({"path": "/kind/bin/mount-product-files.sh"})
    (root / "etc/containerd/cri-base.json").write_text(json.dumps(spec))


def _preload(root: Path, files: list[Path], programs: Mapping[str, Path], scratch: Path) -> None:
    run = Path(tempfile.mkdtemp(prefix="berth-ctr-"))  # short: it holds sockets
    socket = run / "sock"
    settings = {
        "root": str(root / "var/lib/containerd"),
        "state": str(run / "state"),
    }
    lines = ["version = 2", *(f"{key} = {json.dumps(value)}" for key, value in settings.items())]
    lines += [f"disabled_plugins = {json.dumps(list(_OFF))}", "[grpc]", f"address = {json.dumps(str(socket))}"]
    lines += ["[ttrpc]", f"address = {json.dumps(f'{socket}.ttrpc')}"]
    (run / "config.toml").write_text("\n".join(lines) + "\n")
    daemon = Child("containerd", [str(programs["containerd"]), "-c", str(run / "config.toml")], log=scratch / "ctr.log")
    ctr = [str(programs["ctr"]), "-a", str(socket), "-n", "k8s.io"]
    daemon.start()
    try:

        def answers() -> bool:
            daemon.check()
            return subprocess.run([*ctr, "version"], capture_output=True, check=False).returncode == 0

        until(answers, "containerd to answer", timeout_s=30, poll_s=0.2)
        for file in files:
            pinned = "--label=io.cri-containerd.pinned=pinned"
            command = [*ctr, "images", "import", pinned, "--all-platforms", "--no-unpack", str(file)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"{file} cannot be imported: {done.stderr.strip()}")
    finally:
        daemon.stop()
        shutil.rmtree(run, ignore_errors=True)


def _import(docker: Docker, root: Path, image: str) -> None:
    changes = ["ENV container=docker", 'ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]']
    command = ["docker", "import", *(word for change in changes for word in ("--change", change)), "-", image]
    with subprocess.Popen(["tar", "-C", str(root), "--sort=name", "-c", "."], stdout=subprocess.PIPE) as tar:
        done = subprocess.run(
            command, stdin=tar.stdout, env=docker.environ, capture_output=True, text=True, check=False
        )
    if tar.returncode or done.returncode:
        raise RuntimeError(f"docker import of the node image failed: {done.stderr.strip()}")
