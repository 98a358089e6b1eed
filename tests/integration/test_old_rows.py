"""Retention of operational history: only old rows of finished work are deleted."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from tests.support.results import insert_review
from tests.support.runs import scalar
from tests.support.windows import all_rows, result, rows
from triagem.db import Database, runs
from triagem.db.outbox.alerts import raise_alert
from triagem.db.runs import RunPlan
from triagem.db.tickets.window import write_window
from triagem.ops.retention import RetentionSettings, delete_old_data

NOW = datetime.now(UTC)
DAYS = {"run_changes": 90, "deliveries": 90, "alerts": 90, "samples": 90}


def execute(database: Database, statement: str, **values: Any) -> None:
    with database.autocommit() as connection:
        connection.execute(text(statement), values)


def delete_old(database: Database, **options: Any) -> dict[str, int]:
    """Deletes what is older than 90 days; returns the number of rows by kind."""
    deleted = dict.fromkeys(DAYS, 0)
    for kind, count in delete_old_data(database, DAYS, now=NOW, **options):
        deleted[kind] += count
    return {kind: count for kind, count in deleted.items() if count}


@pytest.fixture
def stored(database: Database) -> Database:
    """Tickets 1 and 2, the first with a review."""
    write_window(database, [result(external_id=name) for name in ("1", "2")])
    insert_review(database, "1", "suporte")
    return database


def test_changes_of_runs_that_ended_long_ago_are_deleted(stored: Database) -> None:
    for age in (100, 80):
        run = runs.start(stored, RunPlan("v1.0.0", 1))
        runs.cancel(stored, run.id)
        execute(
            stored,
            "UPDATE reclassify_runs SET finished_at = :at WHERE id = :id",
            at=NOW - timedelta(days=age),
            id=run.id,
        )
        execute(stored, "INSERT INTO run_changes SELECT :id, id, 'done' FROM tickets", id=run.id)
    active = runs.start(stored, RunPlan("v1.0.0", 1))
    execute(stored, "UPDATE reclassify_runs SET started_at = '2020-01-01' WHERE id = :id", id=active.id)
    execute(stored, "INSERT INTO run_changes SELECT :id, id, 'done' FROM tickets", id=active.id)

    assert delete_old(stored) == {"run_changes": 2}

    assert {row["run_id"] for row in rows(stored, "run_changes")} == {run.id, active.id}
    assert scalar(stored, "SELECT count(*) FROM reclassify_runs") == 3


def test_old_alert_digests_are_deleted_but_not_what_receivers_know(stored: Database) -> None:
    execute(
        stored,
        """
        INSERT INTO deliveries (kind, target, ticket_id, created_at, state, finished_at)
        SELECT 'alert', 'team', NULL, :old, state, CASE WHEN state <> 'waiting' THEN CAST(:old AS timestamptz) END
        FROM unnest(ARRAY['delivered', 'failed', 'waiting']) AS state
        UNION ALL SELECT 'result', 'crm', id, :old, 'delivered', :old FROM tickets WHERE external_id = '1'
        """,
        old=NOW - timedelta(days=100),
    )

    assert delete_old(stored) == {"deliveries": 2}

    assert [(row["kind"], row["state"]) for row in rows(stored, "deliveries")] == [
        ("alert", "waiting"), ("result", "delivered"),
    ]  # fmt: skip
    assert delete_old(stored) == {}


def test_old_alerts_are_deleted_unless_their_digest_is_waiting(stored: Database) -> None:
    for key in ("unmatched", "sent", "waiting", "young"):
        raise_alert(stored, "drift", key, {})
    for state in ("delivered", "waiting"):
        execute(
            stored,
            "WITH d AS (INSERT INTO deliveries (kind, target, state) VALUES ('alert', 'team', :state) RETURNING id)"
            " INSERT INTO alert_notifications SELECT a.id, 'team', d.id FROM alerts a, d WHERE a.key = :key",
            state=state,
            key="sent" if state == "delivered" else "waiting",
        )
    execute(stored, "UPDATE alerts SET created_at = :at WHERE key <> 'young'", at=NOW - timedelta(days=100))

    assert delete_old(stored) == {"alerts": 2}

    assert sorted(row["key"] for row in rows(stored, "alerts")) == ["waiting", "young"]


def test_samples_stay_while_their_version_gets_new_ones(stored: Database) -> None:
    execute(
        stored,
        "INSERT INTO samples (ticket_id, digest, model_version, embedding, label, confidence, tokens, sampled_at)"
        " SELECT id, digest, version, '{}', label, confidence, 1, :now - age"
        " FROM tickets, (VALUES ('old', interval '100 days'), ('current', interval '100 days')) AS v(version, age)",
        now=NOW,
    )
    execute(stored, "UPDATE samples SET sampled_at = :now WHERE model_version = 'current' AND ticket_id = 1", now=NOW)

    assert delete_old(stored) == {"samples": 2}

    assert {row["model_version"] for row in rows(stored, "samples")} == {"current"}


def test_results_predictions_and_reviews_are_never_touched(stored: Database) -> None:
    """INV-34: such rows stay whatever their age."""
    for column in ("received_at", "revised_at", "classified_at"):
        execute(stored, f"UPDATE tickets SET {column} = '2001-01-01'")
    execute(stored, "UPDATE predictions SET classified_at = '2001-01-01'")
    execute(stored, "UPDATE reviews SET reviewed_at = '2001-01-01'")
    before = {name: content for name, content in all_rows(stored).items() if name != "alerts"}

    for _ in delete_old_data(stored, dict.fromkeys(RetentionSettings().days(), 1), now=NOW):
        pass

    assert {name: content for name, content in all_rows(stored).items() if name != "alerts"} == before
    assert "texts" not in RetentionSettings().days()


def test_a_dry_run_counts_and_deletes_nothing(stored: Database) -> None:
    raise_alert(stored, "drift", "old", {})
    execute(stored, "UPDATE alerts SET created_at = :at", at=NOW - timedelta(days=100))

    assert delete_old(stored, dry_run=True) == delete_old(stored, dry_run=True) == {"alerts": 1}
