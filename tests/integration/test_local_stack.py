"""The local stack on real servers: start, stop, kill, restart, and use by several processes."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from redis import Redis

from tests.support.processes import descendants
from tests.support.stack import pids_of
from tests.support.waiting import until
from triagem.stack import Endpoints, LocalStack, StackFailed
from triagem.stack.binaries import run_as_unprivileged

OWNER = """
import signal, sys
from pathlib import Path
from triagem.stack import LocalStack
stack = LocalStack(Path(sys.argv[1]), fsync=False)
stack.start()
print("started", flush=True)
signal.pause()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "a stack ção"
    yield folder
    if folder.exists():
        LocalStack(folder).erase()  # root's data may lie in /var/tmp, which pytest does not clear


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _accepts(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _write_rows(endpoints: Endpoints) -> None:
    with Redis.from_url(endpoints.redis_url) as redis, psycopg.connect(endpoints.database_url) as database:
        redis.set("kept", "é")
        database.execute("CREATE TABLE kept AS SELECT 'é' AS word")


def _read_rows(endpoints: Endpoints) -> tuple[object, object]:
    with (
        Redis.from_url(endpoints.redis_url, decode_responses=True) as redis,
        psycopg.connect(endpoints.database_url) as database,
    ):
        return redis.get("kept"), database.execute("SELECT word FROM kept").fetchone()


@contextmanager
def _owner(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that starts the stack, waits, and ends with a SIGKILL."""
    with subprocess.Popen([sys.executable, "-c", OWNER, str(folder)], stdout=subprocess.PIPE) as owner:
        try:
            yield owner
        finally:
            owner.kill()


def _await_started(owner: subprocess.Popen[bytes]) -> None:
    assert owner.stdout
    assert owner.stdout.readline() == b"started\n"


def test_both_servers_answer_after_start_and_nothing_is_left_after_stop(folder: Path) -> None:
    stack = LocalStack(folder, fsync=False)
    with stack as endpoints:
        pids, ports = pids_of(stack), [server.port for server in stack.servers]
        assert LocalStack(folder).running() == endpoints
        assert len(pids) == 2
        assert all(map(_accepts, ports))

    assert LocalStack(folder).running() is None
    assert not any(map(_exists, pids))
    assert not any(map(_accepts, ports))


def test_data_survives_a_kill_and_a_restart_on_the_same_urls(folder: Path) -> None:
    stack = LocalStack(folder)
    with stack as endpoints:
        _write_rows(endpoints)
        for server in stack.servers:
            server.kill()
            assert not server.alive
            server.start()
        assert _read_rows(endpoints) == ("é", ("é",))
        assert stack.endpoints == endpoints


def test_data_passwords_and_ports_survive_a_stop(folder: Path) -> None:
    with LocalStack(folder, fsync=False) as first:
        _write_rows(first)
    with LocalStack(folder, fsync=False) as second:
        assert second == first
        assert _read_rows(second) == ("é", ("é",))


def test_a_server_that_died_is_restarted_on_its_port(folder: Path) -> None:
    stack = LocalStack(folder, fsync=False)
    assert stack.down() is None
    with stack as endpoints:
        for server in stack.servers:
            server.kill()
            assert stack.down() == [server.name]
            assert stack.restart_dead() == [(server, None)]
            assert server.pid
            os.kill(server.pid, signal.SIGKILL)
            until(lambda: server.name in (stack.down() or ()))  # noqa: B023 - called at once
            assert stack.restart_dead() == [(server, -signal.SIGKILL)]
        assert stack.restart_dead() == []
        assert LocalStack(folder).running() == endpoints
    assert stack.down() == ["Redis", "Postgres"]


def test_frozen_servers_stop_gracefully_and_keep_their_data(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = LocalStack(folder)
    with stack as endpoints:
        _write_rows(endpoints)
        for server in stack.servers:
            monkeypatch.setattr(server, "stop_signals", server.stop_signals[:1])  # never SIGKILL
            assert server.pid
            for pid in (server.pid, *descendants(server.pid)):
                os.kill(pid, signal.SIGSTOP)
            assert server.hangs
    with LocalStack(folder) as restarted:
        assert _read_rows(restarted) == ("é", ("é",))


def test_a_postgres_that_died_does_not_hang_while_a_session_goes_on(folder: Path) -> None:
    stack = LocalStack(folder, fsync=False)
    with stack as endpoints, psycopg.connect(endpoints.database_url) as connection:
        server = stack.postgres
        assert server.pid
        os.kill(connection.info.backend_pid, signal.SIGSTOP)
        os.kill(server.pid, signal.SIGKILL)
        try:
            until(lambda: not _accepts(server.port))
            assert server.alive
            assert not server.hangs
        finally:
            os.kill(connection.info.backend_pid, signal.SIGKILL)


def test_servers_of_a_killed_owner_are_adopted_and_then_stopped(folder: Path) -> None:
    with _owner(folder) as owner:
        _await_started(owner)
    orphans, endpoints = pids_of(LocalStack(folder)), LocalStack(folder).running()
    assert len(orphans) == 2

    successor = LocalStack(folder, fsync=False)
    assert successor.start() == endpoints
    assert pids_of(successor) == orphans
    successor.stop()
    assert not any(_accepts(server.port) for server in successor.servers)
    assert LocalStack(folder).running() is None


def test_two_processes_that_start_at_once_share_the_servers_until_the_last_is_gone(folder: Path) -> None:
    with _owner(folder) as first:
        with _owner(folder) as second:
            _await_started(first)
            _await_started(second)
            stack = LocalStack(folder)
            pids = pids_of(stack)
            assert len(pids) == 2
        stack.stop()
        assert pids_of(stack) == pids
    stack.stop()
    assert pids_of(stack) == []


def test_a_saved_port_that_another_program_uses_is_replaced(folder: Path) -> None:
    with LocalStack(folder, fsync=False) as first:
        pass
    stack = LocalStack(folder, fsync=False)
    saved = json.loads((folder / "stack.json").read_text())
    with socket.create_server(("127.0.0.1", saved["Redis"])), stack as second:
        assert LocalStack(folder).running() == second
        assert second.redis_url != first.redis_url
        assert second.database_url == first.database_url


def test_pid_files_with_the_pid_of_another_process_are_ignored(folder: Path) -> None:
    with LocalStack(folder, fsync=False):
        pass
    stack = LocalStack(folder, fsync=False)
    data = stack.postgres.home / "data"
    # Postgres trusts a pid only if it may signal it, so the other process runs as the same user.
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, **run_as_unprivileged()) as other_process:
        for path in (stack.postgres.home / "alive", stack.valkey.home / "alive"):
            path.write_text(str(other_process.pid))
        (data / "postmaster.pid").write_text(f"{other_process.pid}\n{data}\n")
        os.chown(data / "postmaster.pid", data.stat().st_uid, -1)

        assert pids_of(stack) == []
        with stack as endpoints:
            assert LocalStack(folder).running() == endpoints
        assert other_process.poll() is None


def test_half_a_stack_is_not_running_and_start_completes_it(folder: Path) -> None:
    stack = LocalStack(folder, fsync=False)
    with stack as endpoints:
        stack.valkey.kill()
        assert LocalStack(folder).running() is None
        with LocalStack(folder, fsync=False) as completed:
            assert completed == LocalStack(folder).running() == endpoints


def test_erasing_removes_everything_but_refuses_a_stack_in_use(folder: Path) -> None:
    stack = LocalStack(folder, fsync=False)
    with _owner(folder) as owner:
        _await_started(owner)
        with pytest.raises(StackFailed, match="another process still uses the stack"):
            stack.erase()
        assert LocalStack(folder).running()
    stack.erase()
    assert list(folder.iterdir()) == []
    assert not stack.postgres.home.exists()
    assert not any(_accepts(server.port) for server in stack.servers)


def test_lost_passwords_are_reported_in_one_line(folder: Path) -> None:
    with LocalStack(folder, fsync=False):
        pass
    (folder / "secrets.json").unlink()
    stack = LocalStack(folder, fsync=False)
    with pytest.raises(StackFailed, match=r"^Postgres rejects the password in secrets.json: restore .*$"):
        stack.start()
    assert pids_of(stack) == []


def test_a_server_that_cannot_start_reports_the_reason(folder: Path) -> None:
    stack = LocalStack(folder, fsync=False)
    with stack:
        pass
    expected_error = pytest.raises(StackFailed, match=r"^Redis did not start; .*Address already in use")
    with socket.create_server(("127.0.0.1", stack.valkey.port)), expected_error:
        stack.valkey.start()
