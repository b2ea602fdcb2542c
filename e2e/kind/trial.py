"""What containers take of a kernel, tried for real in namespaces that vanish with this process.

A list of file systems or capabilities does not tell whether a mount, a group or a link will be let through: a sandbox,
a security module or a missing module of the kernel may refuse it, and then a cluster half starts. So each is done
once. This file runs by itself, with nothing but the standard library: ``python trial.py mounts DIRECTORY``. It ends
with 0, or with 1 and one line that says what was refused.
"""

import ctypes
import os
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

# Of linux/sched.h, linux/mount.h, linux/rtnetlink.h and linux/if_link.h.
_NEWNS, _NEWNET = 0x00020000, 0x40000000
_REC, _PRIVATE = 0x4000, 0x40000
_RTM_NEWLINK, _REQUEST, _ACK, _CREATE = 16, 0x1, 0x4, 0x400
_IFLA_IFNAME, _IFLA_LINKINFO, _IFLA_INFO_KIND = 3, 18, 1
_SECONDS = 60.0

# What kube-proxy's rules of a service with two endpoints are made of.
_RULES = (
    "-N TRIAL",
    "-A TRIAL -m comment --comment trial -m statistic --mode random --probability 0.5 -j MARK --or-mark 0x4000",
    "-A TRIAL -m mark ! --mark 0x4000/0x4000 -m addrtype --dst-type LOCAL -j RETURN",
    "-A TRIAL -m conntrack --ctstate NEW -p tcp -j DNAT --to-destination 10.0.0.1:80",
    "-A POSTROUTING -j MASQUERADE --random-fully",
)


def refused(what: str, *arguments: str, environ: Mapping[str, str] = os.environ) -> str:
    """Try one of `TRIALS` in a process of its own; what was refused, empty if nothing was."""
    command = [sys.executable, "-IS", __file__, what, *arguments]
    try:
        done = subprocess.run(command, env=dict(environ), capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"no answer within {_SECONDS:.0f} s"
    said = done.stderr.strip().splitlines()
    return "" if done.returncode == 0 else said[-1] if said else f"ended with {done.returncode}"


def mounts(directory: str) -> None:
    """Mount an overlay on the file system that images will lie on, and write through it."""
    _unshare(_NEWNS)
    _mount(b"none", b"/", b"", _REC | _PRIVATE, b"")
    with tempfile.TemporaryDirectory(prefix="berth-trial-", dir=directory) as scratch:
        parts = {name: Path(scratch) / name for name in ("lowerdir", "upperdir", "workdir", "merged")}
        for path in parts.values():
            path.mkdir()
        options = ",".join(f"{name}={path}" for name, path in parts.items() if name != "merged")
        _mount(b"overlay", bytes(parts["merged"]), b"overlay", 0, options.encode())
        try:
            (parts["merged"] / "file").write_text("through")
        finally:
            _called("umount", _libc().umount2(bytes(parts["merged"]), 2))


def groups(*directories: str) -> None:
    """Make a group under each of these directories of cgroups, and remove it."""
    for directory in directories:
        group = Path(directory) / f"berth-trial-{os.getpid()}"
        group.mkdir()
        group.rmdir()


def links() -> None:
    """Make a network, a bridge in it, and the pair of interfaces that a container gets."""
    _unshare(_NEWNET)
    for kind in ("bridge", "veth"):
        _link(f"trial-{kind}", kind)


def rules(iptables: str) -> None:
    """Write rules like kube-proxy's into a firewall that nothing passes."""
    _unshare(_NEWNET)
    for rule in _RULES:
        done = subprocess.run([iptables, "-t", "nat", *rule.split()], capture_output=True, text=True, check=False)
        if done.returncode:
            raise OSError(f"iptables {rule}: {' '.join(done.stderr.split())}")


TRIALS: Mapping[str, Callable[..., None]] = {"mounts": mounts, "groups": groups, "links": links, "rules": rules}


def _link(name: str, kind: str) -> None:
    """RTM_NEWLINK, and what the kernel answers."""
    info = _attribute(_IFLA_LINKINFO, _attribute(_IFLA_INFO_KIND, kind.encode()))
    body = struct.pack("=BxHiII", 0, 0, 0, 0, 0) + _attribute(_IFLA_IFNAME, name.encode() + b"\0") + info
    header = struct.pack("=IHHII", 16 + len(body), _RTM_NEWLINK, _REQUEST | _ACK | _CREATE, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        netlink.send(header + body)
        (error,) = struct.unpack_from("=i", netlink.recv(4096), 16)
    if error:
        raise OSError(-error, f"a {kind}: {os.strerror(-error)}")


def _attribute(kind: int, value: bytes) -> bytes:
    """A netlink attribute, padded to four bytes."""
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def _unshare(flags: int) -> None:
    _called("unshare", _libc().unshare(flags))


def _mount(source: bytes, target: bytes, kind: bytes, flags: int, options: bytes) -> None:
    _called(f"mount {kind.decode() or target.decode()}", _libc().mount(source, target, kind, flags, options))


def _called(what: str, result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _libc() -> ctypes.CDLL:
    found = ctypes.CDLL(None, use_errno=True)
    found.mount.argtypes = (ctypes.c_char_p,) * 3 + (ctypes.c_ulong, ctypes.c_char_p)
    return found


if __name__ == "__main__":
    try:
        TRIALS[sys.argv[1]](*sys.argv[2:])
    except OSError as error:
        sys.exit(error.strerror or str(error))
