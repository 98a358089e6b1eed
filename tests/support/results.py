"""Builds stored results, and reads pages of them."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text as sql

from tests.support.builders import NOW, ticket
from triagem.contracts.prediction import AbstainReason, Band, Prediction
from triagem.contracts.result import ResultPage
from triagem.contracts.ticket import Identity, Lane
from triagem.contracts.wire import StoredTicketRef
from triagem.db import Database
from triagem.db.runs import ReclassifyRun
from triagem.db.runs.pages import next_page, record_page
from triagem.db.tickets.forgetting import write_tombstone
from triagem.db.tickets.queries import Filters, list_results
from triagem.db.tickets.window import ClassifiedTicket

HOUR = timedelta(hours=1)
# The SET clause of an UPDATE that forgets tickets.
FORGET = (
    "forgotten_at = now(), text = NULL, state = NULL, label = NULL, confidence = NULL, probabilities = NULL,"
    " band = NULL, model_version = NULL, tokens = NULL, truncated = NULL, classified_at = NULL"
)


NO_FILTERS = Filters()


def result(
    name: str,
    *,
    label: str = "venda",
    confidence: float = 0.9,
    band: Band = Band.AUTOMATE,
    model: str = "v1.0.0",
    text: str = "A",
    received_at: datetime = NOW,
    classified_at: datetime = NOW,
    epoch: int = 1,
    detected: str = "und",
    reason: AbstainReason | None = None,
    **fields: Any,
) -> ClassifiedTicket:
    """A classified ticket with this external id."""
    prediction = Prediction(
        label, confidence, {label: confidence}, band, model, 3, truncated=False, abstain_reason=reason
    )
    revision = ticket(external_id=name, text=text, **fields)
    return ClassifiedTicket(
        revision, text.encode(), Lane.BULK, received_at, 1, prediction=prediction, epoch=epoch,
        classified_at=classified_at, detected=detected,
    )  # fmt: skip


def insert_review(database: Database, name: str, label: str, *, text: str = "A", reviewer: str = "ana") -> None:
    """Insert a review of a text of that ticket."""
    with database.autocommit() as connection:
        connection.execute(
            sql(
                "WITH new AS (INSERT INTO labels (label, name) VALUES (:label, :label) ON CONFLICT DO NOTHING)"
                "INSERT INTO reviews (ticket_id, digest, label, reviewer)"
                " SELECT id, :digest, :label, :reviewer FROM tickets WHERE external_id = :name"
            ),
            {"digest": text.encode(), "label": label, "reviewer": reviewer, "name": name},
        )


def set_tombstone(database: Database, name: str) -> None:
    """Turn that ticket into a tombstone."""
    write_tombstone(database, Identity("zendesk", name))


def insert_unlabelled(database: Database, name: str, *, text: str = "A") -> None:
    """Insert a ticket that arrived while there was no model."""
    with database.autocommit() as connection:
        connection.execute(
            sql(
                "INSERT INTO tickets (source, external_id, text, digest, revised_at, arrival, revision, received_at,"
                " state, epoch) VALUES ('zendesk', :name, :text, :digest, now(), 1, 1, now(), 'unlabelled', 0)"
            ),
            {"name": name, "text": text, "digest": text.encode()},
        )


def record_refs(database: Database, run: ReclassifyRun) -> list[StoredTicketRef]:
    """Record the first page of a run; returns its tickets."""
    page = next_page(database, run)
    assert record_page(database, run, page)
    return page.refs


def all_pages(database: Database, filters: Filters = NO_FILTERS, *, limit: int) -> list[ResultPage]:
    """All pages, from the first to the last."""
    read = [list_results(database, filters, limit=limit)]
    while read[-1].after is not None:
        read.append(list_results(database, filters, limit=limit, after=read[-1].after))
        assert len(read) < 100, "pages without end"
    return read


def names(rows: Sequence[Any]) -> list[str]:
    """The external ids of the rows."""
    return [row.external_id for row in rows]


def filter_names(value: object) -> str:
    """The filters that are set, as a test id."""
    if not isinstance(value, Filters):
        return ""
    return "_".join(field.name for field in fields(value) if getattr(value, field.name)) or "everything"
