"""First tables, the views for people who query, the role that sees only these, and the role that programs have."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _result_columns() -> list[sa.Column[object]]:
    return [
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.Column("probabilities", JSONB(), nullable=False),
        sa.Column("band", sa.Text(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("tokens", sa.Integer(), nullable=False),
        sa.Column("truncated", sa.Boolean(), nullable=False),
        sa.Column("classified_at", sa.DateTime(timezone=True), nullable=False),
    ]


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False)


def _ticket_id(table: str) -> sa.Column[int]:
    key = sa.ForeignKey("tickets.id", name=f"fk_{table}_ticket_id", ondelete="CASCADE")
    return sa.Column("ticket_id", sa.BigInteger(), key, nullable=False)


def _now(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False)


_TABLES = ("tickets", "predictions", "alerts", "reviews", "dead_letters")
_TEXTS = (("tickets", "text"), ("tickets", "metadata"), ("dead_letters", "payload"))

# Roles belong to the whole server: another database there may have made them already.
_ROLE = """
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN
    CREATE ROLE {role} NOLOGIN;
  END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$
"""

# The latest review by NOT EXISTS, not by LATERAL ... LIMIT 1: that leaves the planner its choice. A page stays at
# 1 ms, and reading everything (a million tickets, 50,000 reviews) takes half the time.
_VIEWS = (
    """
    CREATE VIEW results AS
    SELECT t.id AS ticket_id, t.source, t.external_id,
           coalesce(r.label, t.label) AS label, t.confidence, t.band, t.label AS model_label,
           r.ticket_id IS NOT NULL AS reviewed, r.reviewer, r.reviewed_at, t.probabilities, t.model_version,
           t.revised_at, t.received_at, t.classified_at, t.tokens, t.truncated
    FROM tickets t
    LEFT JOIN (
      SELECT * FROM reviews
      WHERE NOT EXISTS (
        SELECT FROM reviews later
        WHERE later.ticket_id = reviews.ticket_id AND later.digest = reviews.digest AND later.id > reviews.id
      )
    ) r ON r.ticket_id = t.id AND r.digest = t.digest
    WHERE t.forgotten_at IS NULL
    """,
    """
    CREATE VIEW history AS
    SELECT p.ticket_id, t.source, t.external_id, p.model_version, p.label, p.confidence, p.band,
           p.probabilities, p.tokens, p.truncated, p.classified_at,
           p.digest = t.digest AS of_current_text,
           p.digest = t.digest AND p.model_version = t.model_version AS is_current
    FROM predictions p JOIN tickets t ON t.id = p.ticket_id
    WHERE t.forgotten_at IS NULL
    """,
    """
    CREATE VIEW daily AS
    SELECT (received_at AT TIME ZONE 'UTC')::date AS day, source, label, count(*) AS tickets,
           avg(confidence) AS mean_confidence, avg((band <> 'automate')::int)::float8 AS review_share,
           count(*) FILTER (WHERE reviewed) AS reviewed
    FROM results GROUP BY 1, 2, 3
    """,
)


def upgrade() -> None:
    op.create_table(
        "tickets",
        _id(),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("text", sa.Text()),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("revised_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("metadata", JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("forgotten_at", sa.DateTime(timezone=True)),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        *_result_columns(),
        sa.PrimaryKeyConstraint("id", name="pk_tickets"),
        sa.UniqueConstraint("source", "external_id", name="uq_tickets_source_external_id"),
    )
    op.create_index("ix_tickets_newest", "tickets", [sa.text("received_at DESC"), sa.text("id DESC")])
    op.create_index("ix_tickets_least_sure", "tickets", ["confidence", "id"])
    # For `daily` of some days. BRIN: 32 kB a million tickets, and next to no work for an upsert.
    day = sa.text("((received_at AT TIME ZONE 'UTC')::date)")
    op.create_index("ix_tickets_day", "tickets", [day], postgresql_using="brin")
    op.create_table(
        "predictions",
        _ticket_id("predictions"),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        *_result_columns(),
        sa.PrimaryKeyConstraint("ticket_id", "digest", "model_version", name="pk_predictions"),
    )
    op.create_table(
        "alerts",
        _id(),
        _ticket_id("alerts"),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("band", sa.Text(), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=False),
        _now("created_at"),
        sa.Column("delivered_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_alerts"),
        sa.UniqueConstraint("ticket_id", "digest", "model_version", name="uq_alerts_ticket_id_digest_model_version"),
    )
    op.create_index("ix_alerts_undelivered", "alerts", ["id"], postgresql_where=sa.text("delivered_at IS NULL"))
    op.create_table(
        "reviews",
        _id(),
        _ticket_id("reviews"),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("reviewer", sa.Text(), nullable=False),
        _now("reviewed_at"),
        sa.PrimaryKeyConstraint("id", name="pk_reviews"),
    )
    op.create_index("ix_reviews_latest", "reviews", ["ticket_id", "digest", sa.text("id DESC")])
    op.create_table(
        "dead_letters",
        _id(),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="1", nullable=False),
        _now("died_at"),
        sa.PrimaryKeyConstraint("id", name="pk_dead_letters"),
        sa.UniqueConstraint("lane", "entry_id", name="uq_dead_letters_lane_entry_id"),
    )
    for view in _VIEWS:
        op.execute(view)
    # The planner's statistics keep values of a column, also those that were deleted, until the next ANALYZE.
    for table, column in _TEXTS:
        op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET STATISTICS 0")
    for role in ("triagem_reader", "triagem_writer"):
        op.execute(_ROLE.format(role=role))
    op.execute("GRANT SELECT ON results, history, daily TO triagem_reader, triagem_writer")
    # Nothing on the sequences: an identity column draws from its own without asking for leave.
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {', '.join(_TABLES)} TO triagem_writer")
    op.execute("GRANT SELECT ON alembic_version TO triagem_writer")


def downgrade() -> None:
    for view in ("daily", "history", "results"):
        op.execute(f"DROP VIEW {view}")
    for table in reversed(_TABLES):
        op.drop_table(table)
