"""Tables of the delivery outbox (results for CRMs, alert digests for people) and of the monitor's state."""

from datetime import datetime

from sqlalchemy import BigInteger, Boolean, CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint, func
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from triagem.db.base import Base


class ResultTargetRow(Base):
    """A target that receives results of a source's live tickets; `triagem ops` copies it from TRIAGEM_CRM_FILE."""

    __tablename__ = "result_targets"

    target: Mapped[str] = mapped_column(primary_key=True)
    source: Mapped[str]


class DeliveryRow(Base):
    """A message in the outbox. Kind `result`: the result of one text for one target, such as `[shop.callback]` of the
    CRM file. Kind `alert`: a digest of alerts (its `alert_notifications`) for a rule's channel, without a ticket.

    `review_id` is the review that changed the result, negative if it was undone, 0 if there is none. The delivery is
    due at `next_at` and leased to a worker until `leased_until`.
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        UniqueConstraint("ticket_id", "digest", "model_version", "review_id", "target", name="uq_deliveries_answer"),
        CheckConstraint("state IN ('waiting', 'delivered', 'failed', 'superseded')", name="state"),
        CheckConstraint("(kind = 'result') = (ticket_id IS NOT NULL)", name="about"),
        Index("ix_deliveries_due", "target", "next_at", postgresql_where=sql("state = 'waiting'")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    kind: Mapped[str] = mapped_column(server_default="result")
    target: Mapped[str]
    ticket_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("tickets.id", ondelete="CASCADE"))
    digest: Mapped[bytes | None]
    model_version: Mapped[str | None]
    review_id: Mapped[int] = mapped_column(BigInteger, server_default=sql("0"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    attempts: Mapped[int] = mapped_column(server_default=sql("0"))
    next_at: Mapped[datetime] = mapped_column(server_default=func.now())
    leased_until: Mapped[datetime | None]
    state: Mapped[str] = mapped_column(server_default="waiting")
    finished_at: Mapped[datetime | None]
    last_error: Mapped[str | None]


class AlertSubscriptionRow(Base):
    """Time of the last digest for the channel of a rule, such as `doubtful.team`."""

    __tablename__ = "alert_subscriptions"

    target: Mapped[str] = mapped_column(primary_key=True)
    last_digest_at: Mapped[datetime] = mapped_column(server_default=func.now())


class AlertNotificationRow(Base):
    """An alert for the channel of a rule, and the digest that contains it; NULL until one is created."""

    __tablename__ = "alert_notifications"
    __table_args__ = (
        Index("ix_alert_notifications_pending", "target", postgresql_where=sql("delivery_id IS NULL")),
        Index("ix_alert_notifications_delivery_id", "delivery_id"),
    )

    alert_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("alerts.id", ondelete="CASCADE"), primary_key=True)
    target: Mapped[str] = mapped_column(primary_key=True)
    delivery_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("deliveries.id", ondelete="CASCADE"))


class MonitorStateRow(Base):
    """State of one monitored alert kind; see `triagem.db.monitoring.MonitorState`."""

    __tablename__ = "monitor_states"

    kind: Mapped[str] = mapped_column(primary_key=True)
    open_since: Mapped[datetime | None]
    recent: Mapped[list[bool]] = mapped_column(ARRAY(Boolean()))
    checked_at: Mapped[datetime]
    last_bad_at: Mapped[datetime | None]
