"""Liveness and readiness as a file (INV-22): its age is the quietest thread's, its content ready or starting."""

import os
import threading
import time
from pathlib import Path

import pytest

from tests.support.builders import Clock, Hurried
from triagem.worker import health
from triagem.worker.supervisor import Supervisor


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the heartbeat is kept."""
    return tmp_path / "heartbeat"


def kept(file: Path, *, content: str = "ready", age_s: float = 0.0) -> Path:
    """A heartbeat file as a worker leaves it."""
    file.write_text(content, encoding="utf-8")
    heard_at = time.time() - age_s
    os.utime(file, (heard_at, heard_at))
    return file


def reported(file: Path, *, ready: bool = True, silence_s: float = 0.0) -> list[str | None]:
    """What `check` says between the reports of a worker, one thread of which has been silent for so long."""
    said: list[str | None] = []
    clock, warm, release = Clock(), threading.Event(), threading.Event()
    supervisor = Supervisor(lambda: None, deadline_s=1.0, clock=clock)

    def look() -> None:
        if file.exists():
            said.append(health.check(file, need_ready=True))
        if len(said) == 2:
            supervisor.stopping.set()

    def quiet() -> None:
        release.wait()

    supervisor.stopping = Hurried(instead=look)
    supervisor.spawn("classifier", quiet)
    clock.advance(silence_s)
    if ready:
        warm.set()
    health.report(file, supervisor, warm)
    release.set()
    return said


def test_a_ready_worker_with_fresh_heartbeats_is_healthy(file: Path) -> None:
    assert reported(file) == [None, None]


def test_a_worker_without_its_model_is_warming_up(file: Path) -> None:
    assert reported(file, ready=False) == ["the worker is still loading its model"] * 2


def test_one_silent_thread_makes_the_worker_unhealthy_though_another_reports(file: Path) -> None:
    assert reported(file, silence_s=200) == ["a worker thread has sent no heartbeat for 200 s"] * 2


def test_the_file_is_deleted_when_the_worker_stops(file: Path) -> None:
    reported(file)

    assert not file.exists()


def test_without_a_file_the_worker_has_not_started_or_has_ended(file: Path) -> None:
    said = health.check(file)

    assert said == f"no heartbeat file {file}: the worker has not started, or has exited"


def test_liveness_does_not_require_readiness(file: Path) -> None:
    assert health.check(kept(file, content="starting")) is None


@pytest.mark.parametrize(("age_s", "well"), [(0, True), (119, True), (121, False), (7200, False)])
def test_an_old_heartbeat_is_not_alive(file: Path, age_s: float, well: bool) -> None:
    assert (health.check(kept(file, age_s=age_s)) is None) is well


def test_the_maximum_age_can_be_set(file: Path) -> None:
    assert health.check(kept(file, age_s=30), max_age_s=10) == "a worker thread has sent no heartbeat for 30 s"


def test_silence_is_reported_before_warming_up(file: Path) -> None:
    said = health.check(kept(file, content="starting", age_s=500), need_ready=True)

    assert said == "a worker thread has sent no heartbeat for 500 s"
