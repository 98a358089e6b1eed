"""Windows of results, and what the tables hold after them."""

from datetime import timedelta
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import text

from tests.support.builders import NOW, YESTERDAY, ticket
from triagem.contracts.prediction import Band, Prediction
from triagem.contracts.result import Result
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.db.queries import Filters, results
from triagem.db.window import Classified, Written

TABLES: Final = ("tickets", "predictions", "alerts", "reviews")


NOTHING: Final = Written(predictions=0, alerts=0)


def digest(words: str) -> bytes:
    """What stands for a text."""
    return sha256(words.encode()).digest()


def result(
    words: str = "A",
    *,
    minute: int = 0,
    epoch: int = 1,
    model: str = "v1.0.0",
    label: str = "venda",
    confidence: float = 0.9,
    band: Band = Band.AUTOMATE,
    lane: Lane = Lane.LIVE,
    **fields: Any,
) -> Classified:
    """What the pipe has to store of a text that the CRM wrote at that minute."""
    said = Prediction(
        label, confidence, {label: confidence, "other": 1 - confidence}, band, model, 3, truncated=False
    )
    written = ticket(text=words, revised_at=YESTERDAY + timedelta(minutes=minute), **fields)
    return Classified(written, digest(words), said, epoch, lane, received_at=NOW, classified_at=NOW)


def doubtful(words: str = "A", **changes: Any) -> Classified:
    """A result that somebody should look at."""
    return result(words, **{"band": Band.REVIEW, "confidence": 0.6, **changes})


def rows(database: Database, table: str) -> list[dict[str, Any]]:
    """All that a table holds, in the order of its key."""
    with database.autocommit() as connection:
        return [dict(row) for row in connection.execute(text(f"SELECT * FROM {table} ORDER BY 1, 2, 3")).mappings()]


def everything(database: Database) -> dict[str, list[dict[str, Any]]]:
    """All that all tables hold."""
    return {table: rows(database, table) for table in TABLES}


def current(database: Database) -> tuple[str, str, int]:
    """The text, the model version and the epoch that the only ticket's current result comes from."""
    (row,) = rows(database, "tickets")
    assert row["digest"] == digest(row["text"])
    return row["text"], row["model_version"], row["epoch"]


def history(database: Database) -> set[tuple[str, str]]:
    """Which texts (A, B or C) were judged by which versions."""
    words = {digest(one): one for one in "ABC"}
    return {(words[row["digest"]], row["model_version"]) for row in rows(database, "predictions")}


def judge(database: Database, words: str, label: str, reviewer: str = "ana") -> None:
    """A person gives a verdict on a text of the only ticket."""
    with database.autocommit() as connection:
        connection.execute(
            text(
                "INSERT INTO reviews (ticket_id, digest, label, reviewer)"
                " SELECT id, :digest, :label, :reviewer FROM tickets"
            ),
            {"digest": digest(words), "label": label, "reviewer": reviewer},
        )


def effective(database: Database) -> Result:
    """The only ticket, as people see it."""
    (row,) = results(database, Filters(), limit=2).rows
    return row
