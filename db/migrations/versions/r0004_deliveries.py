"""Delivery outbox: results for CRMs, and the targets that receive them."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "result_targets",
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("target", name="pk_result_targets"),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text(), server_default="result", nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("ticket_id", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("review_id", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("leased_until", sa.DateTime(timezone=True)),
        sa.Column("state", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.Column("last_error", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_deliveries"),
        sa.ForeignKeyConstraint(["ticket_id"], ["tickets.id"], name="fk_deliveries_ticket_id", ondelete="CASCADE"),
        sa.UniqueConstraint(
            "ticket_id", "digest", "model_version", "review_id", "target", name="uq_deliveries_answer"
        ),
        sa.CheckConstraint("state IN ('waiting', 'delivered', 'failed', 'superseded')", name="ck_deliveries_state"),
    )
    op.create_index(
        "ix_deliveries_due", "deliveries", ["target", "next_at"], postgresql_where=sa.text("state = 'waiting'")
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON result_targets, deliveries TO triagem_writer")


def downgrade() -> None:
    op.drop_table("deliveries")
    op.drop_table("result_targets")
