"""What NVIDIA's own library says of the machine's GPUs. Without a driver or the package nvidia-ml-py: nothing."""

from collections.abc import Iterator
from typing import Any

from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from triagem.worker.figures import Figure

USED = Figure("triagem_gpu_memory_used_bytes", "Memory of a GPU that is used, by whomever", ("gpu",))
TOTAL = Figure("triagem_gpu_memory_bytes", "Memory of a GPU", ("gpu",))
BUSY = Figure("triagem_gpu_busy_ratio", "Share of the last moments in which a GPU computed, for whomever", ("gpu",))
FIGURES = (USED, TOTAL, BUSY)


class Gpus(Collector):
    """Asks at each scrape. `nvml` is the module pynvml, initialised."""

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml
        self._handles = [nvml.nvmlDeviceGetHandleByIndex(number) for number in range(nvml.nvmlDeviceGetCount())]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """A GPU that does not answer is left out."""
        used, total, busy = families = [one.family() for one in FIGURES]
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
        """Their names, without asking."""
        return (one.family() for one in FIGURES)


def watch_gpus() -> None:
    """Tell of the GPUs from now on, where there are any."""
    try:
        import pynvml  # noqa: PLC0415 - for machines with GPUs
    except ImportError:
        return
    try:
        pynvml.nvmlInit()
        REGISTRY.register(Gpus(pynvml))
    except pynvml.NVMLError:
        return
