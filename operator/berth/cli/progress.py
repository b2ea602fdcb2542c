"""How far long work is, on stderr: one line that is written anew on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Sequence

from berth.sim.playing import Told
from berth.text import age

_TERMINAL_SECONDS, _PLAIN_SECONDS = 0.2, 10.0
_FIRST_SECONDS = 1.0
"""A log hears once that it has begun to move, and then now and then."""


class Ticker:
    """Tells how far the runs of a simulation are. `names`: what each is called."""

    def __init__(self, names: Sequence[str], *, wanted: bool | None, clock: Callable[[], float] = time.monotonic):
        self._names = names
        self._terminal = sys.stderr.isatty()
        self._quiet = not (self._terminal if wanted is None else wanted)
        self._clock = clock
        self._began = clock()
        self._last = self._began - (_TERMINAL_SECONDS if self._terminal else _PLAIN_SECONDS - _FIRST_SECONDS)
        self._done = 0
        self._shown = False

    def told(self, told: Told) -> None:
        """A run has come so far."""
        now = self._clock()
        if self._quiet or now - self._last < (_TERMINAL_SECONDS if self._terminal else _PLAIN_SECONDS):
            return
        self._last = now
        text = (
            f"{self._done} of {len(self._names)} runs; {self._names[told.number]}: {age(told.now)} simulated, "
            f"{told.ended:,} of {told.jobs:,} jobs ended; {age(int(now - self._began))}"
        )
        if self._terminal:
            sys.stderr.write(f"\r{text}\x1b[K")
            self._shown = True
        else:
            sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def done(self, number: int) -> None:
        """A run is over."""
        del number
        self._done += 1

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._shown = False
