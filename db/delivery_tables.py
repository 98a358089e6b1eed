"""The tables of what goes back to CRMs."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint, func
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base


class ResultTarget(Base):
    """Who is told the results of a source's live tickets, as TRIAGEM_CRM_FILE says; `triagem ops` keeps it so."""

    __tablename__ = "result_targets"

    target: Mapped[str] = mapped_column(primary_key=True)
    source: Mapped[str]


class Delivery(Base):
    """The outbox of what goes back to CRMs: one answer to one text for one target, `[shop.callback]` of the CRM file.

    `review_id` is the verdict that changed the answer, negative where it was taken back, 0 where there is none. At
    `next_at` it is due; until `leased_until` a worker has it in hand.
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        UniqueConstraint("ticket_id", "digest", "model_version", "review_id", "target", name="uq_deliveries_answer"),
        CheckConstraint("state IN ('waiting', 'delivered', 'gave-up', 'overtaken')", name="state"),
        Index("ix_deliveries_due", "target", "next_at", postgresql_where=sql("state = 'waiting'")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    kind: Mapped[str] = mapped_column(server_default="result")
    target: Mapped[str]
    ticket_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("tickets.id", ondelete="CASCADE"))
    digest: Mapped[bytes]
    model_version: Mapped[str]
    review_id: Mapped[int] = mapped_column(BigInteger, server_default=sql("0"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    attempts: Mapped[int] = mapped_column(server_default=sql("0"))
    next_at: Mapped[datetime] = mapped_column(server_default=func.now())
    leased_until: Mapped[datetime | None]
    state: Mapped[str] = mapped_column(server_default="waiting")
    settled_at: Mapped[datetime | None]
    last_error: Mapped[str | None]
