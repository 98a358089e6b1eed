"""The console's overview, models and operations."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.assessments import report
from tests.support.builders import NOW, Clock
from tests.support.console import Person
from tests.support.gateway import services
from tests.support.results import insert_review
from tests.support.reviewing import sure, unsure
from tests.support.scored_versions import current_and_better, register_tested
from triagem.contracts.assessment import MetricEstimate, ReliabilityBin, Slice
from triagem.contracts.model import DataInfo
from triagem.contracts.ticket import Lane
from triagem.db import Database, runs, training_jobs
from triagem.db.auth import Scope
from triagem.db.model_versions import record_promotion, record_version
from triagem.db.outbox.alerts import DRIFT, raise_alert
from triagem.db.tickets import dead_letters
from triagem.db.tickets.dead_letters import list_dead_letters
from triagem.db.tickets.window import write_window
from triagem.db.training_jobs import JobKind
from triagem.gateway.console.messages import MESSAGES
from triagem.gateway.console.overview import ThroughputMeter
from triagem.gateway.services import Services
from triagem.inbox import Inbox, connect
from triagem.inbox.lease import AT_WORK, Lease, pause
from triagem.producer.crm import CrmFile
from triagem.registry import Registry

EVIL = "<script>alert(1)</script>"


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return current_and_better(tmp_path / "models")


@pytest.fixture
def opened(database: Database, inbox: Inbox, registry: Registry) -> Services:
    return services(database, inbox, models=registry.root)


@pytest.fixture
def admin(opened: Services) -> Person:
    return Person(opened, Scope.ADMIN)


@pytest.fixture
def reader(opened: Services) -> Person:
    return Person(opened, Scope.READ)


class TestOverview:
    def test_an_empty_installation_shows_what_is_missing(self, reader: Person) -> None:
        page = reader.see("overview")
        assert "no worker answers" in page
        assert "No ticket has a result yet" in page

    def test_it_shows_the_backlog_the_workers_and_the_current_model(self, reader: Person, inbox: Inbox) -> None:
        inbox.put(Lane.LIVE, [b"1", b"2", b"3"])
        inbox.fetch(Lane.LIVE, "worker", 1)
        lease = Lease(inbox.redis, 60)
        lease.acquire()
        lease.report_state("working")
        pause(inbox.redis)
        page = reader.see("overview")
        assert '<b class="value">2</b> live <span class="dim">+ 1 in flight' in page
        assert '<li><span lang="en">working</span></li>' in page
        assert "paused" in page
        assert "v1.0.0" in page

    def test_paused_workers_are_not_said_to_be_at_work_and_no_time_is_estimated(
        self, opened: Services, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ThroughputMeter, "per_second", lambda _: 2.0)
        reader = Person(opened, Scope.READ)
        inbox.put(Lane.LIVE, [b"1", b"2"])
        lease = Lease(inbox.redis, 60)
        lease.acquire()
        lease.report_state(AT_WORK)
        assert all(text in reader.see("overview") for text in ("at work", "empty in about"))

        pause(inbox.redis)
        page = reader.see("overview", lang="pt")

        assert "em pausa" in page
        assert not any(text in page for text in ("em atividade", "esvazia em"))

    def test_in_portuguese_the_states_of_workers_and_alerts_are_in_portuguese(
        self, reader: Person, database: Database, inbox: Inbox
    ) -> None:
        lease = Lease(inbox.redis, 60)
        lease.acquire()
        lease.report_state(f"{AT_WORK}: no disk")
        raise_alert(
            database,
            DRIFT,
            "1",
            {"version": "v1.0.0", "summary": "v1.0.0: drift in labels (9 samples against 9 held-out rows)"},
        )
        raise_alert(database, "no-task", "1", {"state": "open"})

        page = reader.see("overview", lang="pt")

        assert "<td>nenhuma tarefa em segundo plano é concluída</td><td>as tarefas em segundo plano pararam" in page
        assert '<li>em atividade: <span lang="en">no disk</span></li>' in page
        assert "v1.0.0: mudança em categorias (9 amostras contra 9 linhas separadas do treino)" in page

    @pytest.mark.parametrize(("low", "over"), [(4, False), (5, True)])
    def test_the_share_of_unsure_tickets_is_the_one_of_the_alert(
        self, reader: Person, database: Database, monkeypatch: pytest.MonkeyPatch, low: int, over: bool
    ) -> None:
        tickets = [unsure(f"low {number}", 0.69) for number in range(low)]
        tickets += [sure(str(number), confidence=0.7) for number in range(20 - low)]
        write_window(database, [replace(ticket, lane=Lane.LIVE) for ticket in tickets])
        write_window(database, [unsure(f"imported {number}", 0.1) for number in range(20)])

        page = reader.see("overview")
        assert "Confidence below 0.70" in page
        assert f"{low / 20:.1%}</b>" in page
        assert "of 20 live tickets: those of the last five minutes, at least the last 50; alert above 20%" in page
        assert ("above the alert limit" in page) is over

        monkeypatch.setenv("TRIAGEM_MONITOR_UNSURE_SHARE", "0.5")
        page = reader.see("overview")
        assert "alert above 50%" in page
        assert "above the alert limit" not in page

    def test_fewer_tickets_than_the_alert_needs_are_not_above_its_limit(
        self, reader: Person, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_window(database, [replace(unsure(str(number)), lane=Lane.LIVE) for number in range(19)])
        page = reader.see("overview")
        assert "100.0%</b>" in page
        assert "above the alert limit" not in page
        monkeypatch.setenv("TRIAGEM_MONITOR_DISABLED_KINDS", "unsure-share")
        assert "alert above" not in reader.see("overview")

    def test_charts_count_tickets_by_band_and_by_the_effective_label(
        self, reader: Person, database: Database
    ) -> None:
        write_window(database, [sure("1"), sure("2", confidence=0.91), unsure("3", 0.55)])
        insert_review(database, "3", "suporte", text="text 3")
        page = reader.see("overview")
        assert 'class="band-automate"><title>0.90\u20130.95: 2</title>' in page
        assert 'class="band-review"><title>0.55\u20130.60: 1</title>' in page
        assert "1 suporte</title>" in page
        assert "2 venda</title>" in page

    def test_an_alert_begins_in_the_time_zone_of_the_page(
        self, reader: Person, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        detail = {"state": "open", "value": 0.5, "limit": 0.2, "since": "2026-12-01T01:30:00+00:00"}
        raise_alert(database, "unsure-share", "1", detail)
        assert "2026-12-01 01:30 UTC" in reader.see("overview")
        monkeypatch.setenv("TRIAGEM_TIMEZONE", "America/Sao_Paulo")
        assert "2026-11-30 22:30 America/Sao_Paulo" in reader.see("overview")

    def test_it_lists_the_newest_alerts(self, reader: Person, database: Database) -> None:
        raise_alert(database, DRIFT, "2026-11-22", {"summary": EVIL})
        page = reader.see("overview")
        assert "2026-11-22" in page
        assert EVIL not in page

    def test_throughput_is_what_left_the_lanes_between_two_measurements(self, inbox: Inbox) -> None:
        clock = Clock()
        meter = ThroughputMeter(inbox, clock)
        assert meter.per_second() is None
        inbox.put(Lane.LIVE, [b"x"] * 20)
        inbox.ack(inbox.fetch(Lane.LIVE, "worker", 20))
        clock.advance(10)
        assert meter.per_second() == 2.0
        inbox.redis.flushall()
        assert meter.per_second() is None


class TestModels:
    def test_a_registry_that_was_moved_is_not_taken_for_one_before_the_first_model(
        self, opened: Services, reader: Person, registry: Registry, database: Database
    ) -> None:
        admin = Person(opened, *Scope)
        form = admin.see("models")
        registry.root.rename(registry.root.with_name("moved"))
        lost = "The model registry has no current version: check TRIAGEM_REGISTRY_URL"
        assert not any(lost in admin.see(path) for path in ("overview", "models", "start"))
        record_version(database, "v1.0.0", manifest_digest=b"", created_at=NOW, labels=["suporte"])
        record_promotion(database, 1, "v1.0.0", NOW)

        assert all(lost in reader.see(path) for path in ("overview", "models"))
        assert lost in reader.http.get("/console/model", params={"version": "v1.0.0"}).text
        start = admin.see("start")
        assert (lost in start, MESSAGES["start_intro"][0] in start) == (True, False)
        fields = {"token": form.split('name="token" value="')[1][:64], "version": "v1.1.0"}
        answers = [admin.http.post(f"/console/{path}", data=fields) for path in ("model", "rollback")]
        assert [(answer.status_code, lost in answer.text) for answer in answers] == [(404, True)] * 2

    def test_a_version_that_passes_the_gate_becomes_current(self, admin: Person, registry: Registry) -> None:
        form = admin.see("model", version="v1.1.0")
        assert "this version may become current" in form
        assert "1.000" in form
        page = admin.send("model", form)
        assert "v1.1.0 is current" in page
        promoted = registry.current()
        assert promoted.version == "v1.1.0"

        assert "v1.1.0 is already current." in admin.send("model", form)  # clicked twice
        assert registry.current() == promoted

    def test_a_rejected_version_has_its_reasons_and_no_button_and_a_form_does_not_promote_it(
        self, admin: Person, registry: Registry
    ) -> None:
        registry.promote("v1.1.0")
        page = admin.see("model", version="v1.0.0")
        assert "no version can exceed the current one" in page
        assert 'method="post" action="/console/model"' not in page
        token = page.split('name="token" value="')[1][:64]
        answer = admin.http.post("/console/model", data={"token": token, "version": "v1.0.0"})
        assert "did not pass the promotion gate" in answer.text
        assert registry.current().version == "v1.1.0"

    def test_a_rollback_is_offered_only_if_there_is_a_previous_version(
        self, admin: Person, registry: Registry
    ) -> None:
        assert 'action="/console/rollback"' not in admin.see("models")
        registry.promote("v1.1.0")
        assert 'Roll back to the previous version</button> <span class="dim">v1.0.0</span>' in admin.see("models")

    def test_a_rollback_is_recorded_with_user_and_reason(self, admin: Person, registry: Registry) -> None:
        registry.promote("v1.1.0")
        form = admin.see("models")
        admin.send("rollback", form, reason="misses refunds")
        assert registry.current().version == "v1.0.0"
        assert registry.promotions()[-1].reason == "ana: misses refunds"

        assert "There is no previous version to roll back to." in admin.send("rollback", form)
        assert len(registry.promotions()) == 3

    def test_a_read_key_shows_models_and_changes_nothing(self, reader: Person, registry: Registry) -> None:
        page = reader.see("model", version="v1.1.0") + reader.see("models")
        assert 'action="/console/rollback"' not in page
        token = page.split('name="token" value="')[1][:64]
        for path in ("model", "rollback", "dead-letter"):
            assert reader.http.post(f"/console/{path}", data={"token": token}).status_code == 403
        assert registry.current().version == "v1.0.0"

    def test_a_leaked_accuracy_is_marked(self, database: Database, inbox: Inbox, tmp_path: Path) -> None:
        registry = Registry(tmp_path / "leaked")
        data = DataInfo(digest="0" * 64, rows=500, leaked=1300)
        registry.promote(register_tested(registry, data=data, metrics={"accuracy": 0.93}))
        reader = Person(services(database, inbox, models=registry.root), Scope.READ)
        for page in ("overview", "models"):
            assert 'class="unsure">leaked</strong>' in reader.see(page)
        assert "Test rows that are also training rows, or nearly: 1,300." in reader.see("model", version="v1.0.0")

    @pytest.mark.parametrize(
        ("kind", "accuracy", "measured"),
        [
            (JobKind.FULL, "accuracy on its test rows: 93.0%", "Measured on the test rows: 6."),
            (
                JobKind.HEAD,
                "accuracy, cross-validated on the answers: 93.0%",
                "Cross-validated on the answers to random questions: 6.",
            ),
        ],
    )
    def test_a_figure_says_what_was_measured(
        self, database: Database, inbox: Inbox, tmp_path: Path, *, kind: JobKind, accuracy: str, measured: str
    ) -> None:
        job, _ = training_jobs.request(database, kind, requested_by="ana", parameters={})
        registry = Registry(tmp_path / "measured")
        metrics, content = {"accuracy": 0.93}, report().model_dump_json()
        registry.promote(register_tested(registry, report=content, metrics=metrics, job=f"{job.id} 2026-12-01"))
        reader = Person(services(database, inbox, models=registry.root), Scope.READ)

        assert accuracy in reader.see("overview")
        page = reader.see("model", version="v1.0.0")
        assert measured in page
        assert "Near-duplicates count as one." in page
        assert "calibration error (ECE)" in page
        assert "lower is better" in page

    def test_an_unknown_rule_is_refused_with_the_known_ones(self, reader: Person) -> None:
        answer = reader.http.get("/console/model", params={"version": "v1.1.0", "rule": "gian", "lang": "pt"})

        assert answer.status_code == 422
        assert "Regra &#39;gian&#39;: use um destes valores: improve, gain, non-inferior" in answer.text

    @pytest.mark.parametrize("version", ["v9.9.9", "../../etc", EVIL])
    def test_an_unknown_version_is_404(self, reader: Person, version: str) -> None:
        answer = reader.http.get("/console/model", params={"version": version})
        assert answer.status_code == 404
        assert EVIL not in answer.text

    def test_a_report_is_drawn(self, database: Database, inbox: Inbox, tmp_path: Path) -> None:
        figure = MetricEstimate(value=0.9, low=0.8, high=0.95)
        drawn = {
            "overall": Slice(rows=10, metrics={"accuracy": figure}),
            "confusion": ((4, 1), (0, 5)),
            "bins": (ReliabilityBin(rows=10, confidence=0.75, accuracy=figure),),
        }
        registry = Registry(tmp_path / "reported")
        register_tested(registry, report=report().model_copy(update=drawn).model_dump_json())
        reader = Person(services(database, inbox, models=registry.root), Scope.READ)
        page = reader.see("model", version="v1.0.0")
        assert '<td class="right">4</td><td>1</td>' in page
        assert '<circle cx="150.0" cy="20.0"' in page
        assert "0.900" in page
        assert 'href="/console/report?version=v1.0.0"' in page
        whole = reader.http.get("/console/report", params={"version": "v1.0.0"})
        assert (whole.status_code, "<h1>v1.0.0" in whole.text) == (200, True)
        in_portuguese = reader.http.get("/console/report", params={"version": "v1.0.0", "lang": "pt"})
        assert "<h1>versão v1.0.0" in in_portuguese.text
        assert "script-src" not in whole.headers["content-security-policy"]  # default-src 'none' holds for scripts
        assert reader.http.get("/console/report", params={"version": "v9.9.9"}).status_code == 404


class TestOperations:
    def test_runs_show_their_progress(self, reader: Person, database: Database) -> None:
        write_window(database, [sure("1"), sure("2")])
        runs.start(database, runs.RunPlan("v1.1.0", 1))
        page = reader.see("operations")
        assert "running" in page
        assert "v1.1.0" in page
        assert "<progress" in page

    def test_runs_that_found_nothing_to_do_are_left_out(self, reader: Person, database: Database) -> None:
        run = runs.start(database, runs.RunPlan("v1.1.0", 1, filters={"unseen": True}))
        assert "v1.1.0" in reader.see("operations")
        runs.finish_if_done(database, run.id)
        assert "v1.1.0" not in reader.see("operations")

    def test_without_redis_the_page_shows_what_postgres_has(self, database: Database) -> None:
        gone = Inbox(connect("redis://127.0.0.1:1/0"))
        dead_letters.insert_dead_letter(database, Lane.LIVE, b"1-0", b"{", "unreadable entry")
        page = Person(services(database, gone), Scope.READ).see("operations")
        assert "Redis does not answer" in page
        assert "unreadable entry" in page

    def test_an_error_in_the_crm_file_is_shown_before_the_next_webhook(
        self, database: Database, inbox: Inbox, tmp_path: Path
    ) -> None:
        file = tmp_path / "crm.toml"
        file.write_text('[zammad]\ntoken = "0123456789abcdef"\n')
        reader = Person(replace(services(database, inbox), crm_file=CrmFile(file, every_s=0)), Scope.READ)
        assert "TRIAGEM_CRM_FILE" not in reader.see("operations")

        file.write_text("[zammad]\n")

        assert "TRIAGEM_CRM_FILE is invalid, its previous content stays in use" in reader.see("operations")

    def test_a_dead_letter_is_put_back_on_its_lane(self, admin: Person, database: Database, inbox: Inbox) -> None:
        dead_letters.insert_dead_letter(database, Lane.LIVE, b"1-0", b"{", EVIL)
        page = admin.see("operations")
        assert "&lt;script&gt;" in page
        assert EVIL not in page
        assert "1 replayed" in admin.send("dead-letter", page, action="replay")
        assert inbox.depth(Lane.LIVE).waiting == 1
        assert list_dead_letters(database, limit=1) == []

    def test_a_dead_letter_is_dropped(self, admin: Person, database: Database, inbox: Inbox) -> None:
        dead_letters.insert_dead_letter(database, Lane.LIVE, b"1-0", b"{", "unreadable")
        page = admin.see("operations")
        assert "1 dropped" in admin.send("dead-letter", page, action="drop")
        assert "Nothing replayed" in admin.send("dead-letter", page, action="replay")
        assert inbox.depth(Lane.LIVE).waiting == 0
