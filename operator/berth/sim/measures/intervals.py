"""Means over seeds with how sure they are: 95 % intervals by Student's t, and ratios of paired runs.

A ratio is that of the sums over the seeds, which a seed with nothing in its denominator does not spoil, and its
interval is that of the classical ratio estimator: Cochran, "Sampling Techniques" (1977), section 6.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist, fmean, stdev

_SHARE = 0.975
_TABLE = (
    12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281,
    2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860,
    2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423,
)  # fmt: skip
"""Quantiles of Student's t for 1 to 30 degrees of freedom."""


def student(freedom: int) -> float:
    """The 0.975 quantile of Student's t. Beyond the table by Fisher's and Cornish's expansion, right to 0.0001."""
    if freedom <= len(_TABLE):
        return _TABLE[freedom - 1]
    z = NormalDist().inv_cdf(_SHARE)
    first, second = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96
    return z + first / freedom + second / freedom**2


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over so many seeds, and half the width of its 95 % interval: None of a single seed, which tells none."""

    value: float
    margin: float | None
    seeds: int

    @property
    def low(self) -> float | None:
        """Lower end of the interval."""
        return None if self.margin is None else self.value - self.margin

    @property
    def high(self) -> float | None:
        """Upper end of the interval."""
        return None if self.margin is None else self.value + self.margin


def mean(values: Sequence[float]) -> Estimate:
    """Of one value for each seed, one or more."""
    return Estimate(fmean(values), _margin(values), len(values))


def difference(values: Sequence[float], base: Sequence[float]) -> Estimate:
    """Mean of value - base, seed by seed."""
    return mean([v - b for v, b in zip(values, base, strict=True)])


def ratio(values: Sequence[float], base: Sequence[float]) -> Estimate | None:
    """Sum of the values over the sum of the base's, paired by seed; None where the base is nothing."""
    below = fmean(base)
    if below == 0:
        return None
    found = fmean(values) / below
    margin = _margin([(v - found * b) / below for v, b in zip(values, base, strict=True)])
    return Estimate(found, margin, len(values))


def _margin(values: Sequence[float]) -> float | None:
    number = len(values)
    return student(number - 1) * stdev(values) / sqrt(number) if number > 1 else None
