"""Only the owner creates, changes and revokes API keys; the writer role notes that one was used."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("REVOKE INSERT, UPDATE, DELETE ON api_keys FROM triagem_writer")
    op.execute("GRANT UPDATE (last_used_at) ON api_keys TO triagem_writer")
