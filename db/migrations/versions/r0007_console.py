"""Console: lexemes of each text, the queue of texts to index, and login sessions. Accessible to writers only.

Only adds tables. Tickets that a worker of an earlier revision writes meanwhile are queued by `triagem.db.upgrade`.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TSVECTOR

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table("search_queue", sa.Column("ticket_id", sa.BigInteger(), nullable=False))
    op.create_table(
        "ticket_lexemes",
        sa.Column("ticket_id", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("lexemes", TSVECTOR(), nullable=False),
        sa.PrimaryKeyConstraint("ticket_id", name="pk_ticket_lexemes"),
        sa.ForeignKeyConstraint(
            ["ticket_id"], ["tickets.id"], name="fk_ticket_lexemes_ticket_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_ticket_lexemes_lexemes", "ticket_lexemes", ["lexemes"], postgresql_using="gin")
    # The planner's statistics would keep lexemes of deleted texts.
    op.execute("ALTER TABLE ticket_lexemes ALTER COLUMN lexemes SET STATISTICS 0")
    op.create_table(
        "console_sessions",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("key_id", sa.BigInteger(), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_console_sessions"),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], name="fk_console_sessions_key_id", ondelete="CASCADE"),
    )
    op.execute(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON search_queue, ticket_lexemes, console_sessions TO triagem_writer"
    )
    op.execute("INSERT INTO search_queue (ticket_id) SELECT id FROM tickets WHERE text IS NOT NULL")


def downgrade() -> None:
    op.drop_table("console_sessions")
    op.drop_table("ticket_lexemes")
    op.drop_table("search_queue")
