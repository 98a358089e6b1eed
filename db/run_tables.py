"""Tables of reclassification runs: classify stored tickets again, or apply another version's stored predictions."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, func
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from triagem.db.base import Base


class ReclassifyRunRow(Base):
    """One run: settings, progress (`cursor` within `first_id`..`last_id`) and counts of its tickets by outcome.

    `put`: put on the bulk lane. Outcomes: `done` (classified), `unchanged` (the version already had a prediction),
    `changed` (the ticket has another text now), `gone` (it has no text), `failed` (a dead letter).
    `rate`: tickets per second, measured since `measured_count` tickets were processed at `measured_at`.
    """

    __tablename__ = "reclassify_runs"
    __table_args__ = (
        CheckConstraint("kind IN ('classify', 'apply')", name="kind"),
        CheckConstraint("state IN ('running', 'paused', 'done', 'cancelled')", name="state"),
        # At most one run is active.
        Index(
            "ix_reclassify_runs_active",
            sql("(true)"),
            unique=True,
            postgresql_where=sql("state IN ('running', 'paused')"),
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    kind: Mapped[str]
    state: Mapped[str]
    reason: Mapped[str] = mapped_column(server_default="")
    version: Mapped[str]
    epoch: Mapped[int] = mapped_column(BigInteger)
    shadow: Mapped[bool]
    force: Mapped[bool]
    notify_flips: Mapped[bool] = mapped_column(server_default=sql("false"))
    filters: Mapped[dict[str, Any]]
    max_tickets: Mapped[int | None] = mapped_column(BigInteger)
    pause_hour: Mapped[str | None]
    pause_at: Mapped[datetime | None]
    first_id: Mapped[int] = mapped_column(BigInteger)
    last_id: Mapped[int] = mapped_column(BigInteger)
    cursor: Mapped[int] = mapped_column(BigInteger)
    put: Mapped[int] = mapped_column(BigInteger, server_default="0")
    done: Mapped[int] = mapped_column(BigInteger, server_default="0")
    unchanged: Mapped[int] = mapped_column(BigInteger, server_default="0")
    changed: Mapped[int] = mapped_column(BigInteger, server_default="0")
    gone: Mapped[int] = mapped_column(BigInteger, server_default="0")
    failed: Mapped[int] = mapped_column(BigInteger, server_default="0")
    flips: Mapped[int] = mapped_column(BigInteger, server_default="0")
    rate: Mapped[float] = mapped_column(server_default="0")
    measured_count: Mapped[int] = mapped_column(BigInteger, server_default="0")
    measured_at: Mapped[datetime | None]
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]


class RunChangeRow(Base):
    """A run's result for one ticket and the ticket's result before it; written once, also on redelivery."""

    __tablename__ = "run_changes"
    __table_args__ = (Index("ix_run_changes_ticket_id", "ticket_id"),)

    # No foreign key: each row of a window would lock the run's row, whose counters all workers update.
    run_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    ticket_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("tickets.id", ondelete="CASCADE"), primary_key=True)
    outcome: Mapped[str]
    before_label: Mapped[str | None]
    before_confidence: Mapped[float | None]
    before_band: Mapped[str | None]
    after_label: Mapped[str | None]
    after_confidence: Mapped[float | None]
    after_band: Mapped[str | None]
