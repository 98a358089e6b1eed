"""`docs/reference/sql.md`: its columns are the views', and each query returns rows for the login `analyst`."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from psycopg.rows import dict_row
from sqlalchemy import text

from tests.support.builders import classified
from triagem.contracts.prediction import Band, Prediction
from triagem.db import Database
from triagem.db.tickets.window import ClassifiedTicket, write_window
from triagem.stack import Endpoints

PAGE: Final = (Path(__file__).parents[2] / "docs" / "reference" / "sql.md").read_text(encoding="utf-8")
QUERIES: Final = re.findall(r"^\*\*([^*\n]+)\*\*[^`]*^```sql\n-- columns: (.+)\n([^`]+)^```$", PAGE, re.MULTILINE)
VIEWS: Final = re.findall(r"^### (\w+)\n\n(.+)\.\n\n((?:\|.*\n)+)", PAGE, re.MULTILINE)


def ticket(number: int, now: datetime) -> list[ClassifiedTicket]:
    """A ticket's results of two versions; the later one disagrees on every eighth ticket and is more confident."""
    confidence = 0.5 + number / 160
    label = ("suporte", "venda")[number % 2]
    flipped = ("suporte", "venda")[(number + (number % 8 == 0)) % 2]
    row = classified(
        source=("zendesk", "hubspot")[number % 3 == 0],
        external_id=str(4700 + number),
        digest=b"%d" % number,
        received_at=now - timedelta(hours=number * 3, seconds=2),
    )
    band = Band.AUTOMATE if confidence > 0.7 else Band.REVIEW if confidence > 0.55 else Band.ABSTAIN
    prediction = Prediction(
        label, confidence, {label: confidence}, band, "v1.0.0", tokens=10 * number, truncated=number > 50
    )
    first = replace(row, prediction=prediction, classified_at=row.received_at + timedelta(seconds=0.1 + number / 100))
    later = replace(prediction, label=flipped, confidence=confidence + 0.1, model_version="v1.1.0")
    return [first, replace(row, prediction=later, epoch=2, classified_at=now)]


@pytest.fixture
def analyst(database: Database, endpoints: Endpoints) -> Iterator[psycopg.Connection]:
    """An analyst's session on 80 tickets of ten days, every fourth reviewed and some of these corrected."""
    now = datetime.now(UTC)
    for run in zip(*(ticket(number, now) for number in range(80)), strict=True):
        write_window(database, run)
    with database.autocommit() as connection:
        connection.execute(
            text(
                "INSERT INTO reviews (ticket_id, digest, label, reviewer, stratum, inclusion, model_version,"
                " model_label) SELECT id, digest, 'venda', 'ana', 'random', 0.1, model_version, label FROM tickets"
                " WHERE mod(external_id::int, 4) = 0"
            )
        )
        connection.execute(
            text(
                "INSERT INTO messages (ticket_id, message_id, author, written_at, revised_at, arrival)"
                " SELECT id, author, author, received_at + wait, received_at + wait, 1 FROM tickets,"
                " (VALUES ('customer', interval '0'), ('agent', interval '5 minutes')) AS thread (author, wait)"
            )
        )
    with psycopg.connect(endpoints.reader_url) as session:
        yield session


@pytest.mark.parametrize(
    ("columns", "query"), [query[1:] for query in QUERIES], ids=[question for question, *_ in QUERIES]
)
def test_every_query_returns_the_columns_that_its_first_line_names(
    analyst: psycopg.Connection, columns: str, query: str
) -> None:
    cursor = analyst.execute(query.encode())

    assert [column.name for column in cursor.description or ()] == columns.split(", ")
    rows = cursor.fetchall()
    assert rows
    assert all(value is not None for row in rows for value in row)


def run_query(analyst: psycopg.Connection, question: str) -> list[dict[str, Any]]:
    """Runs the page's query for a question."""
    ((_, _, query),) = [entry for entry in QUERIES if entry[0] == question]
    with analyst.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query.encode()).fetchall()


def test_flips_are_the_texts_about_which_the_versions_disagree(analyst: psycopg.Connection) -> None:
    flips = run_query(analyst, "What does a new version classify differently?")

    assert {int(row["external_id"]) - 4700 for row in flips} == set(range(0, 80, 8))
    assert {(row["before"], row["after"]) for row in flips} == {("suporte", "venda")}


def test_corrected_tickets_are_those_whose_reviewer_disagreed(analyst: psycopg.Connection) -> None:
    corrected = run_query(analyst, "Tickets that people corrected")

    assert {int(row["external_id"]) - 4700 for row in corrected} == set(range(4, 80, 8))
    assert {(row["model_label"], row["label"]) for row in corrected} == {("suporte", "venda")}


def test_unclear_verdicts_do_not_count_as_confirmation(database: Database, analyst: psycopg.Connection) -> None:
    with database.autocommit() as connection:
        connection.execute(text("UPDATE reviews SET label = NULL"))

    assert run_query(analyst, "Is the confidence calibrated?") == []
    assert run_query(analyst, "How often do people disagree, and in which direction?") == []


def test_answers_given_before_any_model_do_not_count_in_the_confirmed_share(
    database: Database, analyst: psycopg.Connection
) -> None:
    with database.autocommit() as connection:
        connection.execute(
            text("UPDATE reviews SET model_version = NULL, model_label = NULL WHERE mod(ticket_id, 2) = 0")
        )

    (row,) = run_query(analyst, "How often does each reviewer confirm the model")

    compared = analyst.execute("SELECT count(*) FROM verdicts WHERE model_label IS NOT NULL").fetchone()
    assert compared is not None
    assert 0 < row["verdicts"] == compared[0] < 20


def test_latency_is_of_the_first_prediction_not_of_the_latest(analyst: psycopg.Connection) -> None:
    assert all(
        0.1 <= row["p50_s"] <= row["p99_s"] < 1 for row in run_query(analyst, "How long until the first prediction?")
    )


def test_every_query_of_the_page_is_tested() -> None:
    assert len(QUERIES) == PAGE.count("```sql") >= 10


def test_every_view_and_column_is_documented_by_its_comment(analyst: psycopg.Connection) -> None:
    """`make reference` writes the page from the script; this test compares the page with the database."""
    documented = {(view, ""): f"{title}" for view, title, _ in VIEWS} | {
        (view, column): meaning
        for view, _, table in VIEWS
        for column, meaning in re.findall(r"^\| `(\w+)` \| (.*) \|$", table, re.MULTILINE)
    }

    comments = analyst.execute("""
        SELECT relname, coalesce(attname, ''), coalesce(description, '') FROM pg_class
        JOIN LATERAL (
          SELECT 0 AS attnum, NULL AS attname UNION ALL
          SELECT attnum, attname FROM pg_attribute WHERE attrelid = pg_class.oid AND attnum > 0
        ) AS columns ON true
        LEFT JOIN pg_description ON (objoid, objsubid) = (pg_class.oid, attnum) AND classoid = 'pg_class'::regclass
        WHERE relnamespace = 'analytics'::regnamespace
    """).fetchall()

    assert documented == {(view, column): comment for view, column, comment in comments}
