"""`triagem worker --processes 2`: two real processes, and one of them is killed."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT
from tests.support.namesakes import add_namesakes
from tests.support.pipeline import drained, publish, stored
from tests.support.processes import process_parents
from tests.support.waiting import until
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.inbox import Inbox
from triagem.inbox.lease import list_workers
from triagem.process import ChildProcess
from triagem.stack import Endpoints


@pytest.fixture
def settings(endpoints: Endpoints, instant_models: Path, tmp_path: Path) -> dict[str, str]:
    return {
        "TRIAGEM_REDIS_URL": endpoints.redis_url,
        "TRIAGEM_DATABASE_URL": endpoints.writer_url,
        "TRIAGEM_REGISTRY_URL": str(instant_models),
        "TRIAGEM_ENGINE": "tests.support.engines:slow_noop",
        "TRIAGEM_LEASE_S": "1",
        "TRIAGEM_CLAIM_EVERY_S": "0.1",
        "TRIAGEM_HEARTBEAT_FILE": str(tmp_path / "heartbeat"),
        "PYTHONPATH": str(ROOT),
    }


@pytest.fixture
def parent(settings: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ChildProcess]:
    monkeypatch.chdir(add_namesakes(tmp_path / "application"))
    with ChildProcess(["worker", "--processes", "2"], settings, tmp_path / "log") as started:
        yield started


def children(parent: ChildProcess) -> list[int]:
    return sorted(pid for pid, parent_pid in process_parents().items() if parent_pid == parent.pid)


def test_a_killed_process_is_restarted_and_sigterm_lets_all_finish(
    parent: ChildProcess, inbox: Inbox, database: Database, tmp_path: Path
) -> None:
    until(lambda: [worker.state for worker in list_workers(inbox.redis)] == ["at work"] * 2, seconds=60)
    until((tmp_path / "heartbeat").exists)
    publish(inbox, 600)
    until(lambda: stored(database) > 0)
    first, second = children(parent)

    os.kill(first, signal.SIGKILL)

    until(lambda: drained(inbox), seconds=60)
    until(lambda: len(children(parent)) == 2 and first not in children(parent), seconds=60)
    assert second in children(parent)
    assert stored(database) == 600
    publish(inbox, 900)
    until(lambda: stored(database) > 650)
    assert parent.stop() == 0
    assert inbox.in_flight(Lane.LIVE) == 0
    assert list_workers(inbox.redis) == []
    assert not (tmp_path / "heartbeat").exists()
    lines = [json.loads(line) for line in (tmp_path / "log").read_text(encoding="utf-8").splitlines()]
    assert {line["process"] for line in lines} == {"worker"}
    assert any("was killed by signal 9" in str(line) for line in lines)
    assert any(line.get("message") == "worker: Warm shutdown (MainProcess)" for line in lines)


def test_all_processes_end_when_one_exits_with_an_error(settings: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "log"
    settings["TRIAGEM_ENGINE"] = "no_such_module:load"
    with ChildProcess(["worker", "--processes", "2"], settings, log) as parent:
        until(lambda: parent.exit_status is not None, seconds=60)
        assert parent.exit_status == 1
    assert "Traceback" not in log.read_text(encoding="utf-8")
