"""runc for Docker 20.10 where the host withholds capabilities.

That Docker asks for all capabilities for `--privileged`, of `run` and `exec` alike. Where this process may not have
one, such as CAP_SYS_RESOURCE in many virtual machines, runc then fails: "unable to apply caps: operation not
permitted". Here what the host does not allow is no longer asked for. It gives nothing that the host does not allow
already, and where all are allowed it changes nothing.

A program by itself, not imported: Docker starts it for each call of runc, so it needs the standard library only.
"""

import itertools
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

# In the order of their bits, as in linux/capability.h.
_NAMES = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE",
)  # fmt: skip


def missing(status: str) -> set[str]:
    """Capabilities that a process may never have, from the text of its /proc/PID/status."""
    found = re.search(r"^CapBnd:\s+([0-9a-f]+)", status, flags=re.MULTILINE)
    bounding = int(found[1], 16) if found else ~0
    return {f"CAP_{name}" for bit, name in enumerate(_NAMES) if not bounding >> bit & 1}


def fit(capabilities: dict[str, Any], withheld: set[str]) -> dict[str, Any]:
    """Sets of capabilities without those that are withheld."""
    return {
        name: [one for one in value if one not in withheld] if isinstance(value, list) else value
        for name, value in capabilities.items()
    }


def main() -> None:
    """Rewrite what runc is about to read, then become runc."""
    withheld = missing(Path("/proc/self/status").read_text())
    arguments = sys.argv[1:]
    for option, value in itertools.pairwise(arguments):
        if option in {"--bundle", "-b"}:
            _rewrite(Path(value) / "config.json", ("process", "capabilities"), withheld)
        elif option in {"--process", "-p"}:
            _rewrite(Path(value), ("capabilities",), withheld)
    runc = shutil.which("runc")
    if runc is None:
        sys.exit("capfit: runc is not on PATH")
    os.execv(runc, ["runc", *arguments])  # noqa: S606 - this very program stands in for runc


def _rewrite(path: Path, where: tuple[str, ...], withheld: set[str]) -> None:
    if not withheld or not path.is_file():
        return
    content = json.loads(path.read_text())
    holder = content
    for name in where[:-1]:
        holder = holder.get(name, {})
    if holder.get(where[-1]):
        holder[where[-1]] = fit(holder[where[-1]], withheld)
        path.write_text(json.dumps(content))


if __name__ == "__main__":
    main()
