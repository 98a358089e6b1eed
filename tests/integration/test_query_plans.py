"""Queries read only the rows that they return, not the whole table."""

import json
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Self

import pytest
from sqlalchemy import event

from tests.support.results import NO_FILTERS, filter_names
from triagem.contracts.ticket import PREDICT_SOURCE
from triagem.db import Database
from triagem.db.tickets import queries
from triagem.db.tickets.changes import _CHANGES
from triagem.db.tickets.queries import (
    Filters,
    find_ticket_with_history,
    least_confident,
    list_results,
    result_pages,
)
from triagem.db.tickets.window import look_up


class TestPlans:
    """With 20,000 tickets and 1,000 reviews, each query reads a bounded number of tickets."""

    @pytest.fixture
    def large(self, database: Database) -> Database:
        with database.autocommit() as connection:
            connection.exec_driver_sql("""
                INSERT INTO tickets (source, external_id, text, digest, revised_at, arrival, revision, received_at,
                                     state, epoch, label, confidence, probabilities, band, model_version, tokens,
                                     truncated, classified_at)
                SELECT 'zendesk', n, repeat('x', 200), sha256(n::text::bytea), moment, n, 1, moment, 'classified', 1,
                       'venda', 0.5 + (mod(n * 7919, 20000)) / 40000.0, '{}', 'automate', 'v1.0.0', 40, false, moment
                FROM generate_series(1, 20000) AS n, LATERAL (SELECT '2026-11-01'::timestamptz + n * interval '2 min')
                  AS m(moment)""")
            connection.exec_driver_sql("INSERT INTO labels (label, name) VALUES ('suporte', 'suporte')")
            connection.exec_driver_sql(
                "INSERT INTO reviews (ticket_id, digest, label, reviewer)"
                " SELECT id, digest, 'suporte', 'ana' FROM tickets WHERE mod(id, 20) = 0"
            )
            connection.exec_driver_sql("VACUUM ANALYZE tickets, reviews")
        return database

    def test_the_first_page_reads_one_page(self, large: Database) -> None:
        with Explained(large) as explained:
            list_results(large, NO_FILTERS, limit=50)

        assert explained.read == {"ix_tickets_newest": 51}

    def test_a_deep_page_reads_one_page_too(self, large: Database) -> None:
        middle = list_results(large, Filters(until=datetime(2026, 11, 15, tzinfo=UTC)), limit=1).after

        with Explained(large) as explained:
            list_results(large, NO_FILTERS, limit=50, after=middle)

        assert explained.read == {"ix_tickets_newest": 51}
        assert "OFFSET" not in explained.statement.upper()

    def test_a_filter_that_no_ticket_passes_tests_a_bounded_number_of_tickets_per_statement(
        self, large: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(queries, "_SCAN_LIMIT", 3000)

        with Explained(large) as explained:
            page = next(result_pages(large, Filters(label="none"), limit=50))

        assert explained.read == {"ix_tickets_newest": 3000}
        assert page.after

    def test_a_rare_label_is_found_however_old_its_ticket_is(
        self, large: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(queries, "_SCAN_LIMIT", 3000)
        large.execute("UPDATE tickets SET label = 'rare' WHERE external_id = '7'")
        pages = [*result_pages(large, Filters(label="rare"), limit=50)]

        assert [[row.external_id for row in page.rows] for page in pages if page.rows] == [["7"]]
        assert pages[-1].after is None

    @pytest.mark.parametrize("filters", [NO_FILTERS, Filters(band="automate")], ids=filter_names)
    def test_the_least_confident_are_read_from_the_lowest_confidence_on(
        self, large: Database, filters: Filters
    ) -> None:
        with Explained(large) as explained:
            least_confident(large, filters, limit=50)

        (index, read), *others = explained.read.items()
        assert (index, others) == ("ix_tickets_least_sure", [])
        assert read < 60  # reviewed tickets are read and filtered out

    def test_a_ticket_is_found_by_its_identity(self, large: Database) -> None:
        with Explained(large) as explained:
            find_ticket_with_history(large, "zendesk", "4711")

        assert explained.read == {"uq_tickets_source_external_id": 1, "pk_tickets": 1}  # for text and result

    def test_a_page_of_changes_reads_one_page(self, large: Database) -> None:
        start = {"transaction": 0, "ticket_id": 0, "predict": PREDICT_SOURCE, "limit": 50}

        with Explained(large) as explained, large.autocommit() as connection:
            connection.execute(_CHANGES, start)

        assert explained.read == {"ix_tickets_changed": 50, "pk_tickets": 50}  # for the cursor and for the results

    @pytest.mark.parametrize(
        ("query", "index"),
        [
            ("SELECT * FROM analytics.results WHERE confidence < 0.502", "ix_tickets_least_sure"),
            ("SELECT * FROM analytics.results WHERE received_at >= '2026-11-28'", "ix_tickets_newest"),
            ("SELECT * FROM analytics.daily WHERE day = '2026-11-07'", "ix_tickets_day"),
        ],
        ids=["confidence", "received_at", "day"],
    )
    def test_an_analyst_s_usual_filters_have_an_index(self, large: Database, query: str, index: str) -> None:
        with Explained(large) as explained, large.autocommit() as connection:
            connection.exec_driver_sql(query)

        ((used, read),) = explained.read.items()
        assert used == index
        assert read < 7000  # a BRIN index finds ranges of 128 blocks: here 2,300 tickets, 720 of them requested


class TestBeforeTheFirstAnalyze:
    """During a bulk import into new tables, the planner guesses the tables' size until autovacuum has run."""

    def test_cached_predictions_are_looked_up_by_key(self, database: Database) -> None:
        with database.autocommit() as connection:
            connection.exec_driver_sql("""
                WITH stored AS (
                  INSERT INTO tickets (source, external_id, text, digest, revised_at, arrival, revision, received_at,
                                       state, epoch, label, confidence, probabilities, band, model_version, tokens,
                                       truncated, classified_at)
                  SELECT 'zendesk', n, 'x', sha256(n::text::bytea), now(), n, 1, now(), 'classified', 1, 'venda', 0.9,
                         '{}', 'automate', 'v1.0.0', 40, false, now()
                  FROM generate_series(1, 20000) AS n
                  RETURNING *
                )
                INSERT INTO predictions (ticket_id, digest, label, confidence, probabilities, band, model_version,
                                         tokens, truncated, classified_at, epoch)
                SELECT id, digest, label, confidence, probabilities, band, model_version, tokens, truncated,
                       classified_at, epoch
                FROM stored""")
        texts = [("zendesk", str(n), sha256(str(n).encode()).digest()) for n in range(1, 257)]

        with Explained(database, "predictions") as explained:
            predictions = look_up(database, texts, "v1.0.0")[0]

        assert len(predictions) == 256
        assert explained.read == {"pk_predictions": 256}


class Explained:
    """Runs the block's first statement once more under EXPLAIN ANALYZE."""

    def __init__(self, database: Database, table: str = "tickets") -> None:
        self._engine, self._table = database.engine, table
        self.statement = ""
        self.read: dict[str, int] = {}

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
        """Counts the rows read from the table, by index."""
        children = node.get("Plans", [])
        if node.get("Relation Name") == self._table:
            index = node.get("Index Name") or next((child.get("Index Name") for child in children), "none")
            read = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
            self.read[index] = round((read + node.get("Rows Removed by Index Recheck", 0)) * node["Actual Loops"])
        for child in children:
            self._collect(child)
