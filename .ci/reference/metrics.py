"""The metrics of a process, as the code declares them."""

from types import ModuleType
from typing import Any

from prometheus_client.metrics import MetricWrapperBase
from tables import required, table

from triagem.process import ScrapedGauge


def metrics_section(module: ModuleType) -> str:
    """A table of a module's metrics, in its order."""
    declared = [metric for metric in vars(module).values() if isinstance(metric, MetricWrapperBase)]
    metrics = [*getattr(module, "GAUGES", ()), *declared]
    return table(("metric", "kind", "labels", "meaning"), [metric_row(metric) for metric in metrics])


def metric_row(metric: Any) -> tuple[str, ...]:
    """Name, kind, labels and help of a metric."""
    if isinstance(metric, ScrapedGauge):
        name, kind, labels, text = metric.name, "gauge", metric.labels, metric.help
    else:
        (family,) = metric.describe()
        name = f"{family.name}_total" if family.type == "counter" else family.name
        kind, labels, text = family.type, metric._labelnames, family.documentation  # noqa: SLF001 - no public way
    return f"`{name}`", kind, ", ".join(f"`{label}`" for label in labels), required(text, name)
