"""All tables, views and roles of `triagem.db.schema`. Edited in place until 0.2.0; later changes are revisions."""

from importlib.resources import files

from alembic import op

from triagem.db.schema import metadata

revision = "0008"  # 0001 to 0007 were never released
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    connection = op.get_bind()
    metadata.create_all(connection)
    for name in ("statistics", "views", "analytics", "changes", "audit", "roles"):
        script = files("triagem.db.schema").joinpath(f"{name}.sql").read_text(encoding="utf-8")
        connection.exec_driver_sql(script, execution_options={"no_parameters": True})
    # Nothing on the sequences: an identity column uses its own without a privilege.
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {', '.join(metadata.tables)} TO triagem_writer")
