"""The tables of runs over stored tickets: classified again, or pointed at what another version said of them."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, func
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from triagem.db.base import Base


class ReclassifyRun(Base):
    """One run: what it is about, how far it is (`cursor` of `first_id`..`last_id`), and what became of its tickets.

    `put` counts tickets that were put on the bulk lane, the others what became of them: `done` was computed,
    `unchanged` had been said before, `changed` has another text by now, `gone` has none, `failed` is a dead letter.
    """

    __tablename__ = "reclassify_runs"
    __table_args__ = (
        CheckConstraint("kind IN ('classify', 'apply')", name="kind"),
        CheckConstraint("state IN ('running', 'paused', 'done', 'cancelled')", name="state"),
        # At most one of them is active.
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
    why: Mapped[str] = mapped_column(server_default="")
    version: Mapped[str]
    epoch: Mapped[int] = mapped_column(BigInteger)
    shadow: Mapped[bool]
    force: Mapped[bool]
    tell_flips: Mapped[bool] = mapped_column(server_default=sql("false"))
    filters: Mapped[dict[str, Any]]
    most: Mapped[int | None] = mapped_column(BigInteger)
    until: Mapped[str | None]
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
    measured: Mapped[int] = mapped_column(BigInteger, server_default="0")
    measured_at: Mapped[datetime | None]
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]


class RunChange(Base):
    """What a run said of one ticket, and what was current before: once, however often the ticket is delivered."""

    __tablename__ = "run_changes"
    __table_args__ = (Index("ix_run_changes_ticket_id", "ticket_id"),)

    # No foreign key: each row of a window would lock the run's row, in which all workers count.
    run_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    ticket_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("tickets.id", ondelete="CASCADE"), primary_key=True)
    outcome: Mapped[str]
    before_label: Mapped[str | None]
    before_confidence: Mapped[float | None]
    before_band: Mapped[str | None]
    after_label: Mapped[str | None]
    after_confidence: Mapped[float | None]
    after_band: Mapped[str | None]
