"""What a model's life adds: reviews that say how they were drawn, embeddings of some tickets, reports of drift.

Expanding only: a worker of the first revision goes on writing beside one of this.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from triagem.db.migrations.versions.r0001_first_tables import _VIEWS

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TABLES = ("review_draws", "samples", "drift_reports")
_STRATUM = "stratum IN ('unsure', 'random')"
_BY_LOT = "(stratum = 'random') = (inclusion IS NOT NULL AND since IS NOT NULL)"
_SHARE = "inclusion > 0 AND inclusion <= 1"
# As before, and `unclear`: without it `reviewed AND label = model_label` would take "unclear" for a confirmation.
_RESULTS = """
CREATE OR REPLACE VIEW results AS
SELECT t.id AS ticket_id, t.source, t.external_id,
       coalesce(r.label, t.label) AS label, t.confidence, t.band, t.label AS model_label,
       r.ticket_id IS NOT NULL AS reviewed, r.reviewer, r.reviewed_at, t.probabilities, t.model_version,
       t.revised_at, t.received_at, t.classified_at, t.tokens, t.truncated,
       r.ticket_id IS NOT NULL AND r.label IS NULL AS unclear
FROM tickets t
LEFT JOIN (
  SELECT * FROM reviews
  WHERE NOT EXISTS (
    SELECT FROM reviews later
    WHERE later.ticket_id = reviews.ticket_id AND later.digest = reviews.digest AND later.id > reviews.id
  )
) r ON r.ticket_id = t.id AND r.digest = t.digest
WHERE t.forgotten_at IS NULL
"""
# What alerts of single tickets have, and a system's alert (drift, retraining due) has not.
_OF_A_TICKET = ("ticket_id", "digest", "model_version", "band", "confidence")


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False)


def _ticket_id(table: str) -> sa.Column[int]:
    key = sa.ForeignKey("tickets.id", name=f"fk_{table}_ticket_id", ondelete="CASCADE")
    return sa.Column("ticket_id", sa.BigInteger(), key, nullable=False)


def _now(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False)


def upgrade() -> None:
    # A verdict without a label is "unclear": `results` then shows the model's label, and that it was reviewed.
    op.alter_column("reviews", "label", nullable=True)
    for column in (
        sa.Column("stratum", sa.Text()),
        sa.Column("inclusion", sa.Double()),
        sa.Column("model_version", sa.Text()),
        sa.Column("model_label", sa.Text()),
    ):
        op.add_column("reviews", column)
    op.execute(_RESULTS)
    op.create_table(
        "review_draws",
        _ticket_id("review_draws"),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("model_label", sa.Text(), nullable=False),
        sa.Column("stratum", sa.Text(), nullable=False),
        sa.Column("inclusion", sa.Double()),
        sa.Column("since", sa.DateTime(timezone=True)),
        _now("drawn_at"),
        sa.Column("leased_by", sa.Text()),
        sa.Column("leased_until", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("ticket_id", "digest", "model_version", name="pk_review_draws"),
        sa.CheckConstraint(_STRATUM, name="ck_review_draws_stratum"),
        sa.CheckConstraint(_BY_LOT, name="ck_review_draws_by_lot"),
        sa.CheckConstraint(_SHARE, name="ck_review_draws_inclusion"),
    )
    op.create_table(
        "samples",
        _id(),
        _ticket_id("samples"),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("embedding", ARRAY(sa.REAL()), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.Column("tokens", sa.Integer(), nullable=False),
        sa.Column("lang", sa.Text(), server_default="", nullable=False),
        _now("sampled_at"),
        sa.PrimaryKeyConstraint("id", name="pk_samples"),
        sa.UniqueConstraint("ticket_id", "digest", "model_version", name="uq_samples_ticket_id_digest_model_version"),
    )
    op.create_index("ix_samples_model_version_id", "samples", ["model_version", "id"])
    op.create_table(
        "drift_reports",
        _id(),
        sa.Column("model_version", sa.Text(), nullable=False),
        _now("made_at"),
        sa.Column("drifted", sa.Boolean(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("reference_rows", sa.Integer(), nullable=False),
        sa.Column("detail", JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_drift_reports"),
    )
    for name in _OF_A_TICKET:
        op.alter_column("alerts", name, nullable=True)
    op.add_column("alerts", sa.Column("kind", sa.Text(), server_default="low-confidence", nullable=False))
    op.add_column("alerts", sa.Column("key", sa.Text()))
    op.add_column("alerts", sa.Column("detail", JSONB()))
    op.create_unique_constraint("uq_alerts_kind_key", "alerts", ["kind", "key"])
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {', '.join(_TABLES)} TO triagem_writer")


def downgrade() -> None:
    op.execute("DELETE FROM alerts WHERE ticket_id IS NULL")
    op.drop_constraint("uq_alerts_kind_key", "alerts")
    for name in ("kind", "key", "detail"):
        op.drop_column("alerts", name)
    for name in _OF_A_TICKET:
        op.alter_column("alerts", name, nullable=False)
    for table in reversed(_TABLES):
        op.drop_table(table)
    op.execute("DROP VIEW daily")
    op.execute("DROP VIEW results")
    op.execute("DELETE FROM reviews WHERE label IS NULL")
    for name in ("stratum", "inclusion", "model_version", "model_label"):
        op.drop_column("reviews", name)
    op.alter_column("reviews", "label", nullable=False)
    op.execute(_VIEWS[0])
    op.execute(_VIEWS[2])
    op.execute("GRANT SELECT ON results, daily TO triagem_reader, triagem_writer")
