"""The audit trail: every sensitive action adds a row, no row can be changed, and guesses of keys are throttled."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from tests.integration.test_training_jobs import request
from tests.support.command import Triagem
from tests.support.console import Person
from tests.support.gateway import client, services
from tests.support.scored_versions import current_and_better
from triagem.cli.commands.train import record_promotion
from triagem.contracts.errors import AccessDenied, InvalidInput
from triagem.contracts.ticket import Lane
from triagem.db import Database, runs, training_jobs
from triagem.db.audit import Actor, AuditEntry, list_audit, record, record_once
from triagem.db.auth import Scope, create_key
from triagem.db.runs import RunPlan
from triagem.db.tickets.dead_letters import insert_dead_letter
from triagem.db.training_jobs import JobKind
from triagem.gateway.app import create_app
from triagem.inbox import Inbox
from triagem.ops.retention import RetentionSettings, delete_old_data
from triagem.trainer.jobs.run import promote_job_version


def entries(database: Database) -> list[AuditEntry]:
    return list_audit(database, limit=100)[::-1]


def described(database: Database) -> list[tuple[str, str, str, str]]:
    return [(entry.actor, entry.action, entry.object, entry.outcome) for entry in entries(database)]


class TestGateway:
    def test_logins_deletions_and_dead_letters_are_recorded(self, database: Database, inbox: Inbox) -> None:
        insert_dead_letter(database, Lane.LIVE, b"1-0", b"minha senha", "unreadable")
        ana = Person(services(database, inbox), Scope.ADMIN)
        ana.send("dead-letter", ana.see("operations"), action="drop")
        ana.http.delete("/v1/tickets/zendesk/4711", headers={"Authorization": f"Bearer {ana.secret}"})
        ana.send("logout", ana.see("operations"))

        who = f"key {ana.key.id} (ana)"
        assert described(database) == [
            (who, "login", "console", "done"),
            (who, "dead-letter.drop", "dead letter 1", "done"),
            (who, "ticket.forget", "zendesk/4711", "done"),
            (who, "logout", "console", "done"),
        ]
        assert {entry.address for entry in entries(database)} == {"testclient"}

    def test_a_refused_login_names_the_prefix_of_the_key_and_nothing_else(
        self, database: Database, inbox: Inbox
    ) -> None:
        http = client(services(database, inbox))
        for typed in ("trg_abcdefghijkl", "my password"):
            http.post("/console/login", data={"key": typed})

        assert described(database) == [
            ("unknown key trg_abcd", "login", "console", "refused"),
            ("unknown key", "login", "console", "refused"),
        ]

    def test_only_an_administrator_sees_it(self, database: Database, inbox: Inbox) -> None:
        opened = services(database, inbox)
        admin, reader = Person(opened, Scope.ADMIN), Person(opened, Scope.READ, name="bia")
        record(database, Actor("unknown key"), "login", "console", "refused")

        page = admin.see("operations")
        assert "<td>logged in</td>" in page
        assert "<td>tried to log in</td>" in page
        assert "<td>logged in</td>" not in reader.see("operations")


class TestGuesses:
    @staticmethod
    def tries(http: TestClient, secrets: list[str]) -> list[int]:
        return [
            http.get("/v1/results", headers={"Authorization": f"Bearer {secret}"}).status_code for secret in secrets
        ]

    def test_a_client_with_too_many_unknown_keys_is_429_and_others_are_not(
        self, database: Database, inbox: Inbox
    ) -> None:
        app = create_app(services(database, inbox, failed_key_limit="3/hour"))
        attacker, other = (TestClient(app, client=(address, 5)) for address in ("192.0.2.1", "198.51.100.1"))
        _, known = create_key(database, "shop", [Scope.READ])

        assert self.tries(attacker, [f"trg_{n:04}" for n in range(5)]) == [401, 401, 401, 429, 429]
        assert self.tries(other, [known, "trg_new"]) == [200, 401]

    def test_a_key_in_use_stays_valid_for_the_same_client(self, database: Database, inbox: Inbox) -> None:
        http = client(services(database, inbox, failed_key_limit="3/hour"))
        _, known = create_key(database, "shop", [Scope.READ])

        assert self.tries(http, [known, *(f"trg_{n:04}" for n in range(4)), known]) == [200, 401, 401, 401, 429, 200]

    def test_guesses_of_one_key_from_many_clients_are_429(self, database: Database, inbox: Inbox) -> None:
        app = create_app(services(database, inbox, failed_key_limit="3/hour"))
        statuses = [self.tries(TestClient(app, client=(f"192.0.{n}.1", 5)), [f"trg_abcd{n}"])[0] for n in range(5)]
        assert statuses == [401, 401, 401, 429, 429]

    def test_logins_are_throttled_too(self, database: Database, inbox: Inbox) -> None:
        http = client(services(database, inbox, failed_key_limit="3/hour"))
        answers = [http.post("/console/login", data={"key": f"trg_{n:04}"}) for n in range(4)]

        assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
        assert len(entries(database)) == 3


class TestCommands:
    def test_they_record_who_ran_them(self, triagem: Triagem, database: Database) -> None:
        triagem("keys", "create", "shop", "--scope", "read")
        triagem("keys", "revoke", "1")
        triagem("db", "forget", "zendesk", "4711", "--yes")

        rows = json.loads(triagem("audit", "--format", "json").out)
        assert [(row["action"], row["object"]) for row in rows] == [
            ("ticket.forget", "zendesk/4711"),
            ("key.revoke", "key 1"),
            ("key.create", "key 1 (shop)"),
        ]
        assert all("@" in row["actor"] for row in rows)

    def test_a_label_that_is_changed_is_recorded(self, triagem: Triagem, database: Database) -> None:
        triagem("labels", "set", "venda", "--new-label")
        triagem("labels", "set", "unknown", "--name", "x")

        (row,) = json.loads(triagem("audit", "--format", "json").out)
        assert (row["action"], row["object"]) == ("label.set", "venda")

    def test_promotion_and_rollback_are_recorded(
        self, triagem: Triagem, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        current_and_better(tmp_path / "models")
        monkeypatch.setenv("TRIAGEM_REGISTRY_URL", str(tmp_path / "models"))
        assert triagem("models", "promote", "v1.1.0").status == 0
        assert triagem("models", "rollback").status == 0

        assert [(entry.action, entry.object) for entry in entries(database)] == [
            ("model.promote", "v1.1.0"),
            ("model.rollback", "v1.0.0"),
        ]

    def test_the_promotion_of_a_training_is_recorded_if_there_is_a_database(
        self,
        triagem: Triagem,
        database: Database,
        capfd: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        record_promotion("v1.0.0")
        monkeypatch.delenv("TRIAGEM_DATABASE_URL")
        record_promotion("v1.1.0")

        assert [(entry.action, entry.object) for entry in entries(database)] == [("model.promote", "v1.0.0")]
        assert capfd.readouterr().err == ""

    def test_without_a_database_a_promotion_works_and_says_that_it_is_not_recorded(
        self, bare: Triagem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        registry = current_and_better(tmp_path / "models")
        monkeypatch.setenv("TRIAGEM_REGISTRY_URL", str(tmp_path / "models"))
        answer = bare("models", "promote", "v1.1.0")

        assert (answer.status, registry.current().version) == (0, "v1.1.0")
        assert answer.err.startswith("not in the audit trail, only in promotions.jsonl: TRIAGEM_DATABASE_URL is not")

    def test_a_list_is_filtered(self, triagem: Triagem, database: Database) -> None:
        record(database, Actor("key 1 (ana)"), "ticket.forget", "a/1")
        record(database, Actor("key 2 (bia)"), "login", "console")

        for option in (("--actor", "ana"), ("--action", "ticket.forget")):
            (row,) = json.loads(triagem("audit", *option, "--format", "json").out)
            assert row["object"] == "a/1"
        assert json.loads(triagem("audit", "--since", "2999-01-01", "--format", "json").out) == []
        assert triagem("audit", "--action", "x").status == 2


class TestTrainings:
    @pytest.mark.parametrize(
        ("version", "outcome", "recorded"),
        [("v1.1.0", "rejected", "rejected v1.1.0"), (None, None, "failed")],
    )
    def test_request_and_end_are_recorded_with_the_change(
        self, database: Database, version: str | None, outcome: str | None, recorded: str
    ) -> None:
        for _ in range(2):
            job, _ = training_jobs.request(database, JobKind.FULL, requested_by="schedule")
        training_jobs.claim(database, "trainer", lease_s=60)
        for _ in range(2):
            if version:
                training_jobs.finish(database, job.id, "trainer", version, outcome)
            else:
                training_jobs.fail(database, job.id, "trainer", "no rows")

        assert described(database) == [
            ("schedule", "training.request", "training 1", "done"),
            ("training 1", "training.finish", "training 1", recorded),
        ]

    def test_a_pre_flight_is_not_called_a_training(self, database: Database) -> None:
        job, _ = training_jobs.request(database, JobKind.PREFLIGHT, requested_by="ana")
        training_jobs.claim(database, "trainer", lease_s=60)
        training_jobs.finish(database, job.id, "trainer", None)

        assert described(database) == [
            ("ana", "training.request", "pre-flight 1", "done"),
            ("pre-flight 1", "training.finish", "pre-flight 1", "done"),
        ]

    def test_a_choice_of_questions_is_not_recorded(self, database: Database) -> None:
        job, _ = training_jobs.request(database, JobKind.EMBED, requested_by="ana")
        training_jobs.claim(database, "trainer", lease_s=60)
        training_jobs.finish(database, job.id, "trainer", None)

        assert entries(database) == []

    @pytest.mark.parametrize("killed_before", ["the promotion", "the end of the job"])
    def test_the_promotion_of_a_job_that_is_killed_is_recorded_once(
        self, database: Database, tmp_path: Path, killed_before: str
    ) -> None:
        registry, job = current_and_better(tmp_path / "models"), request(database, promote="auto")
        if killed_before == "the promotion":
            record_once(database, Actor("training 1"), "model.promote", "v1.1.0")
        else:
            promote_job_version(database, registry, "v1.1.0", job, datetime.now(UTC))

        assert promote_job_version(database, registry, "v1.1.0", job, datetime.now(UTC)) == "promoted"

        assert registry.current().version == "v1.1.0"
        assert described(database)[1:] == [("training 1", "model.promote", "v1.1.0", "done")]


def test_a_run_is_recorded_with_its_actor(database: Database, tmp_path: Path) -> None:
    current = current_and_better(tmp_path).current()
    ana = Actor("ana@host (command line)", "192.0.2.1")
    first = runs.start(database, RunPlan(current.version, 1))
    with pytest.raises(InvalidInput):
        runs.start(database, RunPlan(current.version, 1))
    for _ in range(2):
        runs.cancel(database, first.id, "v1.1.0 was promoted", successor=RunPlan("v1.1.0", 2))
    (second, *_) = runs.newest_runs(database)
    runs.cancel(database, second.id, actor=ana)
    third = runs.start(database, RunPlan("v1.1.0", 2, shadow=True), ana)

    assert described(database) == [
        ("schedule", "run.start", f"run {first.id}", "v1.0.0"),
        ("schedule", "run.cancel", f"run {first.id}", "v1.1.0 was promoted"),
        ("schedule", "run.start", f"run {second.id}", "v1.1.0"),
        (ana.name, "run.cancel", f"run {second.id}", "done"),
        (ana.name, "run.start", f"run {third.id}", "shadow of v1.1.0"),
    ]


@pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'x'", "DELETE FROM audit"])
def test_rows_cannot_be_changed_or_deleted(database: Database, statement: str) -> None:
    record(database, Actor("key 1 (ana)"), "ticket.forget", "a/1")
    with pytest.raises(AccessDenied), database.autocommit() as connection:
        connection.execute(text(statement))
    assert len(entries(database)) == 1


def test_retention_deletes_old_rows_only(database: Database) -> None:
    with database.autocommit() as connection:
        for days in (0, 31, 800):
            connection.execute(
                text(
                    "INSERT INTO audit (at, actor, address, action, object, outcome)"
                    " VALUES (now() - make_interval(days => :days), 'a', '', 'login', :days, 'done')"
                ),
                {"days": days},
            )
    settings = RetentionSettings()
    list(delete_old_data(database, {"audit": settings.days()["audit"]}, now=entries(database)[0].at))
    assert [entry.object for entry in entries(database)] == ["0", "31", "audit > 730 d"]
