"""Reads stored predictions for a window of tickets, and stores its results in one statement (`window.sql`).

Stores tickets, predictions, alerts and deliveries to CRMs. A ticket with a stored prediction skips the model.
Results only move forward: a redelivery changes nothing, and an older text or model does not replace the current
result. Workers that write the same tickets lock them in the same order. Tickets that came while there was no model
are stored without a result (`unlabelled.sql`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.resources import files
from typing import Final, TypeVar

from pydantic_core import to_json
from sqlalchemy import text

from triagem.contracts.language import UNDETERMINED
from triagem.contracts.prediction import AbstainReason, Band, Prediction
from triagem.contracts.ticket import PREDICT_SOURCE, Identity, Lane, OnReply, Ticket, channel_of, language_of
from triagem.db.connect import AnyRow, Database
from triagem.db.tickets.messages import find_conversations


@dataclass(slots=True)
class UnlabelledTicket:
    """A ticket ready to store, without a result. `digest` is the SHA-256 of the cleaned text.

    `arrival` orders the entries of the inbox: of two texts with the same `revised_at`, the later one is newer. With
    `on_reply`, the text is composed from the messages of a conversation.
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
    def rank(self) -> tuple[bool, datetime, int, int]:
        """The rank of a row among a ticket's rows in one window: by newest text, then by latest promotion (INV-14).

        A text composed from messages ranks above a whole text, which then came late.
        """
        return self.on_reply is not None, self.ticket.revised_at, self.arrival, 0


@dataclass(slots=True, kw_only=True)
class ClassifiedTicket(UnlabelledTicket):
    """A ticket with its result, ready to store.

    `detected`: the language detected in the text, or `und`. `proved`: whether the version's precision is proved; if
    not, the result creates no alert and is not delivered to a CRM.
    """

    prediction: Prediction
    epoch: int
    classified_at: datetime
    detected: str = UNDETERMINED
    proved: bool = True

    @property
    def language(self) -> str:
        """The language detected in the text; if none is detected, the one that the CRM declares, else `und`."""
        return self.detected if self.detected != UNDETERMINED else language_of(self.ticket.metadata) or UNDETERMINED

    @property
    def rank(self) -> tuple[bool, datetime, int, int]:
        """As in `UnlabelledTicket`."""
        return self.on_reply is not None, self.ticket.revised_at, self.arrival, self.epoch


Row = TypeVar("Row", ClassifiedTicket, UnlabelledTicket)


@dataclass(frozen=True, slots=True)
class WindowCounts:
    """Numbers of new predictions in the history and of new alerts.

    `late`: tickets that became conversations while their whole text was classified. The text was not stored, because
    it must now be stored as a message and composed with the other messages.
    """

    predictions: int
    alerts: int
    late: frozenset[Identity] = frozenset()


def deduplicate(rows: Iterable[Row]) -> list[Row]:
    """One row per identity: the highest rank with the earliest receipt, in (source, external_id) order.

    The merged row is live if any of them is live, because a customer is waiting for the result.

    ON CONFLICT cannot update a row twice in one statement. The order prevents deadlocks: two workers that locked the
    same tickets in opposite orders deadlocked in 15 of 30 windows; in the same order, never.
    """
    best: dict[Identity, Row] = {}
    for row in rows:
        key = row.identity
        if other := best.get(key):
            winner = row if row.rank > other.rank else other
            lane = Lane.LIVE if Lane.LIVE in (row.lane, other.lane) else Lane.BULK
            best[key] = replace(winner, received_at=min(row.received_at, other.received_at), lane=lane)
        else:
            best[key] = row
    return [best[key] for key in sorted(best)]


# OFFSET 0 keeps Postgres from turning the two lookups into joins: before the first ANALYZE it estimates few
# predictions per model, and would read all of them for each window.
_KNOWN: Final = text("""
SELECT i.position, t.on_reply IS NOT NULL AS conversation, p.label, p.confidence, p.probabilities, p.band,
  p.model_version, p.tokens, p.truncated, p.abstain_reason, p.classified_at
FROM json_to_recordset(CAST(:texts AS json)) AS i(source text, external_id text, digest text, position int)
CROSS JOIN LATERAL (
  SELECT id, on_reply FROM tickets WHERE source = i.source AND external_id = i.external_id OFFSET 0
) AS t
LEFT JOIN LATERAL (
  SELECT * FROM predictions
  WHERE ticket_id = t.id AND digest = decode(i.digest, 'hex') AND model_version = :version OFFSET 0
) AS p ON true
WHERE p.ticket_id IS NOT NULL OR t.on_reply IS NOT NULL
""")


def stored_prediction(row: AnyRow) -> Prediction:
    """The prediction in a row with the columns of `predictions`."""
    return Prediction(
        row.label, row.confidence, row.probabilities, Band(row.band), row.model_version, row.tokens, row.truncated,
        row.abstain_reason and AbstainReason(row.abstain_reason),
    )  # fmt: skip


def look_up(
    database: Database, texts: Sequence[tuple[str, str, bytes]], version: str
) -> tuple[dict[int, tuple[Prediction, datetime]], frozenset[int]]:
    """Look up a version's predictions for texts (source, external_id, digest).

    Returns:
        Stored predictions with their times, and the tickets that are conversations, by position in the texts.
    """
    if not texts:
        return {}, frozenset()
    keys = [
        {"source": source, "external_id": external_id, "digest": digest.hex(), "position": position}
        for position, (source, external_id, digest) in enumerate(texts)
    ]
    rows = database.rows(_KNOWN, texts=to_json(keys).decode(), version=version)
    predictions = {row.position: (stored_prediction(row), row.classified_at) for row in rows if row.label is not None}
    return predictions, frozenset(row.position for row in rows if row.conversation)


# Reads one JSON document: psycopg encodes arrays in Python, value by value, which took as long as the work in
# Postgres. With JSON instead of arrays, a row took 75 µs instead of 190 µs in windows of 1,024 rows, and no longer in
# windows of 32.
_WRITE: Final = text(files("triagem.db.tickets").joinpath("window.sql").read_text(encoding="utf-8"))
_WRITE_UNLABELLED: Final = text(files("triagem.db.tickets").joinpath("unlabelled.sql").read_text(encoding="utf-8"))


def write_window(database: Database, rows: Sequence[ClassifiedTicket]) -> WindowCounts:
    """Deduplicate and store a window. Raises DatabaseUnavailable (retry the window) or RowRefused (a bad row)."""
    window = deduplicate(rows)
    if not window:
        return WindowCounts(0, 0)
    with database.autocommit() as connection:
        predictions, alerts, stored = connection.execute(_WRITE, _results(window)).one()
        composed = {row.identity for row in window if row.on_reply is not None}
        late = {row.identity for row in rows if composed and row.on_reply is None} & composed
        if stored < len(window):  # tombstones and conversations
            late |= find_conversations(connection, [row.identity for row in window if row.on_reply is None])
    return WindowCounts(predictions, alerts, frozenset(late))


def write_unlabelled(database: Database, rows: Sequence[UnlabelledTicket]) -> frozenset[Identity]:
    """Store tickets without a result, the newest text of each. Raises DatabaseUnavailable (retry) or RowRefused.

    Returns:
        the conversations whose whole text is among the rows, as in `WindowCounts.late`.
    """
    if not rows:
        return frozenset()
    with database.autocommit() as connection:
        connection.execute(_WRITE_UNLABELLED, _document([_text_values(row) for row in deduplicate(rows)]))
        return find_conversations(connection, {row.identity for row in rows if row.on_reply is None})


def probe_write(database: Database, sample: ClassifiedTicket | UnlabelledTicket) -> None:
    """Check whether Postgres refuses every ticket: write a harmless one, with `sample`'s prediction if it has one.

    Raises:
        StatementRefused: Postgres refuses every ticket, so no row of a refused window is at fault.
    """
    ticket = sample.ticket.model_copy(
        update={"source": "triagem", "external_id": "write-probe", "text": "write-probe", "metadata": {}}
    )
    row = replace(sample, ticket=ticket, digest=b"write-probe")
    with database.probe("ticket, including a test ticket") as connection:
        if isinstance(row, ClassifiedTicket):
            connection.execute(_WRITE, _results([row]))
        else:
            connection.execute(_WRITE_UNLABELLED, _document([_text_values(row)]))


def prediction_values(prediction: Prediction, classified_at: datetime) -> dict[str, object]:
    """The columns of a prediction, for a JSON document of rows."""
    return {
        "label": prediction.label, "confidence": prediction.confidence,
        "probabilities": dict(prediction.probabilities), "band": str(prediction.band),
        "model_version": prediction.model_version, "tokens": prediction.tokens, "truncated": prediction.truncated,
        "abstain_reason": prediction.abstain_reason, "classified_at": classified_at,
    }  # fmt: skip


def _text_values(row: ClassifiedTicket | UnlabelledTicket) -> dict[str, object]:
    ticket = row.ticket
    return {
        "source": ticket.source, "external_id": ticket.external_id, "text": ticket.text, "digest": row.digest.hex(),
        "revised_at": ticket.revised_at, "arrival": row.arrival, "metadata": ticket.metadata,
        # `str`: to_json takes 1 µs for a member of an enumeration, a third of the time of all other values together.
        "received_at": row.received_at, "lane": str(row.lane), "channel": channel_of(ticket.metadata),
        "on_reply": row.on_reply,
    }  # fmt: skip


def _results(window: Iterable[ClassifiedTicket]) -> dict[str, str]:
    rows = [
        {
            **_text_values(row), **prediction_values(row.prediction, row.classified_at),
            "epoch": row.epoch, "proved": row.proved, "language": row.language,
        }
        for row in window
    ]  # fmt: skip
    return _document(rows) | {"predict": PREDICT_SOURCE}


def _document(rows: Sequence[dict[str, object]]) -> dict[str, str]:
    return {"rows": to_json(rows, inf_nan_mode="constants").decode()}


_HAS_UNLABELLED: Final = text("""
SELECT EXISTS (SELECT FROM tickets WHERE state = 'unlabelled' AND text IS NOT NULL AND source <> :predict)
""")


def has_unlabelled(database: Database) -> bool:
    """Whether a ticket waits for a model. Texts of `POST /predict` do not: they are deleted soon."""
    return bool(database.scalar_one(_HAS_UNLABELLED, predict=PREDICT_SOURCE))
