"""A figure that is asked for at each scrape instead of counted, named and explained once."""

from dataclasses import dataclass

from prometheus_client.core import GaugeMetricFamily


@dataclass(frozen=True, slots=True)
class Figure:
    """A gauge's name, what it says, and its labels."""

    name: str
    help: str
    labels: tuple[str, ...] = ()

    def family(self) -> GaugeMetricFamily:
        """To be filled and told."""
        return GaugeMetricFamily(self.name, self.help, labels=self.labels)
