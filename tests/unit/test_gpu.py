"""GPU metrics, with a fake NVML library: the machine of a test may have no GPU."""

from types import SimpleNamespace

from prometheus_client import CollectorRegistry, generate_latest

from tests.support.scraping import MetricsPage, parse_metrics
from triagem.worker.metrics import GpuCollector


class NVMLError(Exception):
    """The library's error, under its name."""


def fake_nvml(*, broken: int | None = None) -> SimpleNamespace:
    def memory(handle: int) -> SimpleNamespace:
        if handle == broken:
            raise NVMLError
        return SimpleNamespace(used=handle + 1, total=80)

    return SimpleNamespace(
        NVMLError=NVMLError,
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda number: number,
        nvmlDeviceGetMemoryInfo=memory,
        nvmlDeviceGetUtilizationRates=lambda _: SimpleNamespace(gpu=25),
    )


def metrics_of(nvml: SimpleNamespace) -> MetricsPage:
    registry = CollectorRegistry()
    registry.register(GpuCollector(nvml))
    return parse_metrics(generate_latest(registry).decode())


def test_each_gpus_memory_and_utilization_are_exported() -> None:
    metrics = metrics_of(fake_nvml())
    assert [metrics.value("triagem_gpu_memory_used_bytes", gpu=gpu) for gpu in "01"] == [1, 2]
    assert metrics.value("triagem_gpu_memory_bytes", gpu="1") == 80
    assert metrics.value("triagem_gpu_busy_ratio", gpu="0") == 0.25


def test_a_gpu_that_does_not_answer_is_left_out() -> None:
    metrics = metrics_of(fake_nvml(broken=0))
    assert metrics.value("triagem_gpu_memory_used_bytes", gpu="0") is None
    assert metrics.value("triagem_gpu_memory_used_bytes", gpu="1") == 2
