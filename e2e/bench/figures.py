"""What a figure is, which there are, and how times are taken."""

import gc
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from e2e.ground.progress import Progress

Measure = Callable[[Progress], "Figure | Awaitable[Figure]"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value. `goal` is a sentence; `conditions` say everything that the value depends on."""

    name: str
    value: float
    unit: str
    goal: str
    conditions: dict[str, Any] = field(default_factory=dict)

    def line(self) -> str:
        """The figure as one line of JSON."""
        return json.dumps(asdict(self), ensure_ascii=False)


BENCHES: dict[str, Measure] = {}
"""Every benchmark by the name of its figure."""


def bench(name: str) -> Callable[[Measure], Measure]:
    """Register what measures the figure of that name."""

    def register(measure: Measure) -> Measure:
        assert name not in BENCHES, f"two benchmarks are called {name}"
        BENCHES[name] = measure
        return measure

    return register


@dataclass(frozen=True, slots=True)
class Times:
    """Durations of repetitions, in seconds."""

    seconds: tuple[float, ...]

    @property
    def median_ms(self) -> float:
        """Median in milliseconds, to three digits."""
        return _three_digits(statistics.median(self.seconds) * 1e3)

    @property
    def p99_ms(self) -> float:
        """99th percentile in milliseconds, to three digits."""
        return _three_digits(statistics.quantiles(self.seconds, n=100)[98] * 1e3)


def timed(repetitions: int, prepare: Callable[[int], Callable[[], object]]) -> Times:
    """Time what `prepare` returns for each repetition; preparing is not timed. A tenth of the repetitions warms up.

    Processor time of this thread, which on an idle machine is the time that passes, and on a busy one does not measure
    the neighbours. The garbage collector runs between repetitions instead of in some of them.
    """
    found = []
    gc.collect()
    gc.disable()
    try:
        for number in range(repetitions + repetitions // 10):
            work = prepare(number)
            began = time.thread_time()
            work()
            found.append(time.thread_time() - began)
            if number % 50 == 0:
                gc.collect()
    finally:
        gc.enable()
    return Times(tuple(found[repetitions // 10 :]))


def _three_digits(value: float) -> float:
    return float(f"{value:.3g}")
