"""The accuracy that a version expects of itself: the stored report, the alert, the view, and the command."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Triagem
from tests.support.reviewing import VERSION, draw, submit_review, sure, trained_on, unsure
from tests.support.version_history import promoted
from tests.support.windows import rows
from triagem.contracts.prediction import AbstainReason, Band
from triagem.contracts.ticket import Identity
from triagem.db import Database
from triagem.db.outbox.alerts import CALIBRATION, newest_alerts
from triagem.db.reviews.expected import MIN_SAMPLED, expected_accuracy, newest_accuracy_reports
from triagem.db.reviews.records import Unasked, record_correction
from triagem.db.tickets.window import ClassifiedTicket, write_window
from triagem.registry import Registry
from triagem.trainer.monitor.tasks import alert_if_diverged


def undecided(name: str, **changes: Any) -> ClassifiedTicket:
    """A result in the band `abstain`."""
    return sure(name, band=Band.ABSTAIN, reason=AbstainReason.GREETING, **changes)


def reviewed_at_random(database: Database, *, wrong: int, confidence: float = 0.95) -> None:
    """As many texts as a divergence needs, all sampled at random and reviewed; the first ones have a wrong label."""
    names = [str(number) for number in range(MIN_SAMPLED)]
    write_window(database, [sure(name, confidence=confidence, label="venda") for name in names])
    for task in draw(database, MIN_SAMPLED, random_share=1):
        submit_review(database, task.external_id, "suporte" if int(task.external_id) < wrong else "venda")


class TestExpected:
    def test_it_is_the_mean_confidence_in_decided_texts(self, database: Database) -> None:
        write_window(database, [sure("1", confidence=0.9), unsure("2", 0.6), undecided("3", confidence=1.0)])

        expected = expected_accuracy(database, VERSION)

        assert (expected.texts, expected.reviewed) == (2, None)
        assert expected.value == pytest.approx(0.75)

    def test_the_reviews_estimate_is_of_decided_texts_too(self, database: Database) -> None:
        write_window(database, [sure("1", confidence=0.9), undecided("2")])
        for task in draw(database, 2, random_share=1):
            submit_review(database, task.external_id, "venda" if task.external_id == "1" else "suporte")

        reviewed = expected_accuracy(database, VERSION).reviewed

        assert reviewed is not None
        assert (reviewed.texts, reviewed.value) == (1, 1.0)
        assert reviewed.mean_confidence == pytest.approx(0.9)


class TestAlert:
    @pytest.fixture
    def registry(self, tmp_path: Path) -> Registry:
        return promoted(tmp_path)

    def test_it_is_raised_once_a_month_if_reviews_contradict_the_confidences(
        self, database: Database, registry: Registry
    ) -> None:
        reviewed_at_random(database, wrong=20)
        now = datetime.now(UTC)

        assert alert_if_diverged(database, registry, now)
        assert not alert_if_diverged(database, registry, now)

        (alert,) = newest_alerts(database, limit=9)
        assert alert.kind == CALIBRATION
        assert alert.summary == (
            "v1.0.0 expects 95.0% right labels, but reviews say 80.0% to 80.0%"
            " (100 reviews of randomly sampled texts)"
        )
        (report,) = newest_accuracy_reports(database, limit=9)
        assert (report.model_version, report.day, report.diverged) == ("v1.0.0", now.date(), True)
        assert (report.reviewed, report.sampled) == (0.8, MIN_SAMPLED)
        assert report.expected == pytest.approx(0.95)

    def test_it_is_not_raised_if_they_agree(self, database: Database, registry: Registry) -> None:
        reviewed_at_random(database, wrong=5)

        assert not alert_if_diverged(database, registry, datetime.now(UTC))

        assert not newest_accuracy_reports(database, limit=1)[0].diverged

    def test_reviews_of_texts_that_the_version_was_trained_on_raise_none(
        self, database: Database, tmp_path: Path
    ) -> None:
        reviewed_at_random(database, wrong=20)
        trained = trained_on(*range(MIN_SAMPLED))

        assert not alert_if_diverged(database, promoted(tmp_path, seen=trained), datetime.now(UTC))

    def test_corrections_in_the_crm_raise_none(self, database: Database, registry: Registry) -> None:
        write_window(database, [sure(str(number), confidence=0.95) for number in range(MIN_SAMPLED)])
        for number in range(MIN_SAMPLED):
            record_correction(database, Identity("zendesk", str(number)), "suporte", "agent", Unasked.CRM)

        assert not alert_if_diverged(database, registry, datetime.now(UTC))

        (report,) = newest_accuracy_reports(database, limit=9)
        assert (report.reviewed, report.sampled) == (None, 0)
        assert report.expected == pytest.approx(0.95)

    def test_without_a_model_or_a_decided_text_nothing_is_stored(self, database: Database, tmp_path: Path) -> None:
        assert not alert_if_diverged(database, Registry(tmp_path / "empty"), datetime.now(UTC))
        assert not alert_if_diverged(database, promoted(tmp_path), datetime.now(UTC))

        assert newest_accuracy_reports(database, limit=9) == []

    def test_each_day_has_one_report_with_the_newest_figures(self, database: Database, registry: Registry) -> None:
        now = datetime.now(UTC)
        write_window(database, [sure("1", confidence=0.9)])
        alert_if_diverged(database, registry, now - timedelta(days=1))
        alert_if_diverged(database, registry, now)
        write_window(database, [sure("2", confidence=0.7)])
        alert_if_diverged(database, registry, now)

        reports = newest_accuracy_reports(database, limit=9)

        assert [report.expected for report in reports] == [pytest.approx(0.8), pytest.approx(0.9)]


def test_the_view_has_both_estimates_by_version_source_and_day(database: Database, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    reviewed_at_random(database, wrong=20)
    write_window(database, [sure("other", source="hubspot", confidence=0.6, received_at=now - timedelta(days=2))])
    write_window(database, [undecided("left out")])
    today = max(row["received_at"] for row in rows(database, "tickets"))
    alert_if_diverged(database, promoted(tmp_path), today)

    views = {row["source"]: row for row in rows(database, "analytics.expected_accuracy")}

    assert {(name, row["tickets"], round(row["expected_accuracy"], 3)) for name, row in views.items()} == {
        ("zendesk", MIN_SAMPLED, 0.95),
        ("hubspot", 1, 0.6),
    }
    assert (views["zendesk"]["reviewed_accuracy"], views["zendesk"]["diverged"]) == (pytest.approx(0.8), True)
    assert views["hubspot"]["reviewed_accuracy"] is None


class TestCommand:
    def test_it_prints_whether_the_confidences_match_the_reviews(self, triagem: Triagem, database: Database) -> None:
        reviewed_at_random(database, wrong=20)

        printed = triagem("review", "accuracy").out
        answer = json.loads(triagem("review", "accuracy", "--json").out)

        assert "expected: 95.0%, the mean confidence in 100 decided texts" in printed
        assert "the confidences do not match the reviews" in printed
        assert answer["expected"]["diverged"] is True
        assert answer["expected"]["value"] == pytest.approx(0.95)
        assert answer["expected"]["reviewed"]["sampled"] == MIN_SAMPLED

    def test_without_a_result_of_the_version_it_is_unknown(self, triagem: Triagem, database: Database) -> None:
        printed = triagem("review", "accuracy").out

        assert "expected: unknown, because no current result is of this version" in printed

    def test_it_says_how_many_reviews_are_missing(self, triagem: Triagem, database: Database) -> None:
        write_window(database, [sure("1", confidence=0.9), sure("2", confidence=0.9)])
        for task in draw(database, 1, random_share=1):
            submit_review(database, task.external_id)

        assert (
            "randomly sampled texts show whether the confidences match: 99 to go" in triagem("review", "accuracy").out
        )
