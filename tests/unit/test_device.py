"""A text is not blamed for a device that fails at random, and a device that fails too often stops the worker."""

import random
from collections.abc import Sequence
from math import comb, sqrt

import pytest

from triagem.contracts.errors import ModelBroken, OutOfMemory
from triagem.worker.failures import PROOF, Device, Proof, run_isolating_failures

POISON = -1


class FlakyDevice:
    """A model on a device on which each call fails with this probability. It always fails on POISON."""

    def __init__(self, failure_rate: float, seed: int) -> None:
        self.random, self.failure_rate = random.Random(seed), failure_rate

    def run(self, items: Sequence[int]) -> Sequence[int]:
        if POISON in items or self.random.random() < self.failure_rate:
            raise RuntimeError("CUDA error")
        return items

    def check(self) -> None:
        try:
            self.run([0])
        except RuntimeError as error:
            raise ModelBroken("self-check") from error


def blame_probability(p: float, proof: Proof) -> float:
    """The formula of `triagem.worker.failures`."""
    n, c = proof.failures, proof.check_failures
    return p ** (n + 1) * (1 - p) ** n * sum(comb(n - 1 + j, j) * p**j for j in range(c + 1))


def blamed(device: FlakyDevice, items: Sequence[int], proof: Proof) -> list[int]:
    """The items that are blamed; none if the device is reported instead."""
    try:
        return [item for item, _ in run_isolating_failures(items, device.run, device.check, proof)[1]]
    except ModelBroken:
        return []


@pytest.mark.parametrize("failure_rate", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("proof", [Proof(1, 0), Proof(2, 0), Proof(2, 2)])
def test_the_formula_agrees_with_a_simulation_where_blame_is_frequent_enough_to_count(
    failure_rate: float, proof: Proof
) -> None:
    device, trials = FlakyDevice(failure_rate, seed=24), 20_000

    count = sum(bool(blamed(device, [0], proof)) for _ in range(trials))

    expected = blame_probability(failure_rate, proof)
    assert abs(count / trials - expected) < 5 * sqrt(expected / trials)


def test_an_innocent_text_is_blamed_less_than_once_in_a_million_whatever_the_failure_rate() -> None:
    assert max(blame_probability(p / 1000, PROOF) for p in range(1001)) < 1e-6
    assert blame_probability(0.05, PROOF) < 1e-16


@pytest.mark.parametrize("failure_rate", [0.05, 0.2, 0.5])
def test_nobody_is_blamed_in_20_000_batches_on_a_flaky_device(failure_rate: float) -> None:
    device = FlakyDevice(failure_rate, seed=24)

    assert [item for _ in range(20_000) for item in blamed(device, [0, 1], PROOF)] == []


@pytest.mark.parametrize("failure_rate", [0.0, 0.05])
def test_a_text_that_always_fails_is_blamed_also_on_a_flaky_device(failure_rate: float) -> None:
    device = FlakyDevice(failure_rate, seed=24)

    assert [blamed(device, [1, POISON, 2, 3], PROOF) for _ in range(20)].count([POISON]) >= 18


def run_batches(device: FlakyDevice, batches: int, items: Sequence[int] = (0, 1)) -> int:
    """The number of batches until the device is reported sick; all of them if it is not."""
    observed = Device()
    for number in range(batches):
        try:
            _, failed = run_isolating_failures(
                items, lambda part: observed.watch(part, lambda: device.run(part)), device.check, PROOF
            )
            observed.count_failures([item for item, _ in failed])
        except ModelBroken:
            return number
    return batches


def test_a_device_with_20_percent_of_failing_calls_is_reported_and_one_with_5_percent_is_not() -> None:
    assert run_batches(FlakyDevice(0.2, seed=24), 2000) < 2000
    assert run_batches(FlakyDevice(0.05, seed=24), 20_000) == 20_000


def test_texts_that_fail_are_not_the_devices_fault() -> None:
    assert run_batches(FlakyDevice(0.0, seed=24), 200, [1, POISON]) == 200


def test_too_little_memory_for_a_batch_is_not_the_devices_fault() -> None:
    def work(items: Sequence[int]) -> Sequence[int]:
        if len(items) > 1:
            raise OutOfMemory("cuda")
        return items

    device = Device()
    for _ in range(200):
        run_isolating_failures([1, 2], lambda part: device.watch(part, lambda: work(part)), lambda: None)
        device.count_failures([])
