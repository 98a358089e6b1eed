"""Queries of stored results on a real Postgres: pages, least confident tickets, counts, one ticket."""

import base64
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.support.builders import NOW, YESTERDAY
from tests.support.results import (
    HOUR,
    NO_FILTERS,
    all_pages,
    filter_names,
    insert_review,
    names,
    result,
    set_tombstone,
)
from triagem.contracts.errors import InvalidInput
from triagem.contracts.prediction import Band
from triagem.contracts.result import ResultPage
from triagem.db import Database
from triagem.db.tickets.queries import Filters, count_tickets, find_ticket_with_history, least_confident, list_results
from triagem.db.tickets.window import write_window


class TestPages:
    @pytest.fixture
    def received(self, database: Database) -> list[str]:
        """40 tickets, five per timestamp; returns their names in page order."""
        timestamps = [NOW + timedelta(microseconds=n // 5) for n in range(40)]
        window = [result(f"{n:02}", received_at=timestamp) for n, timestamp in enumerate(timestamps)]
        write_window(database, window)
        return [f"{n:02}" for n in reversed(range(40))]

    @pytest.mark.parametrize("limit", [1, 3, 39, 40, 41])
    def test_every_row_comes_once_newest_first(self, database: Database, received: list[str], limit: int) -> None:
        pages = all_pages(database, limit=limit)

        assert names([row for page in pages for row in page.rows]) == received
        assert [len(page.rows) for page in pages[:-1]] == [limit] * (len(pages) - 1)
        assert pages[-1].rows

    def test_rows_that_arrive_meanwhile_do_not_shift_pages(self, database: Database, received: list[str]) -> None:
        page = list_results(database, NO_FILTERS, limit=7)
        seen_names = names(page.rows)
        while page.after is not None:
            write_window(database, [result(f"new {len(seen_names)}", received_at=NOW + HOUR)])
            page = list_results(database, NO_FILTERS, limit=7, after=page.after)
            seen_names += names(page.rows)

        assert seen_names == received

    def test_filters_apply_to_every_page(self, database: Database, received: list[str]) -> None:
        write_window(database, [result(f"other {n}", source="hubspot", received_at=NOW + n * HOUR) for n in range(9)])

        filtered = [row for page in all_pages(database, Filters(source="zendesk"), limit=7) for row in page.rows]

        assert names(filtered) == received

    def test_an_empty_database_has_one_empty_page(self, database: Database) -> None:
        assert all_pages(database, limit=5) == [ResultPage([], None)]

    @pytest.mark.parametrize(
        "after",
        [
            "",
            "4711",
            "é",
            "\udcff",
            "////",
            *(
                base64.urlsafe_b64encode(content.encode()).decode()
                for content in (
                    "null",
                    "[]",
                    '["2026-11-22T12:00:00Z"]',
                    '["2026-11-22T12:00:00Z", 1, 2]',
                    '["2026-11-22T12:00:00", 1]',
                    '["yesterday", 1]',
                    '["2026-11-22T12:00:00Z", "x"]',
                    '["2026-11-22T12:00:00Z", null]',
                    '["2026-11-22T12:00:00Z", 1e999]',
                    '["2026-11-22T12:00:00Z", 9223372036854775808]',
                    "[" * 50_000,
                )
            ),
        ],
        ids=lambda after: ascii(after[:40]),
    )
    def test_a_string_that_is_not_a_cursor_is_invalid_input(self, database: Database, after: str) -> None:
        with pytest.raises(InvalidInput, match=r"^after: not a cursor from an earlier page$"):
            list_results(database, NO_FILTERS, limit=5, after=after)


class TestFilters:
    @pytest.fixture(autouse=True)
    def filled(self, database: Database) -> None:
        rows = [
            result("sure sale", received_at=NOW),
            result("doubtful", label="suporte", confidence=0.6, band=Band.REVIEW, received_at=NOW + HOUR),
            result("strange", confidence=0.5, band=Band.ABSTAIN, received_at=NOW + 2 * HOUR, source="hubspot"),
            result("corrected", model="v1.1.0", confidence=0.8, received_at=NOW + 3 * HOUR, detected="es"),
            result("forgotten", received_at=NOW + 4 * HOUR),
        ]
        write_window(database, rows)
        insert_review(database, "corrected", "suporte")
        set_tombstone(database, "forgotten")

    @pytest.mark.parametrize(
        ("filters", "expected"),
        [
            (NO_FILTERS, ["corrected", "strange", "doubtful", "sure sale"]),
            (Filters(label="suporte"), ["corrected", "doubtful"]),
            (Filters(label="venda"), ["strange", "sure sale"]),
            (Filters(band="review"), ["doubtful"]),
            (Filters(band="abstain"), ["strange"]),
            (Filters(source="hubspot"), ["strange"]),
            (Filters(model="v1.1.0"), ["corrected"]),
            (Filters(language="es"), ["corrected"]),
            (Filters(since=NOW + 2 * HOUR), ["corrected", "strange"]),
            (Filters(until=NOW + 2 * HOUR), ["doubtful", "sure sale"]),
            (Filters(since=NOW + HOUR, until=NOW + 2 * HOUR), ["doubtful"]),
            (Filters(label="venda", source="zendesk", band="automate"), ["sure sale"]),
            (Filters(source="zendesk' OR true --"), []),
        ],
        ids=filter_names,
    )
    def test_filters_select_the_matching_rows(
        self, database: Database, filters: Filters, expected: list[str]
    ) -> None:
        assert names(list_results(database, filters, limit=9).rows) == expected

    def test_a_row_has_the_reviewers_label_and_the_models(self, database: Database) -> None:
        row = list_results(database, Filters(model="v1.1.0"), limit=1).rows[0]

        assert (row.label, row.model_label, row.reviewer) == ("suporte", "venda", "ana")
        assert (row.confidence, row.band, row.received_at, row.truncated) == (0.8, "automate", NOW + 3 * HOUR, False)

    def test_counts_are_by_effective_label_and_band(self, database: Database) -> None:
        assert count_tickets(database, NO_FILTERS) == {
            ("suporte", "automate"): 1,
            ("suporte", "review"): 1,
            ("venda", "abstain"): 1,
            ("venda", "automate"): 1,
        }
        assert count_tickets(database, Filters(source="hubspot")) == {("venda", "abstain"): 1}

    def test_the_least_confident_come_first_and_reviewed_ones_are_excluded(self, database: Database) -> None:
        assert names(least_confident(database, NO_FILTERS, limit=9)) == ["strange", "doubtful", "sure sale"]
        assert names(least_confident(database, Filters(source="zendesk"), limit=1)) == ["doubtful"]

        insert_review(database, "doubtful", "suporte")

        assert names(least_confident(database, NO_FILTERS, limit=9)) == ["strange", "sure sale"]

    def test_a_review_of_a_previous_text_does_not_count(self, database: Database) -> None:
        insert_review(database, "strange", "suporte", text="what it was before")

        assert names(least_confident(database, NO_FILTERS, limit=1)) == ["strange"]
        assert names(list_results(database, Filters(label="venda"), limit=9).rows) == ["strange", "sure sale"]


class TestShow:
    def test_it_gives_the_text_the_history_and_the_reviews_newest_first(self, database: Database) -> None:
        runs = [("v1.0.0", "venda", 0.6, Band.REVIEW), ("v1.1.0", "suporte", 0.8, Band.AUTOMATE)]
        for epoch, (model, label, confidence, band) in enumerate(runs, start=1):
            run = result("1", model=model, label=label, confidence=confidence, band=band, epoch=epoch)
            write_window(database, [replace(run, classified_at=NOW + epoch * HOUR)])
        insert_review(database, "1", "suporte", reviewer="ana")
        insert_review(database, "1", "venda", reviewer="rui")
        write_window(database, [result("2")])

        shown = find_ticket_with_history(database, "zendesk", "1")

        assert shown is not None
        assert shown.ticket["text"] == "A"
        assert (shown.ticket["label"], shown.ticket["model_label"]) == ("venda", "suporte")
        assert (shown.ticket["metadata"], shown.ticket["revised_at"]) == ({}, YESTERDAY)
        assert [(row["model_version"], row["band"], row["is_current"]) for row in shown.history] == [
            ("v1.1.0", "automate", True),
            ("v1.0.0", "review", False),
        ]
        assert [(row["reviewer"], row["label"]) for row in shown.reviews] == [("rui", "venda"), ("ana", "suporte")]

    def test_unknown_and_forgotten_tickets_are_not_found(self, database: Database) -> None:
        write_window(database, [result("1")])
        assert find_ticket_with_history(database, "zendesk", "2") is None
        assert find_ticket_with_history(database, "hubspot", "1") is None

        set_tombstone(database, "1")

        assert find_ticket_with_history(database, "zendesk", "1") is None
