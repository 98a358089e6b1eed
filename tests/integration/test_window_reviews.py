"""The window's statement: alerts, reviews, and forgotten tickets."""

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import text

from tests.support.results import FORGET
from tests.support.windows import NO_CHANGES, digest, doubtful, effective_result, insert_review, result, rows
from triagem.contracts.prediction import Band
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.db.tickets.window import ClassifiedTicket, WindowCounts, write_window


class TestAlerts:
    """The outbox: one alert for a live result that needs a review."""

    @pytest.mark.parametrize(
        ("lane", "band", "alerts"),
        [
            (Lane.LIVE, Band.REVIEW, 1),
            (Lane.LIVE, Band.ABSTAIN, 1),
            (Lane.LIVE, Band.AUTOMATE, 0),
            (Lane.BULK, Band.REVIEW, 0),
            (Lane.BULK, Band.ABSTAIN, 0),
        ],
    )
    def test_only_a_doubtful_live_result_writes_an_alert(
        self, database: Database, lane: Lane, band: Band, alerts: int
    ) -> None:
        assert write_window(database, [result(lane=lane, band=band)]) == WindowCounts(predictions=1, alerts=alerts)

        assert [(row["band"], row["delivered_at"]) for row in rows(database, "alerts")] == [
            (band.value, None)
        ] * alerts

    def test_it_names_the_ticket_the_text_the_version_and_the_confidence(self, database: Database) -> None:
        write_window(
            database, [result(external_id="1"), doubtful("B", external_id="2", model="v1.1.0", confidence=0.55)]
        )

        (alert,) = rows(database, "alerts")
        (ticket,) = [row for row in rows(database, "tickets") if row["external_id"] == "2"]
        expected = {"ticket_id": ticket["id"], "digest": digest("B"), "model_version": "v1.1.0", "confidence": 0.55}
        assert alert | expected == alert

    def test_an_older_text_that_comes_late_writes_none(self, database: Database) -> None:
        write_window(database, [result("B", minute=2)])

        assert write_window(database, [doubtful("A", minute=1)]) == WindowCounts(predictions=1, alerts=0)

    def test_an_older_live_text_that_comes_late_writes_one_about_a_doubtful_newer_text_from_bulk(
        self, database: Database
    ) -> None:
        write_window(database, [doubtful("B", minute=2, lane=Lane.BULK)])

        assert write_window(database, [result("A", minute=1)]) == WindowCounts(predictions=1, alerts=1)

        assert [row["digest"] for row in rows(database, "alerts")] == [digest("B")]

    def test_a_late_worker_with_the_previous_model_writes_none(self, database: Database) -> None:
        write_window(database, [doubtful("A", model="v1.1.0", epoch=2, lane=Lane.BULK)])

        assert write_window(database, [doubtful("A", model="v1.0.0", epoch=1)]) == WindowCounts(
            predictions=1, alerts=0
        )

    def test_a_text_that_is_edited_back_writes_no_second_one(self, database: Database) -> None:
        counts = [write_window(database, [doubtful(content, minute=minute)]) for minute, content in enumerate("ABA")]

        assert counts == [WindowCounts(1, 1), WindowCounts(1, 1), NO_CHANGES]

    def test_a_doubtful_result_of_a_new_model_for_the_same_text_writes_its_own(self, database: Database) -> None:
        write_window(database, [doubtful(model="v1.0.0", epoch=1)])

        assert write_window(database, [doubtful(model="v1.1.0", epoch=2)]) == WindowCounts(predictions=1, alerts=1)


class TestReviews:
    """INV-16: the effective label is the latest review of this text, else the model's."""

    def test_a_review_overrides_the_results_of_later_runs(self, database: Database) -> None:
        write_window(database, [result("A", label="venda", epoch=1)])
        insert_review(database, "A", "suporte")

        write_window(database, [result("A", label="venda", model="v1.1.0", epoch=2)])

        row = effective_result(database)
        assert (row.label, row.reviewer) == ("suporte", "ana")
        assert (row.model_label, row.model_version) == ("venda", "v1.1.0")

    def test_the_latest_review_counts(self, database: Database) -> None:
        write_window(database, [result("A")])

        for label, reviewer in (("suporte", "ana"), ("venda", "rui"), ("spam", "eva")):
            insert_review(database, "A", label, reviewer)

        assert (effective_result(database).label, effective_result(database).reviewer) == ("spam", "eva")

    def test_a_review_is_dropped_when_the_text_changes_and_returns_with_the_text(self, database: Database) -> None:
        write_window(database, [result("A", minute=0)])
        insert_review(database, "A", "suporte")
        effective_labels = []

        for minute, content in enumerate("BA", start=1):
            write_window(database, [result(content, minute=minute)])
            effective_labels.append((effective_result(database).label, effective_result(database).reviewer))

        assert effective_labels == [("venda", None), ("suporte", "ana")]


class TestForgotten:
    """INV-17: a redelivery must not bring back what a customer asked us to delete."""

    @pytest.fixture
    def tombstone(self, database: Database) -> dict[str, Any]:
        write_window(database, [result("A")])
        with database.autocommit() as connection:
            connection.execute(text(f"UPDATE tickets SET {FORGET}, metadata = '{{}}'"))
            connection.execute(text("DELETE FROM predictions"))
        (row,) = rows(database, "tickets")
        return row

    @pytest.mark.parametrize(
        "returning", [doubtful("A"), doubtful("B", minute=9), doubtful("A", epoch=9, model="v1.1.0")],
        ids=["redelivery", "newer text", "newer model"],
    )  # fmt: skip
    def test_a_forgotten_ticket_is_not_restored(
        self, database: Database, tombstone: dict[str, Any], returning: ClassifiedTicket
    ) -> None:
        assert write_window(database, [returning]) == NO_CHANGES

        assert rows(database, "tickets") == [tombstone]
        assert tombstone["text"] is None
        assert rows(database, "predictions") == rows(database, "alerts") == []

    def test_its_neighbours_in_the_window_are_stored(self, database: Database, tombstone: dict[str, Any]) -> None:
        window: Sequence[ClassifiedTicket] = [doubtful("B", minute=9), doubtful(external_id="4712")]

        assert write_window(database, window) == WindowCounts(predictions=1, alerts=1)

        assert effective_result(database).external_id == "4712"
