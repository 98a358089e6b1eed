"""Prometheus collector for NVIDIA GPUs, read through NVML. Exports nothing without a driver or `nvidia-ml-py`."""

from collections.abc import Iterator
from typing import Any

from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from triagem.worker.gauges import ScrapedGauge

USED = ScrapedGauge("triagem_gpu_memory_used_bytes", "Used memory of a GPU, by all processes", ("gpu",))
TOTAL = ScrapedGauge("triagem_gpu_memory_bytes", "Total memory of a GPU", ("gpu",))
BUSY = ScrapedGauge(
    "triagem_gpu_busy_ratio", "Share of the last sampling period in which a GPU was busy, with any process", ("gpu",)
)
GAUGES = (USED, TOTAL, BUSY)


class GpuCollector(Collector):
    """Reads all GPUs at each scrape. `nvml` is the initialised module pynvml."""

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml
        self._handles = [nvml.nvmlDeviceGetHandleByIndex(number) for number in range(nvml.nvmlDeviceGetCount())]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Memory and utilisation of each GPU. A GPU that does not respond is left out."""
        used, total, busy = families = [gauge.family() for gauge in GAUGES]
        for number, handle in enumerate(self._handles):
            try:
                memory = self._nvml.nvmlDeviceGetMemoryInfo(handle)
                rates = self._nvml.nvmlDeviceGetUtilizationRates(handle)
            except self._nvml.NVMLError:
                continue
            used.add_metric([str(number)], memory.used)
            total.add_metric([str(number)], memory.total)
            busy.add_metric([str(number)], rates.gpu / 100)
        yield from families

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The metric families without samples; reads no GPU."""
        return (gauge.family() for gauge in GAUGES)


def register_gpu_metrics() -> None:
    """Register the collector if NVML finds a driver."""
    try:
        import pynvml  # noqa: PLC0415 - for machines with GPUs
    except ImportError:
        return
    try:
        pynvml.nvmlInit()
        REGISTRY.register(GpuCollector(pynvml))
    except pynvml.NVMLError:
        return
