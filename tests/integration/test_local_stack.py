"""The local stack, on real servers: what it promises to whoever starts it, kills it, or finds it running."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from redis import Redis

from tests.support.stack import pids_of, servers
from triagem.cli.stack import Endpoints, LocalStack, StackFailed, running
from triagem.cli.stack.account import run_as_unprivileged

OWNER = """
import signal, sys
from pathlib import Path
from triagem.cli.stack import LocalStack
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


def _write_something(at: Endpoints) -> None:
    with Redis.from_url(at.redis_url) as redis, psycopg.connect(at.database_url) as database:
        redis.set("kept", "é")
        database.execute("CREATE TABLE kept AS SELECT 'é' AS word")


def _read_it_back(at: Endpoints) -> tuple[object, object]:
    with (
        Redis.from_url(at.redis_url, decode_responses=True) as redis,
        psycopg.connect(at.database_url) as database,
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
        pids, ports = pids_of(stack), [server.port for server in servers(stack)]
        assert running(folder) == endpoints
        assert len(pids) == 2
        assert all(map(_accepts, ports))

    assert running(folder) is None
    assert not any(map(_exists, pids))
    assert not any(map(_accepts, ports))


def test_data_survives_a_kill_and_a_restart_on_the_same_urls(folder: Path) -> None:
    stack = LocalStack(folder)
    with stack as endpoints:
        _write_something(endpoints)
        for server in servers(stack):
            server.kill()
            assert not server.alive
            server.restart()
        assert _read_it_back(endpoints) == ("é", ("é",))
        assert stack.endpoints == endpoints


def test_data_passwords_and_ports_survive_a_stop(folder: Path) -> None:
    with LocalStack(folder, fsync=False) as first:
        _write_something(first)
    with LocalStack(folder, fsync=False) as second:
        assert second == first
        assert _read_it_back(second) == ("é", ("é",))


def test_what_a_killed_owner_left_running_is_adopted_and_then_stopped(folder: Path) -> None:
    with _owner(folder) as owner:
        _await_started(owner)
    orphans, left = pids_of(LocalStack(folder)), running(folder)
    assert len(orphans) == 2

    heir = LocalStack(folder, fsync=False)
    assert heir.start() == left
    assert pids_of(heir) == orphans
    heir.stop()
    assert not any(_accepts(server.port) for server in servers(heir))
    assert running(folder) is None


def test_two_processes_that_start_at_once_share_the_servers_until_the_last_is_gone(folder: Path) -> None:
    with _owner(folder) as one:
        with _owner(folder) as other:
            _await_started(one)
            _await_started(other)
            stack = LocalStack(folder)
            pids = pids_of(stack)
            assert len(pids) == 2
        stack.stop()
        assert pids_of(stack) == pids
    stack.stop()
    assert pids_of(stack) == []


def test_a_saved_port_that_another_program_has_taken_is_given_up(folder: Path) -> None:
    with LocalStack(folder, fsync=False) as first:
        pass
    stack = LocalStack(folder, fsync=False)
    saved = json.loads((folder / "stack.json").read_text())
    with socket.create_server(("127.0.0.1", saved["Valkey"])), stack as second:
        assert running(folder) == second
        assert second.redis_url != first.redis_url
        assert second.database_url == first.database_url


def test_pid_files_whose_number_now_belongs_to_another_process_do_not_matter(folder: Path) -> None:
    with LocalStack(folder, fsync=False):
        pass
    stack = LocalStack(folder, fsync=False)
    data = stack.postgres.home / "data"
    # Postgres believes in a pid only if it may signal it: so the stranger is of the same user.
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, **run_as_unprivileged()) as stranger:
        for path in (stack.postgres.home / "alive", stack.valkey.home / "alive"):
            path.write_text(str(stranger.pid))
        (data / "postmaster.pid").write_text(f"{stranger.pid}\n{data}\n")
        os.chown(data / "postmaster.pid", data.stat().st_uid, -1)

        assert pids_of(stack) == []
        with stack as endpoints:
            assert running(folder) == endpoints
        assert stranger.poll() is None


def test_half_a_stack_is_not_running_and_start_completes_it(folder: Path) -> None:
    stack = LocalStack(folder, fsync=False)
    with stack as endpoints:
        stack.valkey.kill()
        assert running(folder) is None
        with LocalStack(folder, fsync=False) as completed:
            assert completed == running(folder) == endpoints


def test_erasing_leaves_nothing_but_spares_a_stack_that_others_use(folder: Path) -> None:
    stack = LocalStack(folder, fsync=False)
    with _owner(folder) as owner:
        _await_started(owner)
        with pytest.raises(StackFailed, match="another process still uses the stack"):
            stack.erase()
        assert running(folder)
    stack.erase()
    assert list(folder.iterdir()) == []
    assert not stack.postgres.home.exists()
    assert not any(_accepts(server.port) for server in servers(stack))


def test_lost_passwords_are_told_in_one_line(folder: Path) -> None:
    with LocalStack(folder, fsync=False):
        pass
    (folder / "secrets.json").unlink()
    stack = LocalStack(folder, fsync=False)
    with pytest.raises(StackFailed, match=r"^Postgres rejects the password in secrets.json: restore .*$"):
        stack.start()
    assert pids_of(stack) == []


def test_a_server_that_cannot_start_says_why(folder: Path) -> None:
    stack = LocalStack(folder, fsync=False)
    with stack:
        pass
    why = pytest.raises(StackFailed, match=r"^Valkey did not start; .*Address already in use")
    with socket.create_server(("127.0.0.1", stack.valkey.port)), why:
        stack.valkey.start()
