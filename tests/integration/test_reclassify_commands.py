"""`triagem reclassify`: its text and JSON output, and nightly runs."""

import json
import shutil
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import text

from tests.support.command import Triagem, assert_one_line
from tests.support.pipeline import running
from tests.support.runs import advance_once, finish_run, store_tickets
from triagem.db import Database, runs
from triagem.db.runs import RunPlan
from triagem.inbox import Inbox
from triagem.ops.reclassify import advance_run, start_nightly_run
from triagem.ops.settings import OpsSettings
from triagem.registry import Registry
from triagem.stack import Endpoints

NIGHT = datetime(2026, 11, 22, 2, tzinfo=UTC)
MORNING = datetime(2026, 11, 22, 6, 1, tzinfo=UTC)


def test_from_start_to_diff(
    triagem: Triagem, endpoints: Endpoints, database: Database, inbox: Inbox, instant_models: Path
) -> None:
    store_tickets(database, 30)
    assert triagem("reclassify", "start", "--dry-run").out == "30 tickets would be classified by v1.0.0\n"
    started = triagem("reclassify", "start", "--model", "v1.1.0", "--shadow").out
    assert "run 1: classify by v1.1.0, shadow: running\n  tickets are being counted" in started
    with running(endpoints, instant_models):
        finish_run(database, inbox, instant_models)
    status = json.loads(triagem("reclassify", "status", "--json").out)
    assert (status["state"], status["processed"], status["expected"], status["remaining_s"]) == ("done", 30, 30, None)
    assert "30 of 30 tickets" in triagem("reclassify", "status", "1").out

    shown = triagem("reclassify", "diff", "1", "--limit", "2").out
    assert triagem("reclassify", "diff", "--limit", "2").out == shown  # the newest run
    assert "v1.1.0 on 30 tickets: 30 labels change (100.0%), confidence +0.300 on average" in shown
    assert shown.count("minha internet") == 2
    triagem("reclassify", "start", "--where", "source=nobody")
    assert finish_run(database, inbox, instant_models).put == 0
    assert triagem("reclassify", "diff", "--limit", "2").out == shown  # the newest run with tickets
    assert "nothing to classify: no stored ticket matches" in triagem("reclassify", "status").out
    diff = json.loads(triagem("reclassify", "diff", "1", "--format", "json").out)
    assert {(group["before"], group["after"]): group["tickets"] for group in diff["groups"]} == {
        ("other", "suporte"): 15,
        ("other", "venda"): 15,
    }
    assert diff["most_confident_flips"][0]["text"].startswith("minha internet")
    csv = triagem("reclassify", "diff", "1", "--format", "csv").out.splitlines()
    assert csv[0].removeprefix("\ufeff") == "source,month,before,after,tickets,confidence_before,confidence_after"
    assert csv[1] == "zendesk,2026-11,other,suporte,15,0.6,0.9"

    assert "run 3: apply v1.1.0: running" in triagem("reclassify", "apply", "--model", "v1.1.0", "--no-wait").out
    assert finish_run(database, inbox, instant_models).done == 30


def test_the_comparison_of_an_unfinished_run_says_so(triagem: Triagem, database: Database) -> None:
    store_tickets(database, 2)
    triagem("reclassify", "start", "--model", "v1.1.0", "--shadow")

    assert "run 1 is running, 0 tickets so far" in triagem("reclassify", "diff", "1").out


def test_first_results_of_tickets_are_not_compared(triagem: Triagem, database: Database) -> None:
    store_tickets(database, 2)
    triagem("reclassify", "start", "--model", "v1.1.0", "--shadow")
    with database.autocommit() as connection:
        connection.execute(text(
            "INSERT INTO run_changes (run_id, ticket_id, outcome, after_label, after_confidence) "
            "SELECT 1, id, 'classified', 'venda', 0.9 FROM tickets"
        ))  # fmt: skip

    assert "no ticket of run 1 had a result before" in triagem("reclassify", "diff", "1").out
    assert json.loads(triagem("reclassify", "diff", "1", "--format", "json").out)["tickets"] == 0


def test_apply_waits_with_progress_and_warns_about_a_version_that_is_not_current(
    triagem: Triagem, database: Database, inbox: Inbox, instant_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_tickets(database, 30)
    polls = SimpleNamespace(
        monotonic=count(0, 20).__next__, sleep=lambda _: finish_run(database, inbox, instant_models)
    )
    monkeypatch.setattr("triagem.cli.commands.reclassify.time", polls)

    applied = triagem("reclassify", "apply", "--model", "v1.1.0")

    assert "run 1: apply v1.1.0: done" in applied.out
    assert "run 1 (waiting for triagem ops): 0 of 30" in applied.err
    assert "v1.1.0 is not the current version: workers go on classifying with v1.0.0" in applied.err
    assert "nothing to change: each result is v1.1.0's already, or v1.1.0 never classified that text" in applied.out
    assert "`triagem reclassify start --model v1.1.0 --shadow`" in applied.out


def test_apply_waits_for_the_run_after_a_promotion(
    triagem: Triagem, database: Database, inbox: Inbox, instant_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.start(database, RunPlan("v1.0.0", 0))
    polls = SimpleNamespace(
        monotonic=count(0, 20).__next__, sleep=lambda _: finish_run(database, inbox, instant_models)
    )
    monkeypatch.setattr("triagem.cli.commands.reclassify.time", polls)

    applied = triagem("reclassify", "apply", "--model", "v1.0.0")

    assert "run 1 is active and ends first" in applied.err
    assert "run 2: apply v1.0.0: done" in applied.out


def test_waiting_shows_the_total_once_it_is_known(
    triagem: Triagem, database: Database, inbox: Inbox, instant_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_tickets(database, 30)
    triagem("reclassify", "start")
    meanwhile = iter((lambda: advance_once(database, inbox, instant_models), lambda: runs.cancel(database, 1)))
    polls = SimpleNamespace(monotonic=count(0, 20).__next__, sleep=lambda _: next(meanwhile)())
    monkeypatch.setattr("triagem.cli.commands.reclassify.time", polls)
    monkeypatch.setattr("triagem.cli.progress.time", polls)

    waited = triagem("reclassify", "status", "--wait").err

    assert "run 1 (waiting for triagem ops): 0 done" in waited
    assert "run 1 (waiting for triagem ops): 0 of 30" in waited


def test_pause_resume_cancel(triagem: Triagem, database: Database) -> None:
    store_tickets(database, 3)
    assert triagem("reclassify", "start", "--until", "06:00").status == 0
    assert "run 1: classify by v1.0.0: paused" in triagem("reclassify", "pause").out
    assert "running" in triagem("reclassify", "resume").out
    active_run = runs.find_active(database)
    assert active_run
    assert active_run.pause_at
    assert "cancelled" in triagem("reclassify", "cancel").out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("status",), "no run yet: `triagem reclassify start`"),
        (("pause",), "no run is active"),
        (("resume",), "no run is active"),
        (("cancel",), "no run is active"),
        (("diff", "9"), "no such run: 9; `triagem reclassify status`"),
        (("start", "--model", "v1.1.0"), "not the current version"),
        (("start", "--model", "v9.9.9", "--shadow"), "no model version"),
        (("start", "--where", "colour=red"), "--where"),
        (("start", "--until", "6"), "06:00"),
        (("apply", "--model", "v9.9.9"), "no model version"),
    ],
)
def test_an_error_is_one_line(triagem: Triagem, arguments: tuple[str, ...], message: str) -> None:
    assert_one_line(triagem("reclassify", *arguments), message)


def test_a_second_run_is_refused_while_one_is_active(triagem: Triagem) -> None:
    triagem("reclassify", "start")
    assert_one_line(triagem("reclassify", "start"), "a run is active")


def test_a_nightly_run_puts_only_tickets_without_a_prediction_of_the_current_version(
    endpoints: Endpoints, database: Database, inbox: Inbox, instant_models: Path
) -> None:
    store_tickets(database, 20)
    store_tickets(database, 5, first=20, model="v1.0.0", epoch=0)
    store_tickets(database, 5, first=20, model="v1.1.0", epoch=1)
    registry = Registry(instant_models)
    assert start_nightly_run(database, registry, OpsSettings(), NIGHT)
    assert start_nightly_run(database, registry, OpsSettings(), NIGHT) is None
    with running(endpoints, instant_models):
        assert finish_run(database, inbox, instant_models).put == 20


def test_the_nightly_run_after_a_promotion_makes_the_predictions_of_the_shadow_run_results(
    endpoints: Endpoints, database: Database, inbox: Inbox, instant_models: Path, tmp_path: Path
) -> None:
    store_tickets(database, 5)
    models = shutil.copytree(instant_models, tmp_path / "models")  # other tests share the original
    registry = Registry(models)
    runs.start(database, RunPlan("v1.1.0", 1, shadow=True))
    with running(endpoints, models):
        assert finish_run(database, inbox, models).done == 5
        registry.promote("v1.1.0")
        assert start_nightly_run(database, registry, OpsSettings(), NIGHT)
        assert finish_run(database, inbox, models).unchanged == 5
    assert {row.model_version for row in database.rows(text("SELECT model_version FROM tickets"))} == {"v1.1.0"}


def test_a_nightly_run_pauses_by_itself_and_continues_the_next_night(
    database: Database, inbox: Inbox, instant_models: Path
) -> None:
    store_tickets(database, 5)
    registry, settings = Registry(instant_models), OpsSettings(reclassify_until="06:00")
    run = start_nightly_run(database, registry, settings, NIGHT)
    assert run
    advance_run(database, inbox, registry, MORNING)
    paused = runs.find(database, run.id)
    assert paused
    assert (paused.state, paused.reason, paused.put) == ("paused", "until", 0)
    resumed = start_nightly_run(database, registry, settings, NIGHT.replace(day=23))
    assert resumed
    assert (resumed.id, resumed.state) == (run.id, "running")
    advance_run(database, inbox, registry, NIGHT.replace(day=23))
    assert runs.find(database, run.id).put == 5  # type: ignore[union-attr]


def test_a_run_that_a_person_paused_stays_paused_at_night(database: Database, instant_models: Path) -> None:
    run = runs.start(database, RunPlan("v1.0.0", 1))
    runs.pause(database, run.id)
    assert start_nightly_run(database, Registry(instant_models), OpsSettings(), NIGHT) is None
    assert runs.find_active(database).state == "paused"  # type: ignore[union-attr]


def test_the_end_time_of_nightly_runs_is_validated() -> None:
    with pytest.raises(ValueError, match="pattern"):
        OpsSettings(reclassify_until="6")
