"""Alert delivery: subscriptions, notifications, digests in the outbox, and the monitor's state."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_OF_A_RESULT = ("ticket_id", "digest", "model_version")


def upgrade() -> None:
    # Alerts from before this revision are unmatched: they are matched once there are rules.
    op.add_column("alerts", sa.Column("matched_at", sa.DateTime(timezone=True)))
    op.create_index("ix_alerts_unmatched", "alerts", ["id"], postgresql_where=sa.text("matched_at IS NULL"))
    for name in _OF_A_RESULT:
        op.alter_column("deliveries", name, nullable=True)
    op.create_check_constraint(
        op.f("ck_deliveries_about"), "deliveries", "(kind = 'result') = (ticket_id IS NOT NULL)"
    )
    op.create_table(
        "alert_subscriptions",
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("last_digest_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("target", name="pk_alert_subscriptions"),
    )
    op.create_table(
        "alert_notifications",
        sa.Column("alert_id", sa.BigInteger(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("delivery_id", sa.BigInteger()),
        sa.PrimaryKeyConstraint("alert_id", "target", name="pk_alert_notifications"),
        sa.ForeignKeyConstraint(
            ["alert_id"], ["alerts.id"], name="fk_alert_notifications_alert_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["deliveries.id"], name="fk_alert_notifications_delivery_id", ondelete="CASCADE"
        ),
    )
    op.create_index(
        "ix_alert_notifications_pending",
        "alert_notifications",
        ["target"],
        postgresql_where=sa.text("delivery_id IS NULL"),
    )
    op.create_index("ix_alert_notifications_delivery_id", "alert_notifications", ["delivery_id"])
    op.create_table(
        "monitor_states",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("open_since", sa.DateTime(timezone=True)),
        sa.Column("recent", ARRAY(sa.Boolean()), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_bad_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("kind", name="pk_monitor_states"),
    )
    # Set for live tickets only: reclassification runs add nothing to this index.
    op.add_column("predictions", sa.Column("latency_s", sa.REAL()))
    live = sa.text("latency_s IS NOT NULL")
    op.create_index("ix_predictions_live", "predictions", ["classified_at"], postgresql_where=live)
    op.execute(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON alert_subscriptions, alert_notifications, monitor_states"
        " TO triagem_writer"
    )


def downgrade() -> None:
    op.drop_column("predictions", "latency_s")
    op.drop_table("monitor_states")
    op.drop_table("alert_notifications")
    op.drop_table("alert_subscriptions")
    op.execute("DELETE FROM deliveries WHERE ticket_id IS NULL")
    op.drop_constraint(op.f("ck_deliveries_about"), "deliveries")
    for name in _OF_A_RESULT:
        op.alter_column("deliveries", name, nullable=False)
    op.drop_column("alerts", "matched_at")
