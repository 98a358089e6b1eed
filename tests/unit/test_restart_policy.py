"""Restart policy of worker processes: a worker that dies is restarted, unless it fails at startup with an error."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.builders import Clock
from tests.support.waiting import until
from triagem.cli import processes
from triagem.cli.processes import WorkerSlot, restart_delay
from triagem.process import ChildProcess

KILLED, STARTUP_ERROR, CRASHED = -9, 1, 137


@dataclass
class Worker:
    """Exits when the test sets its status; while it stops, `hang` is called."""

    pid: int
    exit_status: int | None = None

    hang: Callable[[], None] = lambda: None

    def exit_reason(self) -> str:
        return "the last line of its log"

    def stop(self, timeout_s: float) -> int:
        self.hang()
        return KILLED


@dataclass
class Harness:
    """One worker slot, its messages, and all workers started in it."""

    clock: Clock = field(default_factory=Clock)
    started: list[Worker] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.slot = WorkerSlot("worker 0", self.start, self.messages.append, self.clock, self.ended.append)

    def start(self) -> Any:
        self.started.append(Worker(pid=len(self.started) + 1))
        return self.started[-1]

    def exit_worker(self, status: int, *, after_s: float) -> bool:
        assert self.slot.poll()
        self.clock.advance(after_s)
        self.started[-1].exit_status = status
        return self.slot.poll()


def test_a_worker_is_started_once() -> None:
    harness = Harness()
    assert all(harness.slot.poll() for _ in range(5))
    assert len(harness.started) == 1


@pytest.mark.parametrize("status", [KILLED, STARTUP_ERROR, CRASHED, 0])
def test_a_worker_that_ran_for_a_minute_is_restarted_at_once(status: int) -> None:
    harness = Harness()
    assert harness.exit_worker(status, after_s=60)
    assert ", restarting: " in harness.messages[-1]
    assert harness.slot.poll()
    assert len(harness.started) == 2
    assert harness.ended == [1]


def test_a_worker_killed_at_startup_is_restarted_after_a_pause() -> None:
    harness = Harness()
    assert harness.exit_worker(KILLED, after_s=1)
    harness.slot.poll()
    assert len(harness.started) == 1
    harness.clock.advance(1)
    harness.slot.poll()
    assert len(harness.started) == 2


def test_a_worker_that_fails_at_startup_with_an_error_is_not_restarted() -> None:
    harness = Harness()
    assert not harness.exit_worker(STARTUP_ERROR, after_s=2)
    assert "the last line of its log" in harness.messages[-1]


def test_pauses_grow_to_30_seconds_and_are_reset_after_a_long_run() -> None:
    assert [restart_delay(KILLED, 1.0, deaths) for deaths in (1, 2, 3, 6, 60)] == [1, 2, 4, 30, 30]
    harness = Harness()
    for _ in range(3):
        harness.exit_worker(KILLED, after_s=1)
        harness.clock.advance(30)
    harness.exit_worker(KILLED, after_s=60)
    harness.exit_worker(KILLED, after_s=1)
    assert "restarting in 1 s" in harness.messages[-1]


def test_a_process_that_does_not_end_is_named_before_and_after_it_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "SLOW_STOP_S", 0)
    harness = Harness()
    assert harness.slot.stop(70) is None
    harness.slot.poll()
    harness.started[0].hang = lambda: until(lambda: bool(harness.messages))
    assert harness.slot.stop(70) == KILLED
    assert harness.messages == [
        "worker 0 (process 1) has not ended yet: it is killed in 70 s",
        "worker 0 (process 1) was killed because it did not end",
    ]


INFO, WARNING, ERROR = (f'{{"event": "event", "level": "{level}"}}' for level in ("info", "warning", "error"))
FATAL = "Fatal Python error: Segmentation fault"


@pytest.mark.parametrize(
    ("lines", "end", "reason"),
    [
        ([ERROR, INFO], "exit 1", "its log {log} names no error"),
        ([ERROR, WARNING], "exit 1", "its log {log} names no error"),
        ([INFO, ERROR], "exit 1", ERROR),
        (["ModuleNotFoundError: no module"], "exit 1", "ModuleNotFoundError: no module"),
        ([], "exit 1", "its log is empty"),
        ([ERROR], "kill -9 $$", "SIGKILL leaves no reason in its log {log}"),
        ([ERROR], "kill -11 $$", "its log {log} names no error"),
        ([ERROR, FATAL], "kill -11 $$", FATAL),
    ],
)
def test_only_an_error_that_belongs_to_the_end_of_a_process_is_its_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lines: list[str], end: str, reason: str
) -> None:
    log = tmp_path / "worker-0.log"
    log.write_text(f"{FATAL}\n", encoding="utf-8")  # of an earlier process
    program = tmp_path / "program"
    program.write_text("\n".join(["#!/bin/sh", *(f"echo '{line}'" for line in lines), end]), encoding="utf-8")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    process = ChildProcess(["worker"], {}, log)
    until(lambda: process.exit_status is not None)

    assert process.exit_reason() == reason.replace("{log}", str(log))


def test_a_process_that_ignores_sigterm_is_killed_after_its_parent_has_ended() -> None:
    script = """
import signal
from triagem.cli import processes
processes.STOP_S = 0
signal.signal(signal.SIGTERM, signal.SIG_IGN)
processes.end_with_parent()
while True:
    signal.pause()
"""
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as process:
        try:
            assert process.stdin
            process.stdin.close()
            assert process.wait(30) == KILLED
        finally:
            process.kill()
