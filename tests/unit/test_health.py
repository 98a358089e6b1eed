"""The heartbeat file for liveness and readiness (INV-22): the age of the quietest thread, and ready or starting."""

import os
import threading
import time
from pathlib import Path

import pytest

from tests.support.builders import Clock, InstantEvent
from triagem.worker import health
from triagem.worker.supervisor import Supervisor


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The path of the heartbeat file."""
    return tmp_path / "heartbeat"


def write_heartbeat(file: Path, *, content: str = "ready", age_s: float = 0.0) -> Path:
    """A heartbeat file as a worker leaves it."""
    file.write_text(content, encoding="utf-8")
    modified_at = time.time() - age_s
    os.utime(file, (modified_at, modified_at))
    return file


def check_results(file: Path, *, ready: bool = True, silence_s: float = 0.0) -> list[str | None]:
    """The results of `check` between the reports of a worker with a thread that is silent for `silence_s`."""
    results: list[str | None] = []
    clock, ready_event, release = Clock(), threading.Event(), threading.Event()
    supervisor = Supervisor(lambda: None, deadline_s=1.0, clock=clock)

    def check() -> None:
        if file.exists():
            results.append(health.check(file, need_ready=True))
        if len(results) == 2:
            supervisor.stopping.set()

    def silent_thread() -> None:
        release.wait()

    supervisor.stopping = InstantEvent(instead=check)
    supervisor.spawn("classifier", silent_thread)
    clock.advance(silence_s)
    if ready:
        ready_event.set()
    health.report(file, supervisor, ready_event)
    release.set()
    return results


def test_a_ready_worker_with_fresh_heartbeats_is_healthy(file: Path) -> None:
    assert check_results(file) == [None, None]


def test_a_heartbeat_file_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    assert health.check(tmp_path) == f"the heartbeat file {tmp_path} cannot be read (Is a directory)"


def test_a_worker_without_its_model_is_warming_up(file: Path) -> None:
    assert check_results(file, ready=False) == ["the worker is still loading its model"] * 2


def test_one_silent_thread_makes_the_worker_unhealthy_though_another_reports(file: Path) -> None:
    assert check_results(file, silence_s=200) == ["a worker thread has sent no heartbeat for 200 s"] * 2


def test_the_file_is_deleted_when_the_worker_stops(file: Path) -> None:
    check_results(file)

    assert not file.exists()


def test_without_a_file_the_worker_has_not_started_or_has_ended(file: Path) -> None:
    problem = health.check(file)

    assert problem == f"no heartbeat file {file}: the worker has not started, or has exited"


def test_liveness_does_not_require_readiness(file: Path) -> None:
    assert health.check(write_heartbeat(file, content="starting")) is None


@pytest.mark.parametrize(("age_s", "healthy"), [(0, True), (119, True), (121, False), (7200, False)])
def test_an_old_heartbeat_is_not_alive(file: Path, age_s: float, healthy: bool) -> None:
    assert (health.check(write_heartbeat(file, age_s=age_s)) is None) is healthy


def test_the_maximum_age_can_be_set(file: Path) -> None:
    assert (
        health.check(write_heartbeat(file, age_s=30), max_age_s=10)
        == "a worker thread has sent no heartbeat for 30 s"
    )


def test_silence_is_reported_before_warming_up(file: Path) -> None:
    problem = health.check(write_heartbeat(file, content="starting", age_s=500), need_ready=True)

    assert problem == "a worker thread has sent no heartbeat for 500 s"
