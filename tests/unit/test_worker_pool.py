"""The worker pool: the GPU, the metrics port and the heartbeat file of each worker process."""

import os
import time
from pathlib import Path

import pytest

from triagem.cli.processes import parse_gpu_list, select_gpus, worker_environment, write_pool_heartbeat
from triagem.contracts.errors import InvalidInput
from triagem.process import MetricsSettings
from triagem.worker import health
from triagem.worker.settings import WorkerSettings

TWO_GPUS = """GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-aaaa-1)
GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-bbbb-2)
"""
PARTITIONED = """GPU 0: NVIDIA A100 (UUID: GPU-aaaa-1)
  MIG 3g.20gb     Device  0: (UUID: MIG-cccc-3)
  MIG 3g.20gb     Device  1: (UUID: MIG-dddd-4)
GPU 1: NVIDIA A100 (UUID: GPU-bbbb-2)
"""


def test_each_gpu_is_named_by_its_uuid() -> None:
    assert parse_gpu_list(TWO_GPUS) == ["GPU-aaaa-1", "GPU-bbbb-2"]


def test_a_partitioned_gpu_is_named_by_its_mig_devices() -> None:
    assert parse_gpu_list(PARTITIONED) == ["MIG-cccc-3", "MIG-dddd-4", "GPU-bbbb-2"]


def test_without_a_gpu_the_error_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with pytest.raises(InvalidInput, match="no GPU found"):
        select_gpus("all")


def test_all_means_the_visible_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1, 3")
    assert select_gpus("all") == ["1", "3"]
    assert select_gpus("0,2") == ["0", "2"]
    assert select_gpus("GPU-aaaa-1, MIG-cccc-3") == ["GPU-aaaa-1", "MIG-cccc-3"]
    with pytest.raises(InvalidInput, match="--gpus 0,first: expected `all`, or numbers or UUIDs"):
        select_gpus("0,first")


def test_workers_share_no_gpu_port_or_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    settings = WorkerSettings(metrics=MetricsSettings(port=9100), heartbeat_file=tmp_path / "heartbeat")
    environments = [
        worker_environment(index, gpu, 2, settings, cores=9) for index, gpu in enumerate(("GPU-a", "GPU-b"))
    ]
    for name in ("CUDA_VISIBLE_DEVICES", "TRIAGEM_METRICS_PORT", "TRIAGEM_HEARTBEAT_FILE"):
        assert environments[0][name] != environments[1][name]
    assert environments[0]["TRIAGEM_DEVICE"] == "cuda"  # a missing GPU is an error, instead of slow work on the CPU
    assert environments[0]["OMP_NUM_THREADS"] == "4"


def test_without_gpus_no_device_is_set() -> None:
    assert worker_environment(0, None, 2, WorkerSettings(), cores=1).keys() == {"OMP_NUM_THREADS"}


def write_heartbeat(file: Path, content: str, age_s: float) -> None:
    file.write_text(content, encoding="utf-8")
    os.utime(file, (time.time() - age_s,) * 2)


def test_the_pool_is_as_healthy_as_its_worst_worker(tmp_path: Path) -> None:
    file = tmp_path / "heartbeat"
    write_heartbeat(tmp_path / "heartbeat.0", health.READY, 0)
    write_heartbeat(tmp_path / "heartbeat.1", health.READY, 500)
    write_pool_heartbeat(file, 2)
    assert "no heartbeat for 500 s" in str(health.check(file))
    write_heartbeat(tmp_path / "heartbeat.1", health.READY, 1)
    write_pool_heartbeat(file, 2)
    assert health.check(file, need_ready=True) is None


def test_the_pool_is_ready_once_all_workers_are(tmp_path: Path) -> None:
    file = tmp_path / "heartbeat"
    write_heartbeat(tmp_path / "heartbeat.0", health.READY, 0)
    write_pool_heartbeat(file, 2)
    assert health.check(file) is None
    assert "loading its model" in str(health.check(file, need_ready=True))
