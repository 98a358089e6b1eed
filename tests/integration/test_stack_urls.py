"""`triagem env` and `triagem db url`: the URLs of the running local stack, for other programs."""

import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import psycopg
import pytest

from tests.support.command import Triagem, assert_one_line
from tests.support.gateway import client, services
from tests.support.waiting import until
from triagem import Publisher
from triagem.cli import stores
from triagem.db import Database
from triagem.gateway import health
from triagem.inbox import Inbox, connect
from triagem.stack import LocalStack


@pytest.fixture
def in_stack_folder(bare: Triagem, stack: LocalStack) -> Triagem:
    """The command in the folder of the running stack, without any setting."""
    Path(".triagem").symlink_to(stack.folder)
    return bare


def test_a_shell_evaluates_the_settings(in_stack_folder: Triagem, stack: LocalStack) -> None:
    lines = in_stack_folder("env").out
    names = ("TRIAGEM_REDIS_URL", "TRIAGEM_BROKER_URL", "TRIAGEM_DATABASE_URL", "TRIAGEM_REGISTRY_URL")
    script = f"{lines}\nprintenv {' '.join(names)}"
    printed = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout.splitlines()

    urls = stack.endpoints
    assert printed == [urls.redis_url, urls.broker_url, urls.database_url, str(Path("models").resolve())]
    assert json.loads(in_stack_folder("env", "--json").out) == dict(zip(names, printed, strict=True))


@pytest.mark.parametrize(("options", "login"), [((), "triagem"), (("--reader",), "analyst")])
def test_the_databases_url_logs_in(in_stack_folder: Triagem, options: tuple[str, ...], login: str) -> None:
    with psycopg.connect(in_stack_folder("db", "url", *options).out.strip()) as connection:
        assert connection.execute("SELECT current_user").fetchone() == (login,)


def test_without_a_running_stack_the_error_says_how_to_start_one(bare: Triagem) -> None:
    assert_one_line(bare("env"), "no local stack is running here", "triagem up")
    assert_one_line(bare("db", "url"), "TRIAGEM_DATABASE_URL is not set", "triagem up")


def test_a_reader_of_another_database_is_not_known(in_stack_folder: Triagem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIAGEM_DATABASE_URL", "postgresql://app:secret@db.internal/triagem")

    assert in_stack_folder("db", "url").out == "postgresql://app:secret@db.internal/triagem\n"
    assert_one_line(in_stack_folder("db", "url", "--reader"), "triagem_reader")


def test_of_a_stack_with_a_dead_server_the_other_one_is_used_and_the_dead_one_named(
    bare: Triagem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    restarted = "`triagem up` is running and starts it within seconds"
    stack = LocalStack(tmp_path / "half", fsync=False)
    try:
        stack.start()
        Path(".triagem").symlink_to(stack.folder)
        stack.valkey.kill()
        assert_one_line(bare("backlog"), "Redis of this folder", "not running", restarted)
        assert bare("db", "url").out.strip() == stack.endpoints.database_url
        problems = {row["check"]: row["problem"] for row in json.loads(bare("doctor", "--json").out)}
        assert "Redis of this folder" in problems["Redis"]
        assert "inbox" not in problems
        assert "not running" not in (problems["Postgres"] or "")

        stack.valkey.start()
        stack.postgres.kill()
        assert_one_line(bare("results"), "Postgres of this folder", "not running", restarted)
        monkeypatch.setenv("TRIAGEM_DATABASE_URL", stack.endpoints.database_url)
        assert f"does not answer (Connection refused): {restarted}" in bare("status").out
        monkeypatch.delenv("TRIAGEM_DATABASE_URL")
        stack.stop()
        assert_one_line(bare("results"), "not running: start `triagem up`")
    finally:
        stack.erase()


def test_the_log_and_the_process_of_a_frozen_server_are_named_and_its_successor_has_its_data(
    bare: Triagem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "_ANSWER_S", 0.2)
    monkeypatch.setattr(health, "_TIMEOUT_S", 0.2)
    stack = LocalStack(tmp_path / ".triagem", fsync=False)
    try:
        stack.start()
        open_services = services(Database(stack.endpoints.writer_url), Inbox(connect(stack.endpoints.redis_url)))
        for server, command in ((stack.valkey, "backlog"), (stack.postgres, "status")):
            pid = server.pid
            assert pid
            os.kill(pid, signal.SIGSTOP)
            log = server.log.relative_to(tmp_path) if server.log.is_relative_to(tmp_path) else server.log
            step = f"see {log}; if it does not recover, run `kill -9 {pid}`, then `triagem up` starts another"
            answer = bare(command)
            assert f"{server.name} at 127.0.0.1:{server.port} accepts connections" in answer.out + answer.err
            assert step in answer.out + answer.err
            assert f"{server.name} does not answer: {step}" in client(open_services).get("/health").json()["detail"]

            os.kill(pid, signal.SIGKILL)
            until(lambda: server.name in (stack.down() or ()))  # noqa: B023 - called at once
            assert stack.restart_dead() == [(server, -signal.SIGKILL)]
        assert stack.running()
    finally:
        stack.erase()


def test_a_worker_and_a_gateway_of_triagem_up_that_do_not_answer_are_named(
    in_stack_folder: Triagem,
    stack: LocalStack,
    inbox: Inbox,  # without workers
) -> None:
    Publisher(inbox).publish(source="crm", external_id="1", text="x")
    file = stack.folder / "gateway_url"  # written by `triagem up`
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    file.write_text(f"http://127.0.0.1:{port}", encoding="utf-8")
    hangs = "no worker answers, although `triagem up` runs: see .triagem/worker-0.log"
    try:
        for command in ("backlog", "status", "doctor"):
            assert hangs in in_stack_folder(command).out, command
        problem = f"http://127.0.0.1:{port} does not answer, although `triagem up` runs"
        for command in ("status", "doctor"):
            problems = {row["check"]: row["problem"] for row in json.loads(in_stack_folder(command, "--json").out)}
            assert problems["gateway"].startswith(problem), command
        file.write_text("", encoding="utf-8")  # `triagem up --workers 0`
        assert "no worker is running: start `triagem up`" in in_stack_folder("backlog").out
    finally:
        file.unlink()


def test_after_triagem_up_was_killed_the_missing_gateway_is_named(
    bare: Triagem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = LocalStack(tmp_path / "left", fsync=False)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        stack.start()
        Path(".triagem").symlink_to(stack.folder)
        (stack.folder / "gateway_url").write_text(address, encoding="utf-8")  # written by `triagem up`
        monkeypatch.setattr(LocalStack, "in_use", lambda _: False)

        problems = {row["check"]: row["problem"] for row in json.loads(bare("status", "--json").out)}

        assert (
            problems["gateway"] == f"{address} does not answer, no `triagem up` is running in this folder: start it"
        )
    finally:
        stack.erase()


def test_the_link_of_start_leads_to_the_running_gateway(
    in_stack_folder: Triagem,
    stack: LocalStack,
    database: Database,  # clean tables
) -> None:
    file = stack.folder / "gateway_url"  # written by `triagem up`, here with TRIAGEM_GATEWAY_PORT=8137
    file.write_text("http://127.0.0.1:8137", encoding="utf-8")
    try:
        assert "continue at http://127.0.0.1:8137/console/enter?link=" in in_stack_folder("start", "--link").out
        file.write_text("", encoding="utf-8")  # `triagem up --workers 0` starts no gateway
        assert "continue at http://127.0.0.1:8000/console/start" in in_stack_folder("start").out
    finally:
        file.unlink()
