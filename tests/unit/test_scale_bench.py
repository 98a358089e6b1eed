"""Simulation of an autoscaled GPU pool: no ticket is lost, all work costs GPU time, and results are reproducible."""

import pytest

from bench.scaling.scale import ClusterSetup, arrivals, run, scaling_signals, simulate
from tests.support.command import Triagem

DAY = ClusterSetup(gpus=16, days=1)


@pytest.mark.parametrize("name", scaling_signals(DAY))
def test_no_signal_uses_fewer_gpu_hours_than_the_work_needs(name: str) -> None:
    work = sum(arrivals(DAY)) / DAY.rate / 3600
    assert work <= simulate(DAY, name).gpu_hours <= 24 * DAY.gpus


def test_simulated_days_depend_only_on_the_seed() -> None:
    first, again, other = (simulate(ClusterSetup(gpus=4, days=1, seed=seed), "triagem") for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_with_our_signal_the_p95_wait_is_within_the_drain_time() -> None:
    """Includes a wave at night of half an hour's work for all GPUs, and all cold starts."""
    assert simulate(DAY, "triagem").p95_wait_s <= DAY.drain_s


def test_a_queue_length_tuned_for_another_gpu_is_expensive_or_slow() -> None:
    """Triagem's signal uses the GPU speed that workers report, which plain queue length lacks."""
    ours, _, expensive, slow = run([16], days=1)
    assert expensive.gpu_hours > 1.1 * ours.gpu_hours
    assert slow.p95_wait_s > 3 * ours.p95_wait_s


def test_the_command_prints_each_size_and_signal(bench: Triagem) -> None:
    result = bench("scale", "--max-gpus", "4", "--days", "1")
    assert result.status == 0
    assert result.out.count("triagem") == 3
    assert result.out.count("queue length") == 9
