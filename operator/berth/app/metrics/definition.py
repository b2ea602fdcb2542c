"""What a metric is: its name, what it says, its labels with their meaning. The reference is made of these."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily


class Kind(StrEnum):
    """How a value behaves over time."""

    COUNTER = "counter"  # only grows; 0 again after a restart
    GAUGE = "gauge"  # as it is now
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric. `name` as it is exposed, `_total` of a counter included; `labels`: what each of them says."""

    name: str
    kind: Kind
    says: str
    labels: Mapping[str, str] = field(default_factory=dict)
    buckets: tuple[float, ...] = ()

    def counter(self, registry: CollectorRegistry) -> Counter:
        """A counter to be raised where things happen."""
        return Counter(self._bare, self.says, tuple(self.labels), registry=registry)

    def histogram(self, registry: CollectorRegistry) -> Histogram:
        """A histogram to be fed where things happen."""
        return Histogram(self.name, self.says, tuple(self.labels), registry=registry, buckets=self.buckets)

    def counted(self) -> CounterMetricFamily:
        """A counter that is kept elsewhere, as it is scraped; without samples."""
        return CounterMetricFamily(self._bare, self.says, labels=tuple(self.labels))

    def gauge(self) -> GaugeMetricFamily:
        """A gauge as it is scraped, without samples."""
        return GaugeMetricFamily(self.name, self.says, labels=tuple(self.labels))

    @property
    def _bare(self) -> str:
        return self.name.removesuffix("_total")


def counter(name: str, says: str, **labels: str) -> Definition:
    """Define a counter."""
    return Definition(name, Kind.COUNTER, says, labels)


def gauge(name: str, says: str, **labels: str) -> Definition:
    """Define a gauge."""
    return Definition(name, Kind.GAUGE, says, labels)


def histogram(name: str, says: str, buckets: tuple[float, ...], **labels: str) -> Definition:
    """Define a histogram; `buckets` are upper bounds."""
    return Definition(name, Kind.HISTOGRAM, says, labels, buckets)
