"""The tables. People who query read the views (`docs/sql.md`), which stay stable and hold no texts."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    REAL,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    UniqueConstraint,
    func,
)
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import Text

from triagem.db.base import Base
from triagem.db.console_tables import ConsoleSession, SearchDue, TicketWords
from triagem.db.delivery_tables import AlertLine, AlertTarget, Delivery, ResultTarget, WatchRow
from triagem.db.run_tables import ReclassifyRun, RunChange

__all__ = [
    "AlertLine", "AlertTarget", "Base", "ConsoleSession", "Delivery", "ReclassifyRun", "ResultTarget", "RunChange",
    "SearchDue", "TicketWords", "WatchRow",
]  # fmt: skip


class Ticket(Base):
    """One message's newest revision, with its current result beside it so that a query needs one table.

    The result columns move forward only: by (`revised_at`, `digest`, `epoch`). After `forgotten_at` nothing
    is written again: a redelivered entry must not bring back what a customer asked us to delete.
    """

    __tablename__ = "tickets"
    __table_args__ = (
        UniqueConstraint("source", "external_id"),
        Index("ix_tickets_newest", sql("received_at DESC"), sql("id DESC")),
        Index("ix_tickets_least_sure", "confidence", "id"),
        Index("ix_tickets_day", sql("((received_at AT TIME ZONE 'UTC')::date)"), postgresql_using="brin"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    source: Mapped[str]
    external_id: Mapped[str]
    text: Mapped[str | None]
    digest: Mapped[bytes]
    revised_at: Mapped[datetime]
    received_at: Mapped[datetime]
    details: Mapped[dict[str, Any]] = mapped_column("metadata", server_default=sql("'{}'"))
    forgotten_at: Mapped[datetime | None]
    label: Mapped[str]
    confidence: Mapped[float]
    probabilities: Mapped[dict[str, Any]]
    band: Mapped[str]
    model_version: Mapped[str]
    epoch: Mapped[int] = mapped_column(BigInteger)
    tokens: Mapped[int]
    truncated: Mapped[bool]
    classified_at: Mapped[datetime]


class Prediction(Base):
    """What one model version said of one text of one ticket: written once; only `band`, which is no word of the
    model's, changes with the ticket's own (`triagem.db.rejudge`), and a run by force says it anew.

    `waited_s`: of a live ticket, the seconds from its put to the statement that wrote this row; else none.
    """

    __tablename__ = "predictions"
    __table_args__ = (Index("ix_predictions_live", "classified_at", postgresql_where=sql("waited_s IS NOT NULL")),)

    ticket_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("tickets.id", ondelete="CASCADE"), primary_key=True)
    digest: Mapped[bytes] = mapped_column(primary_key=True)
    model_version: Mapped[str] = mapped_column(primary_key=True)
    label: Mapped[str]
    confidence: Mapped[float]
    probabilities: Mapped[dict[str, Any]]
    band: Mapped[str]
    tokens: Mapped[int]
    truncated: Mapped[bool]
    classified_at: Mapped[datetime]
    waited_s: Mapped[float | None] = mapped_column(REAL())


class Alert(Base):
    """The outbox: a doubtful live result, written in the statement that writes the result; or, with another `kind`
    and without a ticket, what the system has to tell (drift, retraining due), once a `key`.

    At `matched_at` the rules were asked who is to hear of it; at `delivered_at` somebody first had heard of it.
    """

    __tablename__ = "alerts"
    __table_args__ = (
        UniqueConstraint("ticket_id", "digest", "model_version"),
        UniqueConstraint("kind", "key"),
        Index("ix_alerts_undelivered", "id", postgresql_where=sql("delivered_at IS NULL")),
        Index("ix_alerts_unmatched", "id", postgresql_where=sql("matched_at IS NULL")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    kind: Mapped[str] = mapped_column(server_default="low-confidence")
    key: Mapped[str | None]
    detail: Mapped[dict[str, Any] | None]
    ticket_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("tickets.id", ondelete="CASCADE"))
    digest: Mapped[bytes | None]
    model_version: Mapped[str | None]
    band: Mapped[str | None]
    confidence: Mapped[float | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    matched_at: Mapped[datetime | None]
    delivered_at: Mapped[datetime | None]


class Review(Base):
    """A person's verdict on one text of a ticket. The latest of a text is its effective label, whatever runs say.

    Without a label it is "unclear". `stratum`, `inclusion` and what the model said are the draw's that asked, as it
    was then; a verdict that nobody asked for has none of them.
    """

    __tablename__ = "reviews"
    __table_args__ = (Index("ix_reviews_latest", "ticket_id", "digest", sql("id DESC")),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    ticket_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("tickets.id", ondelete="CASCADE"))
    digest: Mapped[bytes]
    label: Mapped[str | None]
    reviewer: Mapped[str]
    reviewed_at: Mapped[datetime] = mapped_column(server_default=func.now())
    stratum: Mapped[str | None]
    inclusion: Mapped[float | None]
    model_version: Mapped[str | None]
    model_label: Mapped[str | None]


class ReviewDraw(Base):
    """A text that a person was, or is to be, asked about, as one version classified it. Two never hold one at once.

    In the stratum `random` it was drawn by lot, among texts received from `since` on: it would have been if its lot
    was under `inclusion`. `triagem.db.draws` draws, `triagem.db.estimate` makes probabilities of it.
    """

    __tablename__ = "review_draws"
    __table_args__ = (
        CheckConstraint("stratum IN ('unsure', 'random')", name="stratum"),
        CheckConstraint("(stratum = 'random') = (inclusion IS NOT NULL AND since IS NOT NULL)", name="by_lot"),
        CheckConstraint("inclusion > 0 AND inclusion <= 1", name="inclusion"),
    )

    ticket_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("tickets.id", ondelete="CASCADE"), primary_key=True)
    digest: Mapped[bytes] = mapped_column(primary_key=True)
    model_version: Mapped[str] = mapped_column(primary_key=True)
    model_label: Mapped[str]
    stratum: Mapped[str]
    inclusion: Mapped[float | None]
    since: Mapped[datetime | None]
    drawn_at: Mapped[datetime] = mapped_column(server_default=func.now())
    leased_by: Mapped[str | None]
    leased_until: Mapped[datetime | None]


class Sample(Base):
    """A classified text's embedding, as the model that classified it sees it; of few tickets, to notice drift."""

    __tablename__ = "samples"
    __table_args__ = (
        UniqueConstraint("ticket_id", "digest", "model_version"),
        Index("ix_samples_model_version_id", "model_version", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    ticket_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("tickets.id", ondelete="CASCADE"))
    digest: Mapped[bytes]
    model_version: Mapped[str]
    embedding: Mapped[list[float]] = mapped_column(ARRAY(REAL()))
    label: Mapped[str]
    confidence: Mapped[float]
    tokens: Mapped[int]
    lang: Mapped[str] = mapped_column(server_default="")
    sampled_at: Mapped[datetime] = mapped_column(server_default=func.now())


class DriftReport(Base):
    """One comparison of recent samples with a version's reference. `detail` holds each test's figures."""

    __tablename__ = "drift_reports"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    model_version: Mapped[str]
    made_at: Mapped[datetime] = mapped_column(server_default=func.now())
    drifted: Mapped[bool]
    rows: Mapped[int]
    reference_rows: Mapped[int]
    detail: Mapped[dict[str, Any]]


class DeadLetter(Base):
    """An entry that no worker can read, kept byte for byte so that it can be looked at and replayed."""

    __tablename__ = "dead_letters"
    __table_args__ = (UniqueConstraint("lane", "entry_id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    lane: Mapped[str]
    entry_id: Mapped[str]
    payload: Mapped[bytes]
    reason: Mapped[str]
    attempts: Mapped[int] = mapped_column(server_default=sql("1"))
    died_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ApiKeyRow(Base):
    """A key to the gateway: the SHA-256 of its secret, and what it is good for."""

    __tablename__ = "api_keys"
    __table_args__ = (UniqueConstraint("hash"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    name: Mapped[str]
    hash: Mapped[bytes]
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text()))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    revoked_at: Mapped[datetime | None]


# All tables emptied, for tests and benchmarks on databases of their own.
EMPTY_ALL: Final = sql(f"TRUNCATE {', '.join(Base.metadata.tables)} RESTART IDENTITY")
