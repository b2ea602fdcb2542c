"""What is heard of each kind that is watched, and how the operator stands with its Lease."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from berth.app.metrics.definition import counter, gauge

_KIND = (
    "`nodes`, `own-pods`, `foreign-pods`, `priorityclasses`; `trainingjobs` and `acceleratorpools`, which kopf watches"
)

WATCH_EVENTS = counter("berth_watch_events_total", "Events of watches, bookmarks not counted.", kind=_KIND)
WATCH_LISTS = counter(
    "berth_watch_lists_total",
    "Full lists: one at the start, another where a watch could not go on from where it was. kopf's own are not seen.",
    kind=_KIND,
)
WATCH_RESTARTS = counter(
    "berth_watch_restarts_total",
    "Watches and lists that ended by a fault and were begun anew. kopf is started again for both of its kinds at once.",
    kind=_KIND,
)
WATCH_SILENT = gauge(
    "berth_watch_silent_seconds",
    "Seconds since anything was heard of a kind; the API server sends a bookmark about once a minute. kopf does not "
    "tell.",
    kind=_KIND,
)
LEADING = gauge("berth_leader", "1 while this operator certainly holds the Lease, 0 otherwise.")
EPOCH = gauge(
    "berth_leader_epoch",
    "Number of the term, raised each time that the Lease is taken; 0 while another operator leads.",
)
REMAINING = gauge(
    "berth_leader_remaining_seconds",
    "Seconds for which the term certainly lasts; no write begins that could end after it. 0 without a term.",
)
DEFINITIONS = (WATCH_EVENTS, WATCH_LISTS, WATCH_RESTARTS, WATCH_SILENT, LEADING, EPOCH, REMAINING)


@dataclass(frozen=True, slots=True)
class WatchCounts:
    """One kind that is watched; None for what is not known of it."""

    kind: str
    events: int
    restarts: int
    lists: int | None = None
    silent: float | None = None


class WatchCollector(Collector):
    """Tells what `counts` says at each scrape."""

    def __init__(self, counts: Callable[[], Iterable[WatchCounts]]) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        """Ask anew."""
        events, lists, restarts = WATCH_EVENTS.counted(), WATCH_LISTS.counted(), WATCH_RESTARTS.counted()
        silent = WATCH_SILENT.gauge()
        for watch in self._counts():
            events.add_metric([watch.kind], watch.events)
            restarts.add_metric([watch.kind], watch.restarts)
            if watch.lists is not None:
                lists.add_metric([watch.kind], watch.lists)
            if watch.silent is not None:
                silent.add_metric([watch.kind], watch.silent)
        yield from (events, lists, restarts, silent)


@dataclass(frozen=True, slots=True)
class LeaseState:
    """How an operator stands with the Lease: whether it certainly leads, its term's number and remaining seconds."""

    leading: bool = False
    epoch: int = 0
    remaining: float = 0.0


class LeaseCollector(Collector):
    """Tells what `state` says at each scrape."""

    def __init__(self, state: Callable[[], LeaseState]) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        """Ask anew."""
        state = self._state()
        values = ((LEADING, float(state.leading)), (EPOCH, state.epoch), (REMAINING, max(0.0, state.remaining)))
        for definition, value in values:
            family = definition.gauge()
            family.add_metric([], value)
            yield family
