"""Limits of micro-batches: which settings count, and how a token budget is measured."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from bench.noop_engines import NoopModel
from tests.support.builders import manifest
from triagem.contracts.errors import OutOfMemory
from triagem.contracts.model import Tokens
from triagem.worker.batch import Limits
from triagem.worker.limits import limits_for, token_budget
from triagem.worker.settings import WorkerSettings


@dataclass(frozen=True)
class SimulatedDevice(NoopModel):
    """A device with a fixed cost per call and a cost per token, on a clock of its own, and with limited memory."""

    device_type: str = "cuda"
    precision: str = "bf16"
    per_call: float = 0.0
    per_token: float = 1e-6
    memory: int = 10**9
    time: list[float] = field(default_factory=lambda: [0.0])

    def clock(self) -> float:
        return self.time[0]

    def probabilities(self, batch: Sequence[Tokens]) -> list[list[float]]:
        tokens = sum(len(text.ids) for text in batch)
        if tokens > self.memory:
            raise OutOfMemory("too large")
        self.time[0] += self.per_call + self.per_token * tokens
        return super().probabilities(batch)


def budget(per_call: float = 0.0, memory: int = 10**9) -> int:
    device = SimulatedDevice(manifest(), per_call=per_call, memory=memory)
    return token_budget(device, device.clock)


def test_a_device_without_a_cost_per_call_gets_the_smallest_budget() -> None:
    assert budget() == 1024


def test_the_budget_doubles_while_that_is_at_least_five_percent_faster() -> None:
    # With a cost per call of c tokens, doubling n tokens is (2n + 2c) ÷ (2n + c) times as fast: 1.05 at n = 9.5 c.
    assert budget(per_call=1e-6 * 1000) == 16_384
    assert budget(per_call=1e-6 * 4000) == 65_536


def test_a_size_that_does_not_fit_in_memory_ends_the_search() -> None:
    assert budget(per_call=1e-6 * 4000, memory=9000) == 8192


def test_a_device_without_memory_for_the_smallest_size_gets_it_nevertheless() -> None:
    """The worker divides a micro-batch that does not fit."""
    assert budget(memory=10) == 1024


@pytest.mark.parametrize("kind", ["cpu", "mps"])
def test_without_a_cuda_device_the_default_is_32_texts(kind: str) -> None:
    assert limits_for(SimulatedDevice(manifest(), device_type=kind), WorkerSettings()) == Limits(32, None)


def test_on_a_cuda_device_the_default_is_a_measured_budget_and_a_quarter_of_the_window() -> None:
    limits = limits_for(SimulatedDevice(manifest()), WorkerSettings(window_max=2048))
    assert limits.texts == 512
    assert limits.tokens


def test_a_number_of_texts_that_was_set_stays() -> None:
    limits = limits_for(SimulatedDevice(manifest()), WorkerSettings(batch_size=32))
    assert limits.texts == 32
    assert limits.tokens


def test_a_number_of_tokens_that_was_set_is_not_measured() -> None:
    assert limits_for(SimulatedDevice(manifest()), WorkerSettings(batch_tokens=4000)) == Limits(32, 4000)


def test_auto_measures_any_model() -> None:
    assert limits_for(NoopModel(manifest()), WorkerSettings(batch_tokens="auto")).texts == 256
