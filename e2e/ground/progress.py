"""What a long step is doing, told on stderr: one line kept up to date on a terminal, a line each 30 s elsewhere."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

_TERMINAL_INTERVAL_S = 0.5
_LOG_INTERVAL_S = 30.0
_WIDTH = 110


class Progress:
    """Reports a step with its elapsed seconds.

    ``clock`` gives monotonic seconds.  ``update`` may be called as often as the caller likes.
    """

    def __init__(self, stream: TextIO | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._terminal = self._stream.isatty()
        self._clock = clock
        self._started = clock()
        self._shown = self._started
        self._title = ""

    def begin(self, title: str, detail: str) -> None:
        """Start a step of a short title; its first line is shown at once."""
        self._title = title
        self._started = self._shown = self._clock()
        self._show(f"{title}: {detail}")

    def update(self, detail: str) -> None:
        """Tell how far the step is, if enough time has gone by since the last line."""
        now = self._clock()
        if now - self._shown >= (_TERMINAL_INTERVAL_S if self._terminal else _LOG_INTERVAL_S):
            self._shown = now
            self._show(f"{self._title}: {now - self._started:.0f} s, {detail}")

    def end(self, result: str) -> None:
        """End the step with a line that stays."""
        self._show(f"{self._title}: {result} ({self._clock() - self._started:.0f} s)")
        if self._terminal:
            self._stream.write("\n")
            self._stream.flush()

    def note(self, line: str) -> None:
        """A line that stays and belongs to no step."""
        self._show(line)
        if self._terminal:
            self._stream.write("\n")
            self._stream.flush()

    def _show(self, line: str) -> None:
        if self._terminal:
            self._stream.write(f"\r\x1b[K{line[:_WIDTH]}")
        else:
            self._stream.write(f"{line}\n")
        self._stream.flush()
