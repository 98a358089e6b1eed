"""Comments and proposed labels of reviews. Purging a comment does not change a result."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE reviews ADD COLUMN IF NOT EXISTS comment text, ADD COLUMN IF NOT EXISTS proposal text")
    op.execute(
        "CREATE OR REPLACE TRIGGER stamp_reviewed_ticket AFTER INSERT OR UPDATE OF label OR DELETE "
        "ON reviews FOR EACH ROW EXECUTE FUNCTION stamp_reviewed_ticket()"
    )
