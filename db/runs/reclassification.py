"""Reads stored tickets for a reclassification run and writes their new results, in one statement per window
(`reclassification.sql`).

A ticket is updated only if its id and text still match, and only forward (INV-14): if the run's epoch is higher, or
equal for a run with `force`. The run's result for a ticket is recorded once, in the row that was written before the
reference was enqueued. Everything else changes only together with that record, so a redelivery changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from typing import Final

from pydantic_core import to_json
from sqlalchemy import text

from triagem.contracts.errors import WindowTooLarge
from triagem.contracts.language import UNDETERMINED
from triagem.contracts.prediction import Prediction
from triagem.contracts.ticket import OnReply
from triagem.contracts.wire import StoredTicketRef
from triagem.db.connect import Database
from triagem.db.tickets.messages import JUDGED_MESSAGES, Conversation, read_messages
from triagem.db.tickets.window import prediction_values, stored_prediction


@dataclass(frozen=True, slots=True)
class ResolvedTicket:
    """The stored ticket of a reference. `text` is None if the text has changed or is gone, or if `cached` is set.

    `cached`: the prediction of the run's version for this text and its time; always None for a run with `force`.
    `conversation`: the messages that the text is composed from.
    """

    version: str
    epoch: int
    shadow: bool
    text: str | None
    cached: tuple[Prediction, datetime] | None
    conversation: Conversation | None = None


@dataclass(frozen=True, slots=True)
class ReclassifiedTicket:
    """The result to store for a reference. `outcome` is `done` (classified), `unchanged` (cached) or `failed`.

    Without an outcome the statement determines why there is none. `detected`: the language detected in the text.
    `proved`: whether the version's precision is proved; if not, no CRM receives the result.
    """

    ref: StoredTicketRef
    outcome: str = ""
    prediction: Prediction | None = None
    classified_at: datetime | None = None
    detected: str = UNDETERMINED
    proved: bool = True


_RESOLVE: Final = text(f"""
SELECT i.position, r.version, r.epoch, r.shadow, CASE WHEN p.ticket_id IS NULL THEN t.text END AS text,
  t.on_reply, t.digest, t.revised_at, t.arrival,
  CASE WHEN p.ticket_id IS NULL AND t.on_reply IS NOT NULL THEN {JUDGED_MESSAGES} END AS messages,
  p.label, p.confidence, p.probabilities, p.band, p.model_version, p.tokens, p.truncated, p.abstain_reason,
  p.classified_at
FROM unnest(CAST(:runs AS bigint[]), CAST(:tickets AS bigint[]), CAST(:digests AS bytea[]))
  WITH ORDINALITY AS i(run, ticket, digest, position)
JOIN reclassify_runs r ON r.id = i.run AND r.state <> 'cancelled'
LEFT JOIN tickets t ON (t.id, t.digest) = (i.ticket, i.digest) AND t.forgotten_at IS NULL
LEFT JOIN predictions p ON (p.ticket_id, p.digest, p.model_version) = (t.id, i.digest, r.version) AND NOT r.force
""")  # noqa: S608 - a constant


def resolve_tickets(database: Database, refs: Sequence[StoredTicketRef]) -> list[ResolvedTicket | None]:
    """The stored tickets of references, in their order, by one query; None where the run was cancelled.

    A query that Postgres finds too large is split (INV-29).
    """
    if not refs:
        return []
    try:
        return _resolve(database, refs)
    except WindowTooLarge:
        middle = len(refs) // 2
        if not middle:
            raise
        return resolve_tickets(database, refs[:middle]) + resolve_tickets(database, refs[middle:])


def _resolve(database: Database, refs: Sequence[StoredTicketRef]) -> list[ResolvedTicket | None]:
    tickets: list[ResolvedTicket | None] = [None] * len(refs)
    rows = database.rows(
        _RESOLVE, runs=[ref.run for ref in refs], tickets=[ref.ticket for ref in refs],
        digests=[ref.digest for ref in refs],
    )  # fmt: skip
    for row in rows:
        cached = None if row.label is None else (stored_prediction(row), row.classified_at)
        conversation = row.messages and Conversation(
            read_messages(row.messages), OnReply(row.on_reply), row.digest, True, row.revised_at, row.arrival
        )
        tickets[row.position - 1] = ResolvedTicket(row.version, row.epoch, row.shadow, row.text, cached, conversation)
    return tickets


_WRITE: Final = text(files("triagem.db.runs").joinpath("reclassification.sql").read_text(encoding="utf-8"))


def write_reclassified(database: Database, rows: Sequence[ReclassifiedTicket]) -> None:
    """Store results of runs, one row per run and ticket. Raises DatabaseUnavailable (retry) or RowRefused."""
    if rows:
        database.execute(_WRITE, **_document(rows))


def probe_write(database: Database, sample: ReclassifiedTicket) -> None:
    """Check whether Postgres refuses every row: write the prediction of `sample` without a ticket, and roll back.

    Raises:
        StatementRefused: Postgres refuses every row, so no single row is at fault.
    """
    ref = StoredTicketRef(sample.ref.run, 0, b"")
    row = ReclassifiedTicket(ref, sample.outcome, sample.prediction, sample.classified_at)
    with database.probe("result of a run") as connection:
        connection.execute(_WRITE, _document([row]))


def _document(rows: Sequence[ReclassifiedTicket]) -> dict[str, str]:
    values = {(row.ref.run, row.ref.ticket): _values(row) for row in rows}
    return {"rows": to_json(list(values.values()), inf_nan_mode="constants").decode()}


def _values(row: ReclassifiedTicket) -> dict[str, object]:
    ref = row.ref
    values = {
        "run": ref.run, "ticket": ref.ticket, "hex": ref.digest.hex(), "reported": row.outcome, "proved": row.proved,
    }  # fmt: skip
    if row.prediction is None or row.classified_at is None:
        return values
    language = None if row.detected == UNDETERMINED else row.detected
    return values | prediction_values(row.prediction, row.classified_at) | {"language": language}
