"""All tables. Analysts read the views (`docs/sql.md`), which stay stable and contain no texts."""

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
from triagem.db.console_tables import ConsoleSessionRow, SearchQueueRow, TicketLexemesRow
from triagem.db.delivery_tables import (
    AlertNotificationRow,
    AlertSubscriptionRow,
    DeliveryRow,
    MonitorStateRow,
    ResultTargetRow,
)
from triagem.db.run_tables import ReclassifyRunRow, RunChangeRow

__all__ = [
    "AlertNotificationRow", "AlertSubscriptionRow", "Base", "ConsoleSessionRow", "DeliveryRow", "MonitorStateRow",
    "ReclassifyRunRow", "ResultTargetRow", "RunChangeRow", "SearchQueueRow", "TicketLexemesRow",
]  # fmt: skip


class TicketRow(Base):
    """The newest revision of a message and its current result, in one table so that queries need no join.

    The result columns only move forward, ordered by (`revised_at`, `digest`, `epoch`). Once `forgotten_at` is set,
    nothing is written: a redelivered entry must not restore what a customer asked us to delete.
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


class PredictionRow(Base):
    """The prediction of one model version for one text of one ticket. Written once, with two exceptions.

    `band` changes with the ticket's own (`triagem.db.reband`), and a run with `force` replaces the prediction.
    `latency_s`: seconds from put to the statement that wrote this row; live tickets only.
    """

    __tablename__ = "predictions"
    __table_args__ = (Index("ix_predictions_live", "classified_at", postgresql_where=sql("latency_s IS NOT NULL")),)

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
    latency_s: Mapped[float | None] = mapped_column(REAL())


class AlertRow(Base):
    """A doubtful live result, written by the same statement as the result; or a system alert (drift, retraining due),
    with another `kind`, without a ticket, and at most one per `key`.

    `matched_at`: when it was matched with the subscriptions. `delivered_at`: when it was first delivered.
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


class ReviewRow(Base):
    """A person's label for one text of a ticket. The latest review of a text is its effective label, also after runs.

    Without a label it is "unclear". `stratum`, `inclusion`, `model_version` and `model_label` are copied from the
    review draw; a review that was not requested has none of them.
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


class ReviewDrawRow(Base):
    """A text selected for review, as one version classified it; leased to at most one reviewer at a time.

    In the stratum `random` it was sampled among texts received from `since` on, because its rank was below
    `inclusion`. `triagem.db.review_sampling` selects, `triagem.db.accuracy` computes the probabilities.
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


class SampleRow(Base):
    """The embedding of a classified text by the model that classified it; of few tickets, to detect drift."""

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


class DriftReportRow(Base):
    """A comparison of recent samples with a version's reference. `detail` contains the statistics of each test."""

    __tablename__ = "drift_reports"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    model_version: Mapped[str]
    made_at: Mapped[datetime] = mapped_column(server_default=func.now())
    drifted: Mapped[bool]
    rows: Mapped[int]
    reference_rows: Mapped[int]
    detail: Mapped[dict[str, Any]]


class DeadLetterRow(Base):
    """An entry that no worker can process, stored byte for byte for inspection and replay."""

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
    """A gateway API key: the SHA-256 of its secret, and its scopes."""

    __tablename__ = "api_keys"
    __table_args__ = (UniqueConstraint("hash"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    name: Mapped[str]
    hash: Mapped[bytes]
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text()))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    revoked_at: Mapped[datetime | None]


# Empties all tables, for tests and benchmarks with their own database.
TRUNCATE_ALL: Final = sql(f"TRUNCATE {', '.join(Base.metadata.tables)} RESTART IDENTITY")
