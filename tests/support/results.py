"""Results in the database, and pages of them."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text

from tests.support.builders import NOW, ticket
from triagem.contracts.prediction import Band, Prediction
from triagem.contracts.result import Page
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.db.queries import Filters, results
from triagem.db.window import Classified

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
