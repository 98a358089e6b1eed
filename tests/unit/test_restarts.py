"""A worker that dies is started again, unless it said at its start that it cannot work."""

from dataclasses import dataclass, field

import pytest

from tests.support.builders import Clock
from triagem.cli.restarts import Place, pause_after

KILLED, SAID_WHY, FELL = -9, 1, 137


@dataclass
class Worker:
    """Ends when told to."""

    exit_status: int | None = None

    def why_ended(self) -> str:
        return "the last line of its log"


@dataclass
class Bench:
    """One place, and all workers that were started there."""

    clock: Clock = field(default_factory=Clock)
    started: list[Worker] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.place = Place("worker 0", self.start, self.said.append, self.clock)

    def start(self) -> Worker:
        self.started.append(Worker())
        return self.started[-1]

    def dies(self, status: int, *, after_s: float) -> bool:
        assert self.place.look()
        self.clock.advance(after_s)
        self.started[-1].exit_status = status
        return self.place.look()


def test_a_worker_is_started_once() -> None:
    bench = Bench()
    assert all(bench.place.look() for _ in range(5))
    assert len(bench.started) == 1


@pytest.mark.parametrize("status", [KILLED, SAID_WHY, FELL, 0])
def test_one_that_lived_is_started_again_at_once(status: int) -> None:
    bench = Bench()
    assert bench.dies(status, after_s=60)
    assert bench.place.look()
    assert len(bench.started) == 2


def test_one_that_was_killed_at_its_start_is_started_again_after_a_pause() -> None:
    bench = Bench()
    assert bench.dies(KILLED, after_s=1)
    bench.place.look()
    assert len(bench.started) == 1
    bench.clock.advance(1)
    bench.place.look()
    assert len(bench.started) == 2


def test_one_that_says_at_its_start_that_it_cannot_work_is_not_started_again() -> None:
    bench = Bench()
    assert not bench.dies(SAID_WHY, after_s=2)
    assert "the last line of its log" in bench.said[-1]


def test_pauses_grow_up_to_half_a_minute_and_are_forgotten_after_a_long_life() -> None:
    assert [pause_after(KILLED, 1.0, deaths) for deaths in (1, 2, 3, 6, 60)] == [1, 2, 4, 30, 30]
    bench = Bench()
    for _ in range(3):
        bench.dies(KILLED, after_s=1)
        bench.clock.advance(30)
    bench.dies(KILLED, after_s=60)
    bench.dies(KILLED, after_s=1)
    assert "again in 1 s" in bench.said[-1]
