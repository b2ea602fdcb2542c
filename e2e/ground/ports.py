"""Ports on loopback: free ones, or the ones that the user wants.

Free ports are taken below the range that the kernel hands to outgoing connections.  A port from inside that range
may be in use by some client at the very moment when a stopped API server wants it back.

Between the check and the server's own bind another process may take the port.  No check can close that gap; what
closes it is that every connection of a control plane is made with its own certificate authority, so a stranger on
one of its ports can neither be mistaken for a component nor be written to.
"""

import errno
import itertools
import os
import socket
import threading
from collections.abc import Sequence

LOOPBACK = "127.0.0.1"
_FIRST, _LAST = 10_000, 32_000
_HIGHEST = 65_535


class PortTakenError(RuntimeError):
    """A port that was asked for is in use; the message names it and what helps."""


class _Cursor:
    """Walks through the ports, so that control planes of one process never try the same ones."""

    def __init__(self) -> None:
        # Processes that start at the same time begin at different places.
        self._next = itertools.count(os.getpid() * 61)
        self._lock = threading.Lock()

    def advance(self) -> int:
        with self._lock:
            return _FIRST + next(self._next) % (_LAST - _FIRST)


_cursor = _Cursor()


def assign(names: Sequence[str], *, base: int | None = None) -> dict[str, int]:
    """A port for each name: free ones, or ``base`` and those after it.

    PortTakenError when a wanted port is in use, ValueError when ``base`` leaves no room for all names.
    """
    if base is None:
        return dict(zip(names, _free(len(names)), strict=True))
    if not 1 <= base <= _HIGHEST - len(names) + 1:
        raise ValueError(f"port {base}: choose one between 1 and {_HIGHEST - len(names) + 1}")
    ports = {name: base + offset for offset, name in enumerate(names)}
    for name, port in ports.items():
        if not is_free(port):
            raise PortTakenError(
                f"port {port} (for {name}) is taken; stop what listens there, choose another port (this and the "
                f"{len(names) - 1} after it are needed), or name none to get free ones"
            )
    return ports


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of loopback now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers in Go do: connections that linger after their server's end do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def _free(count: int) -> list[int]:
    found: list[int] = []
    for _ in range(_LAST - _FIRST):
        port = _cursor.advance()
        if is_free(port):
            found.append(port)
            if len(found) == count:
                return found
    raise PortTakenError(f"fewer than {count} free ports between {_FIRST} and {_LAST}; stop some servers")
