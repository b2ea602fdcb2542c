"""Ctrl-C and SIGTERM in long work: the first asks it to come to an end with what it has, the second ends it."""

import signal
from types import FrameType, TracebackType
from typing import Any

from berth.cli.options import INTERRUPTED

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopper:
    """Within a `with`, signals ask to stop."""

    def __init__(self) -> None:
        self.heard: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Stopper":
        for number in _SIGNALS:
            self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.heard is not None:
            raise KeyboardInterrupt
        self.heard = signal.Signals(number)

    def asked(self) -> bool:
        """Whether to stop."""
        return self.heard is not None

    @property
    def code(self) -> int:
        """The exit code of what was asked to stop: 130 after Ctrl-C, 143 after SIGTERM; 0 if it was not."""
        if self.heard is None:
            return 0
        return INTERRUPTED if self.heard is signal.SIGINT else 128 + self.heard
