"""Whether the settings file, as it is now, is in force."""

from collections.abc import Iterator

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from berth.app.metrics.definition import gauge
from berth.app.reload import Reloader

VALID = gauge(
    "berth_settings_valid",
    "0 while the settings file has a mistake, or is gone, and the settings before that are in force; the log has it.",
)
WAITING = gauge("berth_settings_waiting", "Settings of the file that are not in force before the next start.")
DEFINITIONS = (VALID, WAITING)


class SettingsCollector(Collector):
    """Tells how a reloader stands at each scrape."""

    def __init__(self, reloader: Reloader) -> None:
        self._reloader = reloader

    def collect(self) -> Iterator[Metric]:
        """Ask anew."""
        state = self._reloader
        for definition, value in ((VALID, state.problem is None), (WAITING, len(state.waiting))):
            family = definition.gauge()
            family.add_metric([], float(value))
            yield family
