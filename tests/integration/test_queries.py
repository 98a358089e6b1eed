"""What people ask of a real Postgres: pages, the least sure, counts, one ticket; and how much each reads for it."""

import base64
import json
from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import pytest
from sqlalchemy import event, text

from contracts.errors import InvalidInput
from contracts.prediction import Band, Prediction
from contracts.ticket import Lane
from db import Database
from db.queries import Filters, Page, counts, least_sure, results, show
from db.window import Classified, write
from tests.support.builders import NOW, YESTERDAY, ticket

HOUR = timedelta(hours=1)
EVERYTHING = Filters()


def result(
    name: str,
    *,
    label: str = "venda",
    confidence: float = 0.9,
    band: Band = Band.AUTOMATE,
    model: str = "v1.0.0",
    words: str = "A",
    received_at: datetime = NOW,
    classified_at: datetime = NOW,
    epoch: int = 1,
    **about: Any,
) -> Classified:
    """A stored result of the ticket of that name."""
    said = Prediction(label, confidence, {label: confidence}, band, model, 3, truncated=False)
    written = ticket(external_id=name, text=words, **about)
    return Classified(written, words.encode(), said, epoch, Lane.BULK, received_at, classified_at)


def judge(database: Database, name: str, label: str, *, words: str = "A", reviewer: str = "ana") -> None:
    """A person gives a verdict on a text of that ticket."""
    with database.autocommit() as connection:
        connection.execute(
            text(
                "INSERT INTO reviews (ticket_id, digest, label, reviewer)"
                " SELECT id, :digest, :label, :reviewer FROM tickets WHERE external_id = :name"
            ),
            {"digest": words.encode(), "label": label, "reviewer": reviewer, "name": name},
        )


def forget(database: Database, name: str) -> None:
    """A tombstone is left of that ticket."""
    with database.autocommit() as connection:
        connection.execute(
            text("UPDATE tickets SET forgotten_at = now(), text = NULL WHERE external_id = :name"), {"name": name}
        )


def pages(database: Database, filters: Filters = EVERYTHING, *, limit: int) -> list[Page]:
    """All pages, from the first to the last."""
    read = [results(database, filters, limit=limit)]
    while read[-1].after is not None:
        read.append(results(database, filters, limit=limit, after=read[-1].after))
        assert len(read) < 100, "pages without end"
    return read


def names(found: Sequence[Any]) -> list[str]:
    """The tickets' names."""
    return [row.external_id for row in found]


def asked(value: object) -> str:
    """The fields that a question sets, as a test's name."""
    if not isinstance(value, Filters):
        return ""
    return "_".join(field.name for field in fields(value) if getattr(value, field.name)) or "everything"


class TestPages:
    @pytest.fixture
    def received(self, database: Database) -> list[str]:
        """40 tickets, five a moment; their names in the order in which pages show them."""
        moments = [NOW + timedelta(microseconds=n // 5) for n in range(40)]
        window = [result(f"{n:02}", received_at=moment) for n, moment in enumerate(moments)]
        write(database, window)
        return [f"{n:02}" for n in reversed(range(40))]

    @pytest.mark.parametrize("limit", [1, 3, 39, 40, 41])
    def test_every_row_comes_once_newest_first(self, database: Database, received: list[str], limit: int) -> None:
        read = pages(database, limit=limit)

        assert names([row for page in read for row in page.rows]) == received
        assert [len(page.rows) for page in read[:-1]] == [limit] * (len(read) - 1)
        assert read[-1].rows

    def test_rows_that_arrive_meanwhile_shift_nothing(self, database: Database, received: list[str]) -> None:
        page = results(database, EVERYTHING, limit=7)
        read = names(page.rows)
        while page.after is not None:
            write(database, [result(f"new {len(read)}", received_at=NOW + HOUR)])
            page = results(database, EVERYTHING, limit=7, after=page.after)
            read += names(page.rows)

        assert read == received

    def test_filters_hold_on_every_page(self, database: Database, received: list[str]) -> None:
        write(database, [result(f"other {n}", source="hubspot", received_at=NOW + n * HOUR) for n in range(9)])

        found = [row for page in pages(database, Filters(source="zendesk"), limit=7) for row in page.rows]

        assert names(found) == received

    def test_an_empty_database_has_one_empty_page(self, database: Database) -> None:
        assert pages(database, limit=5) == [Page([], None)]

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
    def test_a_cursor_that_is_none_is_the_caller_s_mistake(self, database: Database, after: str) -> None:
        with pytest.raises(InvalidInput, match=r"^--after: not a cursor from a former page$"):
            results(database, EVERYTHING, limit=5, after=after)


class TestFilters:
    @pytest.fixture(autouse=True)
    def filled(self, database: Database) -> None:
        rows = [
            result("sure sale", received_at=NOW),
            result("doubtful", label="suporte", confidence=0.6, band=Band.REVIEW, received_at=NOW + HOUR),
            result("strange", confidence=0.5, band=Band.ABSTAIN, received_at=NOW + 2 * HOUR, source="hubspot"),
            result("corrected", model="v1.1.0", confidence=0.8, received_at=NOW + 3 * HOUR),
            result("forgotten", received_at=NOW + 4 * HOUR),
        ]
        write(database, rows)
        judge(database, "corrected", "suporte")
        forget(database, "forgotten")

    @pytest.mark.parametrize(
        ("filters", "expected"),
        [
            (EVERYTHING, ["corrected", "strange", "doubtful", "sure sale"]),
            (Filters(label="suporte"), ["corrected", "doubtful"]),
            (Filters(label="venda"), ["strange", "sure sale"]),
            (Filters(band="review"), ["doubtful"]),
            (Filters(band="abstain"), ["strange"]),
            (Filters(source="hubspot"), ["strange"]),
            (Filters(model="v1.1.0"), ["corrected"]),
            (Filters(since=NOW + 2 * HOUR), ["corrected", "strange"]),
            (Filters(until=NOW + 2 * HOUR), ["doubtful", "sure sale"]),
            (Filters(since=NOW + HOUR, until=NOW + 2 * HOUR), ["doubtful"]),
            (Filters(label="venda", source="zendesk", band="automate"), ["sure sale"]),
            (Filters(source="zendesk' OR true --"), []),
        ],
        ids=asked,
    )
    def test_pages_are_of_what_was_asked_for(self, database: Database, filters: Filters, expected: list[str]) -> None:
        assert names(results(database, filters, limit=9).rows) == expected

    def test_a_row_tells_the_person_s_label_and_the_model_s(self, database: Database) -> None:
        row = results(database, Filters(model="v1.1.0"), limit=1).rows[0]

        assert (row.label, row.model_label, row.reviewer) == ("suporte", "venda", "ana")
        assert (row.confidence, row.band, row.received_at, row.truncated) == (0.8, "automate", NOW + 3 * HOUR, False)

    def test_counts_are_by_effective_label_and_band(self, database: Database) -> None:
        assert counts(database, EVERYTHING) == {
            ("suporte", "automate"): 1,
            ("suporte", "review"): 1,
            ("venda", "abstain"): 1,
            ("venda", "automate"): 1,
        }
        assert counts(database, Filters(source="hubspot")) == {("venda", "abstain"): 1}

    def test_the_least_sure_come_first_and_reviewed_ones_not_at_all(self, database: Database) -> None:
        assert names(least_sure(database, EVERYTHING, limit=9)) == ["strange", "doubtful", "sure sale"]
        assert names(least_sure(database, Filters(source="zendesk"), limit=1)) == ["doubtful"]

        judge(database, "doubtful", "suporte")

        assert names(least_sure(database, EVERYTHING, limit=9)) == ["strange", "sure sale"]

    def test_a_review_of_a_former_text_does_not_count_as_one(self, database: Database) -> None:
        judge(database, "strange", "suporte", words="what it was before")

        assert names(least_sure(database, EVERYTHING, limit=1)) == ["strange"]
        assert names(results(database, Filters(label="venda"), limit=9).rows) == ["strange", "sure sale"]


class TestShow:
    def test_it_gives_the_text_the_history_and_the_reviews_newest_first(self, database: Database) -> None:
        runs = [("v1.0.0", "venda", 0.6, Band.REVIEW), ("v1.1.0", "suporte", 0.8, Band.AUTOMATE)]
        for epoch, (model, label, confidence, band) in enumerate(runs, start=1):
            run = result("1", model=model, label=label, confidence=confidence, band=band, epoch=epoch)
            write(database, [replace(run, classified_at=NOW + epoch * HOUR)])
        judge(database, "1", "suporte", reviewer="ana")
        judge(database, "1", "venda", reviewer="rui")
        write(database, [result("2")])

        shown = show(database, "zendesk", "1")

        assert shown is not None
        assert shown.ticket["text"] == "A"
        assert (shown.ticket["label"], shown.ticket["model_label"]) == ("venda", "suporte")
        assert (shown.ticket["metadata"], shown.ticket["revised_at"]) == ({}, YESTERDAY)
        assert [(one["model_version"], one["band"], one["is_current"]) for one in shown.history] == [
            ("v1.1.0", "automate", True),
            ("v1.0.0", "review", False),
        ]
        assert [(one["reviewer"], one["label"]) for one in shown.reviews] == [("rui", "venda"), ("ana", "suporte")]

    def test_there_is_nothing_to_show_of_unknown_and_forgotten_tickets(self, database: Database) -> None:
        write(database, [result("1")])
        assert show(database, "zendesk", "2") is None
        assert show(database, "hubspot", "1") is None

        forget(database, "1")

        assert show(database, "zendesk", "1") is None


class TestPlans:
    """Over 20,000 tickets and 1,000 reviews: how many tickets does Postgres touch for an answer?"""

    @pytest.fixture
    def large(self, database: Database) -> Database:
        with database.autocommit() as connection:
            connection.exec_driver_sql("""
                INSERT INTO tickets (source, external_id, text, digest, revised_at, received_at, epoch, label,
                                     confidence, probabilities, band, model_version, tokens, truncated, classified_at)
                SELECT 'zendesk', n, repeat('x', 200), sha256(n::text::bytea), moment, moment, 1, 'venda',
                       0.5 + (mod(n * 7919, 20000)) / 40000.0, '{}', 'automate', 'v1.0.0', 40, false, moment
                FROM generate_series(1, 20000) AS n, LATERAL (SELECT '2026-11-01'::timestamptz + n * interval '2 min')
                  AS m(moment)""")
            connection.exec_driver_sql(
                "INSERT INTO reviews (ticket_id, digest, label, reviewer)"
                " SELECT id, digest, 'suporte', 'ana' FROM tickets WHERE mod(id, 20) = 0"
            )
            connection.exec_driver_sql("VACUUM ANALYZE tickets, reviews")
        return database

    def test_the_first_page_reads_a_page(self, large: Database) -> None:
        with Explained(large) as explained:
            results(large, EVERYTHING, limit=50)

        assert explained.tickets_read == {"ix_tickets_newest": 51}

    def test_a_page_deep_down_reads_a_page_too(self, large: Database) -> None:
        middle = results(large, Filters(until=datetime(2026, 11, 15, tzinfo=UTC)), limit=1).after

        with Explained(large) as explained:
            results(large, EVERYTHING, limit=50, after=middle)

        assert explained.tickets_read == {"ix_tickets_newest": 51}
        assert "OFFSET" not in explained.statement.upper()

    @pytest.mark.parametrize("filters", [EVERYTHING, Filters(band="automate")], ids=asked)
    def test_the_least_sure_are_read_from_the_lowest_confidence_on(self, large: Database, filters: Filters) -> None:
        with Explained(large) as explained:
            least_sure(large, filters, limit=50)

        (index, read), *others = explained.tickets_read.items()
        assert (index, others) == ("ix_tickets_least_sure", [])
        assert read < 60  # the reviewed ones are read, and left out

    def test_a_ticket_is_found_by_its_name(self, large: Database) -> None:
        with Explained(large) as explained:
            show(large, "zendesk", "4711")

        assert explained.tickets_read == {"uq_tickets_source_external_id": 1, "pk_tickets": 1}  # for text and result

    @pytest.mark.parametrize(
        ("question", "index"),
        [
            ("SELECT * FROM results WHERE confidence < 0.502", "ix_tickets_least_sure"),
            ("SELECT * FROM results WHERE received_at >= '2026-11-28'", "ix_tickets_newest"),
            ("SELECT * FROM daily WHERE day = '2026-11-07'", "ix_tickets_day"),
        ],
        ids=["confidence", "received_at", "day"],
    )
    def test_an_analyst_s_usual_filters_have_an_index(self, large: Database, question: str, index: str) -> None:
        with Explained(large) as explained, large.autocommit() as connection:
            connection.exec_driver_sql(question)

        ((used, read),) = explained.tickets_read.items()
        assert used == index
        assert read < 5000  # BRIN finds 128 blocks at a time, here 3,872 tickets


class Explained:
    """Inside, the first statement is run once more under EXPLAIN ANALYZE."""

    def __init__(self, database: Database) -> None:
        self._engine = database.engine
        self.statement = ""
        self.tickets_read: dict[str, int] = {}

    def __enter__(self) -> Self:
        event.listen(self._engine, "before_cursor_execute", self._explain)
        return self

    def __exit__(self, *_: object) -> None:
        event.remove(self._engine, "before_cursor_execute", self._explain)

    def _explain(self, _connection: object, cursor: Any, statement: str, parameters: Any, *_: object) -> None:
        if self.statement:
            return
        self.statement = statement
        with cursor.connection.cursor() as other:
            other.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters)
            plan = other.fetchone()[0]
        self._collect((plan if isinstance(plan, list) else json.loads(plan))[0]["Plan"])

    def _collect(self, node: dict[str, Any]) -> None:
        """How many tickets were read, by the index that found them."""
        children = node.get("Plans", [])
        if node.get("Relation Name") == "tickets":
            index = node.get("Index Name") or next((child.get("Index Name") for child in children), "none")
            read = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
            self.tickets_read[index] = round(read + node.get("Rows Removed by Index Recheck", 0))
        for child in children:
            self._collect(child)
