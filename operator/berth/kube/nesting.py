"""How deep an object may be nested and still be read.

The API server stores whatever its decoder reads, and that is nested up to 10,000 levels. Where a field keeps what the
schema does not declare, one user's object may be: with Python's usual limit of 1,000, which json obeys (up to 3.11),
neither a list nor a watch that has it could be read, by Berth or by kopf, and no other object of its kind either.
"""

import sys

LEVELS = 10_000
"""The most that the API server takes (sigs.k8s.io/json). Decoding that takes 2 MiB of a thread's stack."""
_FRAMES = 2_000
"""Of our own calls around it."""


def allow() -> None:
    """Let this process read objects that are nested as deep as the API server takes them."""
    sys.setrecursionlimit(max(sys.getrecursionlimit(), LEVELS + _FRAMES))
