"""The simulation of GPUs that come and go: it loses no ticket, gives nothing away, and is the same every time."""

import pytest

from tests.support.command import Triagem
from triagem.cli.bench.scale import ClusterSetup, arrivals, run, scaling_signals, simulate

DAY = ClusterSetup(gpus=16, days=1)


@pytest.mark.parametrize("name", scaling_signals(DAY))
def test_no_signal_pays_less_than_the_work_is_worth(name: str) -> None:
    work = sum(arrivals(DAY)) / DAY.rate / 3600
    assert work <= simulate(DAY, name).gpu_hours <= 24 * DAY.gpus


def test_the_same_seed_gives_the_same_days_and_another_one_others() -> None:
    first, again, other = (simulate(ClusterSetup(gpus=4, days=1, seed=seed), "triagem") for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_with_our_signal_tickets_are_done_in_the_time_that_was_asked_for() -> None:
    """A wave of half an hour's work of all GPUs, at night, and every cold start counted."""
    assert simulate(DAY, "triagem").p95_wait_s <= DAY.drain_s


def test_a_queue_length_that_was_set_for_another_gpu_is_dear_or_slow() -> None:
    """What the plain signal cannot know, and ours is told by the workers: how fast a GPU is."""
    ours, _, dear, slow = run([16], days=1)
    assert dear.gpu_hours > 1.1 * ours.gpu_hours
    assert slow.p95_wait_s > 3 * ours.p95_wait_s


def test_the_command_prints_each_size_and_signal(bare: Triagem) -> None:
    answer = bare("bench", "scale", "--max-gpus", "4", "--days", "1")
    assert answer.status == 0
    assert answer.out.count("triagem") == 3
    assert answer.out.count("queue length") == 9
