"""Become a program that dies with the process that started it: ``python -I -S launch.py PARENT PROGRAM ARG...``.

The kernel sends SIGKILL to this process when the thread that forked it ends, and keeps that order across
``exec``; it is the only way to be gone even after the parent was SIGKILLed.  It is asked for here, in a fresh
single-threaded interpreter, as a ``preexec_fn`` would run between fork and exec of a threaded parent, where no
lock can be trusted.  Only the standard library is imported: this costs some 20 ms for each start.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask for the signal, then replace this process by the program."""
    parent, program, *arguments = sys.argv[1:]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        sys.exit(f"prctl(PR_SET_PDEATHSIG): {os.strerror(ctypes.get_errno())}")
    # The parent may have died before the kernel was told; then the signal never comes.
    if os.getppid() != int(parent):
        sys.exit("the parent is gone")
    try:
        os.execv(program, [program, *arguments])  # noqa: S606 -- no shell is wanted
    except OSError as error:
        sys.exit(f"{program}: {error.strerror}")


if __name__ == "__main__":
    main()
