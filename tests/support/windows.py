"""Builds classified tickets for a window, and reads the tables afterwards."""

from datetime import timedelta
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import text as sql

from tests.support.builders import NOW, YESTERDAY, ticket
from triagem.contracts.prediction import AbstainReason, Band, Prediction
from triagem.contracts.result import Result
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.db.tickets.queries import Filters, list_results
from triagem.db.tickets.window import ClassifiedTicket, WindowCounts

TABLES: Final = ("tickets", "predictions", "alerts", "reviews")


NO_CHANGES: Final = WindowCounts(predictions=0, alerts=0)


def digest(text: str) -> bytes:
    """The digest of a text."""
    return sha256(text.encode()).digest()


def result(
    text: str = "A",
    *,
    minute: int = 0,
    epoch: int = 1,
    model: str = "v1.0.0",
    label: str = "venda",
    confidence: float = 0.9,
    band: Band = Band.AUTOMATE,
    lane: Lane = Lane.LIVE,
    arrival: int = 1,
    reason: AbstainReason | None = None,
    **fields: Any,
) -> ClassifiedTicket:
    """A classified ticket; the CRM revised its text at that minute."""
    prediction = Prediction(
        label, confidence, {label: confidence, "other": 1 - confidence}, band, model, 3, truncated=False,
        abstain_reason=reason,
    )  # fmt: skip
    revision = ticket(text=text, revised_at=YESTERDAY + timedelta(minutes=minute), **fields)
    return ClassifiedTicket(
        revision, digest(text), lane, NOW, arrival, prediction=prediction, epoch=epoch, classified_at=NOW
    )


def doubtful(text: str = "A", **changes: Any) -> ClassifiedTicket:
    """A result in the band `review`."""
    return result(text, **{"band": Band.REVIEW, "confidence": 0.6, **changes})


def rows(database: Database, table: str) -> list[dict[str, Any]]:
    """All rows of a table, in the order of its key."""
    with database.autocommit() as connection:
        return [dict(row) for row in connection.execute(sql(f"SELECT * FROM {table} ORDER BY 1, 2, 3")).mappings()]


def all_rows(database: Database) -> dict[str, list[dict[str, Any]]]:
    """All rows of all tables."""
    return {table: rows(database, table) for table in TABLES}


def current(database: Database) -> tuple[str, str, int]:
    """Text, model version and epoch of the only ticket's current result."""
    (row,) = rows(database, "tickets")
    assert row["digest"] == digest(row["text"])
    return row["text"], row["model_version"], row["epoch"]


def history(database: Database) -> set[tuple[str, str]]:
    """The texts (A, B or C) and versions in the history."""
    texts = {digest(letter): letter for letter in "ABC"}
    return {(texts[row["digest"]], row["model_version"]) for row in rows(database, "predictions")}


def insert_review(database: Database, text: str, label: str, reviewer: str = "ana") -> None:
    """Insert a review of a text of the only ticket."""
    with database.autocommit() as connection:
        connection.execute(
            sql(
                "WITH new AS (INSERT INTO labels (label, name) VALUES (:label, :label) ON CONFLICT DO NOTHING)"
                "INSERT INTO reviews (ticket_id, digest, label, reviewer)"
                " SELECT id, :digest, :label, :reviewer FROM tickets"
            ),
            {"digest": digest(text), "label": label, "reviewer": reviewer},
        )


def effective_result(database: Database) -> Result:
    """The only ticket's effective result."""
    (row,) = list_results(database, Filters(), limit=2).rows
    return row
