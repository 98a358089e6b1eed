"""`triagem doctor` names each problem and its fix."""

import importlib.util
import json
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.support.builders import NOW
from tests.support.command import Triagem
from tests.support.results import insert_unlabelled
from tests.support.windows import doubtful, result
from triagem import Publisher
from triagem.cli.checks import CheckResult
from triagem.contracts.ticket import Lane
from triagem.db import Database, training_jobs
from triagem.db.model_versions import record_promotion, record_version
from triagem.db.outbox.monitoring import MonitorState, save_monitor_state
from triagem.db.tickets.dead_letters import insert_dead_letter
from triagem.db.tickets.window import write_window
from triagem.db.training_jobs import JobKind
from triagem.inbox import Inbox
from triagem.inbox.lease import Lease, pause
from triagem.ops.heartbeat import record_completed
from triagem.ops.invalid_files import record_problem
from triagem.registry.no_model import LOST_STEP
from triagem.stack import LocalStack


def test_doctor_finds_a_healthy_installation_healthy(
    triagem: Triagem, monkeypatch: pytest.MonkeyPatch, bert_models: Path
) -> None:
    monkeypatch.setenv("TRIAGEM_REGISTRY_URL", str(bert_models))
    answer = triagem("doctor", "--json")
    checks = json.loads(answer.out)
    assert [check["problem"] for check in checks] == [None] * 10
    assert answer.status == 0


def problems(triagem: Triagem) -> dict[str, str]:
    answer = triagem("doctor", "--json")
    assert answer.status == 1
    return {check["check"]: check["problem"] for check in json.loads(answer.out) if check["problem"]}


def test_doctor_names_a_value_that_no_process_would_accept_and_goes_on(
    triagem: Triagem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIAGEM_BATCH_SIZE", "many")
    monkeypatch.setenv("TRIAGEM_LIVE_HIGH_WATER", "full")
    monkeypatch.setenv("TRIAGEM_MONITOR_EVERY", "10")

    by_check = problems(triagem)

    assert "TRIAGEM_BATCH_SIZE: must be a whole number" in by_check["settings"]
    assert "TRIAGEM_MONITOR_EVERY: '10' is not a schedule" in by_check["settings"]
    assert "TRIAGEM_LIVE_HIGH_WATER: must be a whole number" in by_check["settings"]
    assert by_check["Redis"].startswith("TRIAGEM_LIVE_HIGH_WATER: must be a whole number")


@pytest.mark.parametrize("setting", ["TRIAGEM_CRM_FILE", "TRIAGEM_ALERTS_FILE"])
def test_doctor_names_a_file_that_is_missing(triagem: Triagem, monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    monkeypatch.setenv(setting, "absent.toml")

    assert problems(triagem)["settings"] == f"{setting}: absent.toml cannot be read: No such file or directory"


def test_doctor_warns_of_guidelines_that_reviewers_do_not_see(
    triagem: Triagem, monkeypatch: pytest.MonkeyPatch
) -> None:
    def warning() -> list[str]:
        rows = json.loads(triagem("doctor", "--json").out)
        return [row["warning"] for row in rows if row["check"] == "TRIAGEM_GUIDELINES_FILE"]

    monkeypatch.setenv("TRIAGEM_GUIDELINES_FILE", "guia.md")
    assert warning() == ["reviewers see no guidelines: guia.md: No such file or directory"]
    Path("guia.md").write_text("# Guia", encoding="utf-8")
    assert warning() == []


def test_doctor_names_a_changed_model_file(
    triagem: Triagem, monkeypatch: pytest.MonkeyPatch, instant_models: Path
) -> None:
    shutil.copytree(instant_models, "mine")
    Path("mine/v1.0.0/weights.txt").write_text("changed", encoding="utf-8")
    monkeypatch.setenv("TRIAGEM_REGISTRY_URL", "mine")
    assert "weights.txt changed" in problems(triagem)["model"]


def test_doctor_warns_of_a_first_model_that_is_missing_and_names_a_registry_that_workers_do_not_use(
    triagem: Triagem, monkeypatch: pytest.MonkeyPatch, inbox: Inbox
) -> None:
    monkeypatch.setenv("TRIAGEM_REGISTRY_URL", "nothing here")
    answer = triagem("doctor", "--json")
    assert answer.status == 0
    assert "triagem start" in json.loads(answer.out)[-1]["warning"]

    lease = Lease(inbox.redis, 60)
    lease.acquire()
    lease.report_state("at work")
    assert problems(triagem)["model"].startswith(
        f"no current model in {Path('nothing here').absolute()}, which does not exist, but workers have one: check"
    )


@pytest.mark.parametrize("command", ["doctor", "status"])
def test_an_invalid_file_of_a_running_process_is_a_warning_with_its_reason(
    triagem: Triagem, inbox: Inbox, command: str
) -> None:
    record_problem(inbox.redis, "TRIAGEM_ALERTS_FILE", "alerts.toml is not valid TOML")

    warnings = {check["check"]: check["warning"] for check in json.loads(triagem(command, "--json").out)}

    assert warnings["TRIAGEM_ALERTS_FILE"] == (
        "invalid, its previous content stays in use: alerts.toml is not valid TOML"
    )
    record_problem(inbox.redis, "TRIAGEM_ALERTS_FILE", None)
    assert "TRIAGEM_ALERTS_FILE" not in triagem(command, "--json").out


def test_doctor_names_tickets_that_wait_without_a_worker(triagem: Triagem, inbox: Inbox) -> None:
    Publisher(inbox).publish(source="crm", external_id="1", text="x")
    assert problems(triagem)["inbox"].startswith("waiting tickets: 1; no worker is running")
    inbox.fetch(Lane.LIVE, "killed", 1)
    assert problems(triagem)["inbox"].startswith("waiting tickets: 1; no worker is running")


def publish_to_a_worker(inbox: Inbox) -> None:
    """Publish a ticket while a worker reports that it is at work."""
    lease = Lease(inbox.redis, 60)
    lease.acquire()
    lease.report_state("at work")
    Publisher(inbox).publish(source="crm", external_id="1", text="x")


def test_doctor_warns_of_a_full_lane_as_status_does(
    triagem: Triagem, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_to_a_worker(inbox)
    monkeypatch.setenv("TRIAGEM_LIVE_HIGH_WATER", "1")
    warnings = {row["check"]: row["warning"] for row in json.loads(triagem("doctor", "--json").out)}

    assert warnings["inbox"].startswith("waiting: 1; the live lane is full (1 entries, TRIAGEM_LIVE_HIGH_WATER)")


@pytest.mark.parametrize("work", [publish_to_a_worker, lambda _: None])
def test_backlog_names_a_postgres_that_hangs_before_the_workers_report_it(
    triagem: Triagem, inbox: Inbox, monkeypatch: pytest.MonkeyPatch, work: Callable[[Inbox], None]
) -> None:
    work(inbox)
    with socket.create_server(("127.0.0.1", 0)) as server:  # the kernel accepts; nobody reads
        monkeypatch.setenv("TRIAGEM_DATABASE_URL", f"postgresql://u:hush@127.0.0.1:{server.getsockname()[1]}/0")
        state = json.loads(triagem("backlog", "--json").out)

    assert state["diagnosis"].startswith("Postgres at 127.0.0.1:")
    assert state["drain_s"] is None


@pytest.mark.parametrize("command", ["status", "doctor"])
def test_a_pause_is_a_warning(triagem: Triagem, inbox: Inbox, command: str) -> None:
    lease = Lease(inbox.redis, 60)
    lease.acquire()
    lease.report_state("at work")
    Publisher(inbox).publish(source="crm", external_id="1", text="x")
    pause(inbox.redis)
    warnings = [row["warning"] or "" for row in json.loads(triagem(command, "--json").out)]

    assert any("paused: run `triagem resume`" in warning for warning in warnings)


def test_doctor_names_a_redis_that_would_drop_tickets(triagem: Triagem, inbox: Inbox) -> None:
    inbox.redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        assert "noeviction" in problems(triagem)["Redis"]
    finally:
        inbox.redis.config_set("maxmemory-policy", "noeviction")


def test_doctor_names_a_registry_that_lost_the_promoted_version(
    triagem: Triagem, monkeypatch: pytest.MonkeyPatch, database: Database
) -> None:
    record_version(database, "v1.0.0", manifest_digest=b"", created_at=NOW, labels=["suporte"])
    record_promotion(database, 1, "v1.0.0", NOW)
    monkeypatch.setenv("TRIAGEM_REGISTRY_URL", "nothing here")

    assert problems(triagem)["model"].startswith(
        f"no current model in {Path('nothing here').absolute()}, which does not exist, {LOST_STEP}"
    )
    for command in (("models", "list"), ("due",), ("drift",)):
        answer = triagem(*command)
        assert (answer.status, f", {LOST_STEP}\n" in answer.err) == (1, True), command


@pytest.mark.parametrize(
    ("variable", "scheme"), [("TRIAGEM_REDIS_URL", "redis"), ("TRIAGEM_DATABASE_URL", "postgresql")]
)
def test_status_names_a_server_that_accepts_connections_and_hangs(
    triagem: Triagem, monkeypatch: pytest.MonkeyPatch, variable: str, scheme: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:  # the kernel accepts; nobody reads
        port = server.getsockname()[1]
        monkeypatch.setenv(variable, f"{scheme}://user:hush@127.0.0.1:{port}/0")
        rows, backlog = json.loads(triagem("status", "--json").out), triagem("backlog")

    store = "Redis" if scheme == "redis" else "Postgres"  # the row that replaces all rows of the store
    problem = next(row["problem"] for row in rows if row["check"] == store)
    hangs = (
        f"{store} at 127.0.0.1:{port} accepts connections, but does not answer (no answer within 2 s): it is starting"
    )
    assert problem.startswith(hangs)
    if scheme == "redis":
        assert {row["check"]: row["detail"] for row in rows}["alerts"] == "none open, except this outage of Redis"
        assert backlog.err.startswith(f"triagem: {hangs}")
    assert "hush" not in problem


def test_a_postgres_url_that_leads_to_redis_is_named(
    triagem: Triagem, stack: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIAGEM_DATABASE_URL", f"postgresql://u:hush@127.0.0.1:{stack.valkey.port}/0")

    for command in ("status", "doctor", "backlog"):
        expected = f"what listens at 127.0.0.1:{stack.valkey.port} is not Postgres: correct TRIAGEM_DATABASE_URL"
        assert expected in triagem(command).out, command


@pytest.mark.parametrize("command", ["status", "doctor"])
@pytest.mark.parametrize(
    ("variable", "scheme"), [("TRIAGEM_REDIS_URL", "redis"), ("TRIAGEM_DATABASE_URL", "postgresql")]
)
def test_a_store_that_hangs_is_waited_for_once(
    triagem: Triagem, monkeypatch: pytest.MonkeyPatch, variable: str, scheme: str, command: str
) -> None:
    monkeypatch.setenv("TRIAGEM_REGISTRY_URL", "nothing here")  # do workers have a model, or was there one?
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv(variable, f"{scheme}://user:hush@127.0.0.1:{server.getsockname()[1]}/0")
        triagem(command)
        server.setblocking(False)
        server.accept()
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.mark.parametrize(
    ("variable", "check"), [("TRIAGEM_REDIS_URL", "Redis"), ("TRIAGEM_DATABASE_URL", "Postgres")]
)
def test_doctor_names_the_address_at_which_nothing_answers(
    triagem: Triagem, monkeypatch: pytest.MonkeyPatch, variable: str, check: str
) -> None:
    scheme = "redis" if check == "Redis" else "postgresql"
    monkeypatch.setenv(variable, f"{scheme}://user:hush@127.0.0.1:1/0")
    problem = problems(triagem)[check]
    assert "127.0.0.1:1 does not answer" in problem
    assert variable in problem
    assert "hush" not in problem


def test_doctor_loads_no_model_while_a_store_does_not_answer(
    triagem: Triagem, monkeypatch: pytest.MonkeyPatch, bert_models: Path
) -> None:
    monkeypatch.setenv("TRIAGEM_REGISTRY_URL", str(bert_models))
    monkeypatch.setenv("TRIAGEM_DATABASE_URL", "postgresql://user:hush@127.0.0.1:1/0")
    monkeypatch.setitem(sys.modules, "triagem.engine.classify", None)  # an import of it fails

    assert problems(triagem).keys() == {"Postgres"}


def test_doctor_checks_the_files_of_a_model_where_torch_is_not_installed(
    triagem: Triagem, monkeypatch: pytest.MonkeyPatch, bert_models: Path
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "torch" else find_spec(name))
    monkeypatch.setitem(sys.modules, "triagem.engine.classify", None)
    monkeypatch.setenv("TRIAGEM_REGISTRY_URL", str(bert_models))

    answer = triagem("doctor", "--json")
    last = json.loads(answer.out)[-1]

    assert answer.status == 0
    assert last["check"] == "model"
    assert last["detail"].endswith("files unchanged")


def test_doctor_names_a_database_that_was_not_migrated(
    triagem: Triagem, stack: LocalStack, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.autocommit() as connection:
        connection.execute(text("CREATE DATABASE untouched"))
    try:
        base, _, _ = stack.endpoints.database_url.rpartition("/")
        monkeypatch.setenv("TRIAGEM_DATABASE_URL", f"{base}/untouched")
        assert "triagem db upgrade" in problems(triagem)["Postgres"]
        assert triagem("db", "upgrade").status == 0
        assert "Postgres" not in problems(triagem)
    finally:
        with database.autocommit() as connection:
            connection.execute(text("DROP DATABASE untouched WITH (FORCE)"))


class TestStatus:
    def test_a_running_system_is_one_screen_in_plain_words(
        self, triagem: Triagem, database: Database, inbox: Inbox
    ) -> None:
        lease = Lease(inbox.redis, 60)
        lease.acquire()
        lease.report_state("at work")
        now = datetime.now(UTC)
        write_window(database, [replace(result(), received_at=now, classified_at=now)])
        answer = triagem("status", "--json")
        rows = {row["check"]: row for row in json.loads(answer.out)}

        assert answer.status == 0
        assert rows["queue, workers"]["detail"].startswith("idle: no tickets in the inbox\nlive: 0 waiting")
        assert rows["model"]["detail"] == "v1.0.0"
        assert rows["results"]["detail"].startswith("live tickets in 5 min: 1")
        assert (rows["alerts"]["detail"], rows["to do"]["detail"]) == ("none open", "nothing")

    def test_messages_that_wait_for_a_review_are_no_warning(self, triagem: Triagem, database: Database) -> None:
        write_window(database, [replace(doubtful(), received_at=datetime.now(UTC))])

        rows = {row["check"]: row for row in json.loads(triagem("status", "--json").out)}

        assert rows["to do"]["detail"] == "messages to review: 1 (on the console's page Review)"
        assert rows["to do"]["warning"] is None

    @pytest.mark.parametrize(
        ("ago_s", "warning", "detail"),
        [
            (None, "none was completed in the last day: results and alerts are not sent", ""),
            (180, "the last one was completed 3 min ago: results and alerts are not sent", ""),
            (0, "", "the last one was completed "),
        ],
    )
    def test_background_tasks_that_have_stopped_are_named(
        self, triagem: Triagem, inbox: Inbox, ago_s: int | None, warning: str, detail: str
    ) -> None:
        if ago_s is not None:
            record_completed(inbox.redis)
            (key,) = inbox.redis.keys("*task-completed")
            inbox.redis.expire(key, 86_400 - ago_s)
        for command in ("status", "doctor"):
            rows = {row["check"]: row for row in json.loads(triagem(command, "--json").out)}
            row = rows["background tasks"]
            assert (row["warning"] or "").startswith(warning)
            assert bool(row["warning"]) is bool(warning)
            assert row["detail"].startswith(detail)

    def test_tickets_that_were_stored_before_the_first_model_are_counted_with_what_to_do(
        self, triagem: Triagem, database: Database
    ) -> None:
        insert_unlabelled(database, "1")
        database.execute("UPDATE tickets SET source = 'predict'")
        insert_unlabelled(database, "2")

        rows = {row["check"]: row for row in json.loads(triagem("status", "--json").out)}

        assert rows["results"]["detail"].endswith("; stored without a result: 1")
        assert "there is no model yet: label messages on the page Start (`triagem start`)" in rows["to do"]["warning"]

    def test_a_job_that_no_trainer_takes_is_named(self, triagem: Triagem, database: Database) -> None:
        training_jobs.request(database, JobKind.FULL, requested_by="ana")
        assert "no trainer" not in triagem("status").out
        database.execute("UPDATE training_jobs SET requested_at = now() - interval '2 minutes'")
        assert "no trainer has taken job 1 for a minute" in triagem("status").out
        training_jobs.claim(database, "a", lease_s=60)
        assert "no trainer" not in triagem("status").out

    def test_what_is_wrong_is_named_with_the_next_command(
        self, triagem: Triagem, database: Database, inbox: Inbox
    ) -> None:
        save_monitor_state(database, "latency", MonitorState(), MonitorState(NOW, (), NOW), key=None)
        insert_dead_letter(database, Lane.LIVE, b"1-0", b"{}", "unreadable")
        inbox.put(Lane.LIVE, [b"{}"])
        answer = triagem("status")

        assert answer.status == 1
        assert answer.out.count("no worker is running: start `triagem up`") == 1
        assert f"high latency since {NOW:%Y-%m-%d %H:%M} UTC" in answer.out
        assert "messages not processed: 1 (`triagem dead list`)" in answer.out

    def test_each_row_is_printed_before_the_next_check_starts(
        self, triagem: Triagem, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        events = []

        def stored(_: str) -> Iterator[CheckResult]:
            events.append("last check")
            yield CheckResult("results")

        monkeypatch.setattr("triagem.cli.commands.status._stored", stored)
        monkeypatch.setattr("triagem.cli.checks.print_lines", lambda _: events.append("row"))
        triagem("status")

        assert events == ["row", "row", "last check", "row", "row"]

    def test_a_watch_shows_a_dead_store_with_its_fix_and_goes_on(
        self, triagem: Triagem, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rounds = []

        def sleep(_: float) -> None:
            rounds.append(1)
            if len(rounds) == 2:
                raise KeyboardInterrupt
            monkeypatch.setenv("TRIAGEM_REDIS_URL", "redis://127.0.0.1:1/0")
            monkeypatch.setenv("TRIAGEM_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")

        monkeypatch.setattr("triagem.cli.commands.status.time.sleep", sleep)
        answer = triagem("status", "--watch")

        assert answer.out.count(" UTC\n") == 2
        assert "127.0.0.1:1 does not answer (Connection refused): start the server" in answer.out
        assert "correct TRIAGEM_DATABASE_URL" in answer.out
