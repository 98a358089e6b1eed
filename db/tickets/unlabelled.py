"""Stores tickets that came while there was no model, and reads those that wait for one. No result is written."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from pydantic_core import to_json
from sqlalchemy import text

from triagem.contracts.errors import RowRefused, StatementRefused
from triagem.contracts.metadata import channel_of
from triagem.contracts.ticket import PREDICT_SOURCE, Identity, Lane, OnReply, Ticket
from triagem.db.connect import Database, database_errors
from triagem.db.tickets.messages import find_conversations


@dataclass(frozen=True, slots=True)
class UnlabelledTicket:
    """A ticket without a result, ready to store. The fields are those of `ClassifiedTicket`.

    With `on_reply`, the text is composed from the messages of a conversation.
    """

    ticket: Ticket
    digest: bytes
    lane: Lane
    received_at: datetime
    arrival: int
    on_reply: OnReply | None = None

    @property
    def identity(self) -> Identity:
        """Source and external id."""
        return Identity(self.ticket.source, self.ticket.external_id)

    @property
    def rank(self) -> tuple[bool, datetime, int]:
        """Order of texts in one window. A text composed from messages ranks above a whole one, which is late."""
        return self.on_reply is not None, self.ticket.revised_at, self.arrival


# A newer text than the ticket's replaces it, with the result of the previous text; another one changes nothing.
_WRITE: Final = text("""
WITH incoming AS (
  SELECT source, external_id, text, decode(digest, 'hex') AS digest, revised_at, arrival, metadata, received_at, lane,
    channel, on_reply
  FROM json_to_recordset(CAST(:rows AS json)) AS i(
    source text, external_id text, text text, digest text, revised_at timestamptz, arrival bigint, metadata jsonb,
    received_at timestamptz, lane text, channel text, on_reply text
  )
), stored AS (
  INSERT INTO tickets AS t (source, external_id, text, digest, revised_at, arrival, revision, metadata, state, epoch,
    received_at, lane, channel, on_reply)
  SELECT source, external_id, text, digest, revised_at, arrival, 1, metadata, 'unlabelled', 0, received_at, lane,
    channel, on_reply
  FROM incoming ORDER BY source COLLATE "C", external_id COLLATE "C"
  ON CONFLICT (source, external_id) DO UPDATE SET
    text = excluded.text, digest = excluded.digest, revised_at = excluded.revised_at, arrival = excluded.arrival,
    metadata = excluded.metadata, channel = coalesce(t.channel, excluded.channel),
    lane = CASE WHEN excluded.lane = 'live' THEN 'live' ELSE t.lane END,
    revision = t.revision + (excluded.digest <> t.digest)::int,
    state = CASE WHEN excluded.digest = t.digest THEN t.state ELSE 'unlabelled' END,
    epoch = CASE WHEN excluded.digest = t.digest THEN t.epoch ELSE 0 END,
    label = CASE WHEN excluded.digest = t.digest THEN t.label END,
    confidence = CASE WHEN excluded.digest = t.digest THEN t.confidence END,
    probabilities = CASE WHEN excluded.digest = t.digest THEN t.probabilities END,
    band = CASE WHEN excluded.digest = t.digest THEN t.band END,
    abstain_reason = CASE WHEN excluded.digest = t.digest THEN t.abstain_reason END,
    model_version = CASE WHEN excluded.digest = t.digest THEN t.model_version END,
    tokens = CASE WHEN excluded.digest = t.digest THEN t.tokens END,
    truncated = CASE WHEN excluded.digest = t.digest THEN t.truncated END,
    classified_at = CASE WHEN excluded.digest = t.digest THEN t.classified_at END
  -- A whole text of a conversation is one of its messages: it is not stored here.
  WHERE t.forgotten_at IS NULL AND (excluded.revised_at, excluded.arrival) > (t.revised_at, t.arrival)
    AND (excluded.on_reply IS NOT NULL OR t.on_reply IS NULL)
  RETURNING id
)
INSERT INTO search_queue (ticket_id) SELECT id FROM stored
""")


def write_unlabelled(database: Database, rows: Sequence[UnlabelledTicket]) -> frozenset[Identity]:
    """Store tickets without a result, the newest text of each. Raises DatabaseUnavailable (retry) or RowRefused.

    Returns:
        the conversations whose whole text is among the rows. It was not stored: it is a message, as in
        `WindowCounts.late`.
    """
    if not rows:
        return frozenset()
    with database.autocommit() as connection:
        connection.execute(_WRITE, _document(_newest(rows)))
        return find_conversations(connection, {row.identity for row in rows if row.on_reply is None})


def probe_write(database: Database, sample: UnlabelledTicket) -> None:
    """Check whether Postgres refuses every ticket: write a harmless one, and roll back.

    Raises:
        StatementRefused: it does, so no row is at fault.
    """
    ticket = sample.ticket.model_copy(
        update={"source": "triagem", "external_id": "write-probe", "text": "write-probe", "metadata": {}}
    )
    row = replace(sample, ticket=ticket, digest=b"write-probe")
    try:
        with database_errors(), database.engine.connect() as connection, connection.begin() as transaction:
            connection.execute(_WRITE, _document([row]))
            transaction.rollback()
    except RowRefused as error:
        raise StatementRefused(f"Postgres refuses every ticket, including a test ticket: {error}") from None


def _newest(rows: Iterable[UnlabelledTicket]) -> list[UnlabelledTicket]:
    """The newest text of each ticket with the earliest receipt, in the order of locks (INV-12)."""
    newest: dict[Identity, UnlabelledTicket] = {}
    for row in sorted(rows, key=lambda row: row.rank):
        first_receipt = min(row.received_at, newest.get(row.identity, row).received_at)
        newest[row.identity] = replace(row, received_at=first_receipt)
    return [newest[key] for key in sorted(newest)]


def _document(rows: Iterable[UnlabelledTicket]) -> dict[str, str]:
    values = [
        {
            "source": row.ticket.source,
            "external_id": row.ticket.external_id,
            "text": row.ticket.text,
            "digest": row.digest.hex(),
            "revised_at": row.ticket.revised_at,
            "arrival": row.arrival,
            "metadata": row.ticket.metadata,
            "received_at": row.received_at,
            "lane": row.lane,
            "channel": channel_of(row.ticket.metadata),
            "on_reply": row.on_reply,
        }
        for row in rows
    ]
    return {"rows": to_json(values, inf_nan_mode="constants").decode()}


_WAITING: Final = text("""
SELECT EXISTS (SELECT FROM tickets WHERE state = 'unlabelled' AND text IS NOT NULL AND source <> :predict)
""")


def has_unlabelled(database: Database) -> bool:
    """Whether a ticket waits for a model. Texts of `POST /predict` do not: they are deleted soon."""
    return bool(database.scalar_one(_WAITING, {"predict": PREDICT_SOURCE}))
