"""Reclassification runs and their result for each ticket. No texts; accessible to writers only."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_KINDS = "kind IN ('classify', 'apply')"
_STATES = "state IN ('running', 'paused', 'done', 'cancelled')"
_COUNTS = ("put", "done", "unchanged", "changed", "gone", "failed", "flips")


def _time(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True))


def upgrade() -> None:
    op.create_table(
        "reclassify_runs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("shadow", sa.Boolean(), nullable=False),
        sa.Column("force", sa.Boolean(), nullable=False),
        sa.Column("notify_flips", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("filters", JSONB(), nullable=False),
        sa.Column("max_tickets", sa.BigInteger()),
        sa.Column("pause_hour", sa.Text()),
        _time("pause_at"),
        sa.Column("first_id", sa.BigInteger(), nullable=False),
        sa.Column("last_id", sa.BigInteger(), nullable=False),
        sa.Column("cursor", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), server_default="0", nullable=False) for name in _COUNTS),
        sa.Column("rate", sa.Double(), server_default="0", nullable=False),
        sa.Column("measured_count", sa.BigInteger(), server_default="0", nullable=False),
        _time("measured_at"),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        _time("finished_at"),
        sa.PrimaryKeyConstraint("id", name="pk_reclassify_runs"),
        sa.CheckConstraint(_KINDS, name="ck_reclassify_runs_kind"),
        sa.CheckConstraint(_STATES, name="ck_reclassify_runs_state"),
    )
    active = sa.text("state IN ('running', 'paused')")
    op.create_index(
        "ix_reclassify_runs_active", "reclassify_runs", [sa.text("(true)")], unique=True, postgresql_where=active
    )
    op.create_table(
        "run_changes",
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "ticket_id",
            sa.BigInteger(),
            sa.ForeignKey("tickets.id", name="fk_run_changes_ticket_id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("outcome", sa.Text(), nullable=False),
        *(
            sa.Column(f"{when}_{column}", kind)
            for when in ("before", "after")
            for column, kind in (("label", sa.Text()), ("confidence", sa.Double()), ("band", sa.Text()))
        ),
        sa.PrimaryKeyConstraint("run_id", "ticket_id", name="pk_run_changes"),
    )
    # For `forget`, which deletes the rows of one ticket.
    op.create_index("ix_run_changes_ticket_id", "run_changes", ["ticket_id"])
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON reclassify_runs, run_changes TO triagem_writer")


def downgrade() -> None:
    op.drop_table("run_changes")
    op.drop_table("reclassify_runs")
