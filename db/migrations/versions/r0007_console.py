"""What the console adds: the words of each text, which are to be looked at, who is logged in. For writers only.

Expanding only; of tickets that a worker of a former revision writes meanwhile, search learns by `db.catch_up`.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TSVECTOR

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table("search_due", sa.Column("ticket_id", sa.BigInteger(), nullable=False))
    op.create_table(
        "ticket_words",
        sa.Column("ticket_id", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("words", TSVECTOR(), nullable=False),
        sa.PrimaryKeyConstraint("ticket_id", name="pk_ticket_words"),
        sa.ForeignKeyConstraint(["ticket_id"], ["tickets.id"], name="fk_ticket_words_ticket_id", ondelete="CASCADE"),
    )
    op.create_index("ix_ticket_words_words", "ticket_words", ["words"], postgresql_using="gin")
    # The planner's statistics would keep words of texts that were deleted.
    op.execute("ALTER TABLE ticket_words ALTER COLUMN words SET STATISTICS 0")
    op.create_table(
        "console_sessions",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("key_id", sa.BigInteger(), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_console_sessions"),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], name="fk_console_sessions_key_id", ondelete="CASCADE"),
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON search_due, ticket_words, console_sessions TO triagem_writer")
    op.execute("INSERT INTO search_due (ticket_id) SELECT id FROM tickets WHERE text IS NOT NULL")


def downgrade() -> None:
    op.drop_table("console_sessions")
    op.drop_table("ticket_words")
    op.drop_table("search_due")
