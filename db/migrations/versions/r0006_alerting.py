"""Alerts are told: which of them go where, and messages about several of them in the outbox;
and what window alerts look at and remember."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_OF_A_RESULT = ("ticket_id", "digest", "model_version")


def upgrade() -> None:
    # Until here nothing was told: what stands in `alerts` is asked about once there are rules.
    op.add_column("alerts", sa.Column("matched_at", sa.DateTime(timezone=True)))
    op.create_index("ix_alerts_unmatched", "alerts", ["id"], postgresql_where=sa.text("matched_at IS NULL"))
    for name in _OF_A_RESULT:
        op.alter_column("deliveries", name, nullable=True)
    op.create_check_constraint(
        op.f("ck_deliveries_about"), "deliveries", "(kind = 'result') = (ticket_id IS NOT NULL)"
    )
    op.create_table(
        "alert_targets",
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("target", name="pk_alert_targets"),
    )
    op.create_table(
        "alert_lines",
        sa.Column("alert_id", sa.BigInteger(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("delivery_id", sa.BigInteger()),
        sa.PrimaryKeyConstraint("alert_id", "target", name="pk_alert_lines"),
        sa.ForeignKeyConstraint(["alert_id"], ["alerts.id"], name="fk_alert_lines_alert_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["deliveries.id"], name="fk_alert_lines_delivery_id", ondelete="CASCADE"
        ),
    )
    op.create_index(
        "ix_alert_lines_waiting", "alert_lines", ["target"], postgresql_where=sa.text("delivery_id IS NULL")
    )
    op.create_index("ix_alert_lines_delivery_id", "alert_lines", ["delivery_id"])
    op.create_table(
        "watches",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("open_since", sa.DateTime(timezone=True)),
        sa.Column("recent", ARRAY(sa.Boolean()), nullable=False),
        sa.Column("looked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("bad_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("kind", name="pk_watches"),
    )
    # Live tickets are told apart by it, and nightly runs cost this index nothing.
    op.add_column("predictions", sa.Column("waited_s", sa.REAL()))
    live = sa.text("waited_s IS NOT NULL")
    op.create_index("ix_predictions_live", "predictions", ["classified_at"], postgresql_where=live)
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON alert_targets, alert_lines, watches TO triagem_writer")


def downgrade() -> None:
    op.drop_column("predictions", "waited_s")
    op.drop_table("watches")
    op.drop_table("alert_lines")
    op.drop_table("alert_targets")
    op.execute("DELETE FROM deliveries WHERE ticket_id IS NULL")
    op.drop_constraint(op.f("ck_deliveries_about"), "deliveries")
    for name in _OF_A_RESULT:
        op.alter_column("deliveries", name, nullable=False)
    op.drop_column("alerts", "matched_at")
