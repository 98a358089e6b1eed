"""`triagem due` on real reviews and a real registry: its facts, its output and its alerts."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.support.builders import manifest
from tests.support.command import Triagem, assert_one_line
from tests.support.reviewing import draw, submit_review, sure, trained_on
from tests.support.version_history import drift_report, promoted, reviewed, seen
from triagem.contracts.errors import ModelCorrupt
from triagem.contracts.model import ROWS_FILE, DataInfo
from triagem.db import Database, training_jobs
from triagem.db.outbox.alerts import newest_alerts
from triagem.db.tickets.window import write_window
from triagem.db.training_jobs import JobKind
from triagem.registry import Registry
from triagem.trainer.monitor.due import RetrainingFacts, distances, read_facts
from triagem.trainer.monitor.tasks import alert_if_due
from triagem.trainer.settings import DueSettings

NOW = datetime(2026, 11, 23, 3, 30, tzinfo=UTC)
DECEMBER = datetime(2026, 12, 1, 3, 30, tzinfo=UTC)


def current_facts(database: Database, registry: Registry) -> RetrainingFacts:
    """The facts of today."""
    return read_facts(database, registry, datetime.now(UTC))


def test_age_labels_rows_and_test_accuracy_are_the_manifest_s(database: Database, tmp_path: Path) -> None:
    facts = current_facts(database, promoted(tmp_path, days_ago=12.5))
    assert (facts.version, facts.labels, facts.training_rows) == ("v1.0.0", ("suporte", "venda"), 1000)
    assert facts.test_accuracy == 0.95
    assert facts.age_days == pytest.approx(12.5, abs=0.01)


def test_a_leaked_test_gives_no_accuracy_and_copies_give_no_training_texts(
    database: Database, tmp_path: Path
) -> None:
    data = DataInfo(digest="", rows=400, texts=16, leaked=100)
    facts = current_facts(database, promoted(tmp_path, data=data))
    assert (facts.training_rows, facts.test_accuracy) == (16, None)


class TestNewTexts:
    def test_only_labelled_texts_that_the_version_has_not_seen_count(
        self, database: Database, tmp_path: Path
    ) -> None:
        registry = promoted(tmp_path, seen=seen(train=["a"], dev=["b"], calibration=["c"], test=["d"]))
        for body in "abcdef":
            reviewed(database, body, "venda")
        reviewed(database, "unclear", None)
        assert current_facts(database, registry).new_rows == 2

    def test_a_text_counts_once_however_many_tickets_and_verdicts_it_has(
        self, database: Database, tmp_path: Path
    ) -> None:
        registry = promoted(tmp_path, seen=seen())
        for label in ("venda", "suporte"):
            reviewed(database, "a", label)
        assert current_facts(database, registry).new_rows == 1

    def test_a_text_that_was_purged_or_changed_does_not_count(self, database: Database, tmp_path: Path) -> None:
        registry = promoted(tmp_path, seen=seen())
        for body in "abc":
            reviewed(database, body, "venda")
        with database.autocommit() as connection:
            connection.execute(text("UPDATE tickets SET text = NULL WHERE external_id = 'a'"))
            connection.execute(text("UPDATE tickets SET text = 'x', digest = 'x' WHERE external_id = 'b'"))
        assert current_facts(database, registry).new_rows == 1

    def test_nothing_is_counted_for_a_version_without_a_list_of_rows(
        self, database: Database, tmp_path: Path
    ) -> None:
        registry = promoted(tmp_path)
        reviewed(database, "a", "venda")
        assert current_facts(database, registry).new_rows is None

    def test_a_list_of_rows_that_cannot_be_read_raises(self, database: Database, tmp_path: Path) -> None:
        registry = promoted(tmp_path, seen=seen())
        (registry.folder("v1.0.0") / ROWS_FILE).write_text("{}", encoding="utf-8")
        with pytest.raises(ModelCorrupt, match=r"rows\.json"):
            current_facts(database, registry)


class TestAccuracy:
    def test_reviews_of_texts_that_the_version_was_trained_on_are_left_out(
        self, database: Database, tmp_path: Path
    ) -> None:
        write_window(database, [sure("1"), sure("2")])
        for task in draw(database, random_share=1):
            submit_review(database, task.external_id)

        facts = current_facts(database, promoted(tmp_path, seen=trained_on(1)))

        assert facts.reviewed is not None
        assert (facts.reviewed.reviews, facts.reviewed.trained) == (1, 1)
        (accuracy,) = (row for row in distances(facts, DueSettings()) if row.trigger == "accuracy")
        assert accuracy.message.endswith("; reviews left out because it was trained on their texts: 1")


class TestLabels:
    def test_the_latest_verdict_counts(self, database: Database, tmp_path: Path) -> None:
        registry = promoted(tmp_path)
        for label in ("cobranca", "venda"):
            reviewed(database, "a", label)
        reviewed(database, "b", "cobranca")
        assert current_facts(database, registry).reviewed_labels == {"venda": 1, "cobranca": 1}


class TestDrift:
    @pytest.mark.parametrize(("first", "second"), [(True, False), (False, True)])
    def test_the_newest_report_counts(self, database: Database, tmp_path: Path, *, first: bool, second: bool) -> None:
        registry = promoted(tmp_path)
        drift_report(database, drifted=first)
        drift_report(database, drifted=second)
        assert (current_facts(database, registry).drifted_at is not None) is second

    def test_another_version_s_report_does_not(self, database: Database, tmp_path: Path) -> None:
        registry = promoted(tmp_path)
        drift_report(database, drifted=True, version="v0.9.0")
        assert current_facts(database, registry).drifted_at is None


class TestCommand:
    def test_says_why_and_what_to_do_next_and_exits_3(
        self, triagem: Triagem, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TRIAGEM_REGISTRY_URL", str(promoted(tmp_path / "m", days_ago=100).root))
        reviewed(database, "a", "cobranca")
        answer = triagem("due")
        assert answer.status == 3
        assert answer.out.splitlines() == [
            "retraining of v1.0.0 is due:",
            "  age: it was trained 100 days ago, more than 92",
            "  new-label: reviewers chose 'cobranca' (1), a label that it does not know",
            "not due for:",
            "  accuracy: not checked: no randomly sampled text has been reviewed; due below 0.900",
            "  new-data: not checked: the version has no list of its training texts",
            "  drift: not checked: there is no report on this version, `triagem drift` makes one",
            "next: `triagem retrain`, if `triagem trainer` runs; otherwise `triagem review export new.jsonl`, then",
            "      `triagem train DATA_DIR --from v1.0.0` with these rows in DATA_DIR",
        ]

    def test_of_a_version_from_answers_it_recommends_more_answers(
        self, triagem: Triagem, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job, _ = training_jobs.request(database, JobKind.HEAD, requested_by="ana")
        registry = promoted(tmp_path / "m", days_ago=100, pooling="mean", base="e5", job=f"{job.id} 2026-08-01")
        monkeypatch.setenv("TRIAGEM_REGISTRY_URL", str(registry.root))
        answer = triagem("due").out
        assert "next: answer more on the console's page Start" in answer
        assert "`triagem train DATA_DIR --base e5`" in answer
        assert "triagem retrain" not in answer

    def test_exits_0_while_nothing_is_due_and_shows_the_distance_to_each_limit(
        self, triagem: Triagem, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        registry = promoted(tmp_path / "m", days_ago=12.5, seen=seen(train=["a"]))
        monkeypatch.setenv("TRIAGEM_REGISTRY_URL", str(registry.root))
        reviewed(database, "b", "venda")
        drift_report(database, drifted=False)
        answer = triagem("due", "--json")
        assert triagem("due").out.splitlines() == [
            "retraining of v1.0.0 is not due: it exceeds no limit",
            "  age: trained 12.5 days ago; due after 92 days, in 79.5",
            "  accuracy: not checked: no randomly sampled text has been reviewed; due below 0.900",
            "  new-label: reviewers chose only labels that it knows; due with the first unknown label",
            "  new-data: reviewed texts that are new to it: 1; due with 201, 200 to go",
            f"  drift: not found by the newest report, of {datetime.now(UTC):%Y-%m-%d}",
        ]
        assert answer.status == 0
        facts = json.loads(answer.out)
        assert facts.pop("facts")["new_rows"] == 1
        assert [round(row["value"], 1) for row in facts["distances"] if row["trigger"] == "age"] == [12.5]
        assert facts | {"distances": []} == {
            "due": False, "reasons": [], "distances": [], "proposed": None, "rejected": None, "rolled_back": None,
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("outcome", "line"),
        [
            ("proposed", "v1.1.0 is proposed and waits for a person: `triagem reclassify diff` shows"),
            ("rejected", "the gate rejected v1.1.0, the newest training: `triagem models compare v1.1.0` shows why"),
        ],
    )
    def test_names_a_version_that_waits(
        self,
        triagem: Triagem,
        database: Database,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        *,
        outcome: str,
        line: str,
    ) -> None:
        registry = promoted(tmp_path / "m")
        with registry.staging() as staged:
            registry.register(staged, manifest())
        monkeypatch.setenv("TRIAGEM_REGISTRY_URL", str(registry.root))
        job, _ = training_jobs.request(database, JobKind.FULL, requested_by="ana")
        training_jobs.claim(database, "trainer", lease_s=60)
        training_jobs.finish(database, job.id, "trainer", "v1.1.0", outcome)

        *_, waiting, schedule = triagem("due").out.splitlines()

        assert waiting.startswith(line)
        assert schedule == "the schedule (TRIAGEM_RETRAIN_AT) waits until v1.1.0 itself exceeds one of these limits"
        assert json.loads(triagem("due", "--json").out)[outcome] == "v1.1.0"

    def test_without_a_model_says_how_to_get_one(
        self, triagem: Triagem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TRIAGEM_REGISTRY_URL", str(tmp_path / "none"))
        assert_one_line(triagem("due"), "triagem train")


class TestAlerts:
    def test_each_reason_is_raised_once_a_month(self, database: Database, tmp_path: Path) -> None:
        registry = promoted(tmp_path, created_at=datetime(2026, 8, 1, tzinfo=UTC))
        reviewed(database, "a", "cobranca")
        alerts = [alert_if_due(database, registry, DueSettings(), now) for now in (NOW, NOW, DECEMBER)]
        assert alerts == [2, 0, 2]
        assert {alert.about for alert in newest_alerts(database, undelivered=True, limit=9)} == {
            "v1.0.0 age 2026-11",
            "v1.0.0 new-label cobranca 2026-11",
            "v1.0.0 age 2026-12",
            "v1.0.0 new-label cobranca 2026-12",
        }

    def test_a_reason_that_comes_later_in_the_month_is_raised_then_and_the_others_are_not_repeated(
        self, database: Database, tmp_path: Path
    ) -> None:
        registry = promoted(tmp_path, created_at=datetime(2026, 8, 1, tzinfo=UTC))
        alert_if_due(database, registry, DueSettings(), NOW)
        reviewed(database, "a", "cobranca")
        assert alert_if_due(database, registry, DueSettings(), NOW) == 1

    def test_the_next_version_starts_again(self, database: Database, tmp_path: Path) -> None:
        alert_if_due(database, promoted(tmp_path, created_at=datetime(2026, 8, 1, tzinfo=UTC)), DueSettings(), NOW)
        registry = promoted(tmp_path, created_at=datetime(2026, 8, 2, tzinfo=UTC))
        assert alert_if_due(database, registry, DueSettings(), NOW) == 1

    def test_drift_is_left_to_its_own_alert(self, database: Database, tmp_path: Path) -> None:
        registry = promoted(tmp_path)
        drift_report(database, drifted=True)
        assert alert_if_due(database, registry, DueSettings(), datetime.now(UTC)) == 0
