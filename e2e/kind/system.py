"""The images of Kubernetes' own programs, under the names that kubeadm asks for.

Each holds one program that was built here. kube-proxy also gets iptables and what it loads: the xtables plugins have
libraries of their own, and without one of them the rules of services with two endpoints silently do not load; so the
package manager says what belongs to it, and nobody here.
"""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from e2e.images import debian, oci

_IPTABLES = ("iptables", "conntrack", "kmod")
_WITHOUT = ("gcc-12-base", "perl*")


def images(programs: Mapping[str, Path], out: Path, *, archives: Path, kubernetes: str) -> list[Path]:
    """Write the image files into `out`; ``programs`` are paths by name."""
    asked = [str(programs["kubeadm"]), "config", "images", "list", "--kubernetes-version", kubernetes]
    said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()
    names = {name.rpartition("/")[2].partition(":")[0]: name for name in said}
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for program in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd"):
        layer = oci.layer((programs[program], f"usr/local/bin/{program}"))
        written.append(_image(out, names[program], [layer], oci.Config()))
    coredns = oci.layer((programs["coredns"], "coredns"))
    written.append(_image(out, names["coredns"], [coredns], oci.Config(entrypoint=["/coredns"])))
    written.append(_pause(out, names["pause"], archives))
    written.append(_proxy(out, names["kube-proxy"], programs["kube-proxy"], archives))
    return written


def pause_name(kubeadm: Path, kubernetes: str) -> str:
    """Name of the image that every pod's sandbox runs."""
    asked = [str(kubeadm), "config", "images", "list", "--kubernetes-version", kubernetes]
    said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()
    return next(name for name in said if "/pause:" in name)


def _pause(out: Path, name: str, archives: Path) -> Path:
    """Catatonit is static, and its -P does what a sandbox's first process has to: reap, and end when told."""
    root = out / "pause.root"
    debian.unpack(["catatonit"], root, archives=archives, without=_WITHOUT)
    layer = oci.layer((root / "usr/bin/catatonit", "pause"))
    return _image(out, name, [layer], oci.Config(entrypoint=["/pause", "-P"]))


def _proxy(out: Path, name: str, program: Path, archives: Path) -> Path:
    root = out / "kube-proxy.root"
    debian.unpack(_IPTABLES, root, archives=archives, without=_WITHOUT)
    iptables_links(root)
    layer = oci.layer((root, ""), (program, "usr/local/bin/kube-proxy"))
    return _image(out, name, [layer], oci.Config())


def iptables_links(root: Path) -> None:
    """The names of iptables, which its package's script would make: the nft variant."""
    for family in ("iptables", "ip6tables"):
        for suffix in ("", "-save", "-restore"):
            link = root / "usr/sbin" / f"{family}{suffix}"
            link.unlink(missing_ok=True)
            link.symlink_to("xtables-nft-multi")


def _image(out: Path, name: str, layers: list[oci.Layer], config: oci.Config) -> Path:
    path = out / f"{name.rpartition('/')[2].replace(':', '-')}.tar"
    oci.write(path, name, layers, config)
    return path
