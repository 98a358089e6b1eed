"""The table `training_jobs`."""

from alembic import op

from triagem.db.schema import metadata

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    metadata.tables["training_jobs"].create(op.get_bind(), checkfirst=True)  # in a new database the baseline made it
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON training_jobs TO triagem_writer")
