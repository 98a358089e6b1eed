"""The tables of what is sent: results back to CRMs, and messages about alerts to people.
And what window alerts remember."""

from datetime import datetime

from sqlalchemy import BigInteger, Boolean, CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint, func
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from triagem.db.base import Base


class ResultTarget(Base):
    """Who is told the results of a source's live tickets, as TRIAGEM_CRM_FILE says; `triagem ops` keeps it so."""

    __tablename__ = "result_targets"

    target: Mapped[str] = mapped_column(primary_key=True)
    source: Mapped[str]


class Delivery(Base):
    """The outbox of what is sent. Of the kind `result`: one answer to one text for one target, `[shop.callback]` of
    the CRM file. Of the kind `alert`: a message about alerts (its `alert_lines`) for a rule's channel, no ticket.

    `review_id` is the verdict that changed the answer, negative where it was taken back, 0 where there is none. At
    `next_at` it is due; until `leased_until` a worker has it in hand.
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        UniqueConstraint("ticket_id", "digest", "model_version", "review_id", "target", name="uq_deliveries_answer"),
        CheckConstraint("state IN ('waiting', 'delivered', 'gave-up', 'overtaken')", name="state"),
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
    settled_at: Mapped[datetime | None]
    last_error: Mapped[str | None]


class AlertTarget(Base):
    """When a message about alerts was last made for a rule's channel, `doubtful.team`."""

    __tablename__ = "alert_targets"

    target: Mapped[str] = mapped_column(primary_key=True)
    told_at: Mapped[datetime] = mapped_column(server_default=func.now())


class AlertLine(Base):
    """An alert that a rule's channel is to hear of, and in which message it does; none yet while it waits for one."""

    __tablename__ = "alert_lines"
    __table_args__ = (
        Index("ix_alert_lines_waiting", "target", postgresql_where=sql("delivery_id IS NULL")),
        Index("ix_alert_lines_delivery_id", "delivery_id"),
    )

    alert_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("alerts.id", ondelete="CASCADE"), primary_key=True)
    target: Mapped[str] = mapped_column(primary_key=True)
    delivery_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("deliveries.id", ondelete="CASCADE"))


class WatchRow(Base):
    """What is remembered of a window alert's kind; see `triagem.db.watch.Watch`."""

    __tablename__ = "watches"

    kind: Mapped[str] = mapped_column(primary_key=True)
    open_since: Mapped[datetime | None]
    recent: Mapped[list[bool]] = mapped_column(ARRAY(Boolean()))
    looked_at: Mapped[datetime]
    bad_at: Mapped[datetime | None]
