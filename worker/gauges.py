"""Declares a gauge that is read at scrape time."""

from dataclasses import dataclass

from prometheus_client.core import GaugeMetricFamily


@dataclass(frozen=True, slots=True)
class ScrapedGauge:
    """Name, help text and labels of a gauge."""

    name: str
    help: str
    labels: tuple[str, ...] = ()

    def family(self) -> GaugeMetricFamily:
        """An empty metric family, to which a collector adds samples."""
        return GaugeMetricFamily(self.name, self.help, labels=self.labels)
