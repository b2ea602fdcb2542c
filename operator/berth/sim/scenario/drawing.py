"""Everything random of a scenario, each kind from a stream of its own.

A stream is named by the seed and by what it is for, so that a run with failures has the same arrivals as one without,
and every node fails at the same times whatever the others do. Only `random.random` is taken from Python, whose numbers
never change from version to version; the distributions are made here by inversion.
"""

import math
from collections.abc import Iterator, Sequence
from random import Random
from statistics import NormalDist

from berth.core.model import Trouble
from berth.sim.case import Fleet, Outage
from berth.sim.scenario.schema import DrawnFailures
from berth.sim.scenario.traces import Shape
from berth.sim.scenario.workload import Draw, Durations

TROUBLES = {"NotReady": Trouble.NOT_READY, "OutOfService": Trouble.OUT_OF_SERVICE, "Gone": Trouble.GONE}

_NORMAL = NormalDist()


class Stream:
    """Numbers of one purpose."""

    def __init__(self, seed: int, purpose: str) -> None:
        self._random = Random(f"{seed}/{purpose}").random  # noqa: S311  # a simulation's draw, reproducible by design

    def unit(self) -> float:
        """More than 0 and less than 1, uniform."""
        while True:
            found = self._random()
            if found > 0:
                return found

    def exponential(self) -> float:
        """Exponential with mean 1."""
        return -math.log(self.unit())

    def lognormal(self, sigma: float) -> float:
        """Lognormal with median 1."""
        return math.exp(sigma * _NORMAL.inv_cdf(self.unit()))

    def position(self, length: int) -> int:
        """One of `range(length)`, all equally likely."""
        return int(self.unit() * length)

    def weighted(self, sums: Sequence[float]) -> int:
        """One of the positions of `sums`, running sums of weights."""
        at = self.unit() * sums[-1]
        return next(number for number, total in enumerate(sums) if at < total)


def shapes(draw: Draw, rows: Sequence[Shape], seed: int) -> list[Shape]:
    """Drawn jobs; `submit` is left 0. `rows`: what to draw from where the draw has no sizes of its own."""
    stream = Stream(seed, "shapes")
    if draw.sizes is None or draw.durations is None:
        return [_named(rows[stream.position(len(rows))], number) for number in range(1, draw.jobs + 1)]
    sums = _running([size.weight for size in draw.sizes])
    lengths = Stream(seed, "durations")
    found = []
    for number in range(1, draw.jobs + 1):
        size = draw.sizes[stream.weighted(sums)]
        found.append(_named(Shape("", 0, _seconds(draw.durations, lengths), size.devices), number))
    return found


def _named(shape: Shape, number: int) -> Shape:
    return Shape(
        f"job-{number:06}",
        0,
        shape.seconds,
        shape.devices,
        shape.replicas,
        shape.tenant,
        shape.declared,
        shape.priority,
        shape.line,
    )


def _running(weights: Sequence[float]) -> list[float]:
    total, found = 0.0, []
    for weight in weights:
        total += weight
        found.append(total)
    return found


def _seconds(durations: Durations, stream: Stream) -> int:
    if durations.fixed is not None:
        return durations.fixed
    if durations.exponential is not None:
        return max(1, math.ceil(durations.exponential * stream.exponential()))
    assert durations.lognormal is not None, "one of three is given"
    assert durations.sigma is not None, "a lognormal distribution has a sigma"
    return max(1, math.ceil(durations.lognormal * stream.lognormal(durations.sigma)))


def arrivals(count: int, seed: int) -> list[float]:
    """Times of a Poisson process with rate 1, from 0."""
    stream, now, found = Stream(seed, "arrivals"), 0.0, []
    for _ in range(count):
        found.append(now)
        now += stream.exponential()
    return found


def factors(count: int, seed: int, sigma: float) -> list[float]:
    """By how much each job declares more than it needs."""
    stream = Stream(seed, "estimates")
    return [max(1.0, stream.lognormal(sigma)) for _ in range(count)]


def outages(drawn: DrawnFailures, fleets: Sequence[Fleet], seed: int, horizon: int) -> Iterator[Outage]:
    """Failures of all nodes up to a time."""
    for fleet in fleets:
        for node in fleet.nodes:
            stream, now = Stream(seed, f"failures/{fleet.name}/{node.name}"), 0.0
            while True:
                now += drawn.mean_time_between * stream.exponential()
                if now >= horizon:
                    break
                start = int(now)
                yield Outage(fleet.name, node.name, start, start + drawn.repair, TROUBLES[drawn.kind])
                now += drawn.repair
