"""All tables, views and roles of `triagem.db.schema`. Edited in place until 0.2.0; later changes are revisions."""

from importlib.resources import files

from alembic import op

from triagem.db.schema import metadata

revision = "0014"  # revisions before 0014 were never released
down_revision = None


def upgrade() -> None:
    connection = op.get_bind()
    metadata.create_all(connection)
    for name in ("statistics", "views", "analytics", "changes", "cascades", "audit", "roles"):
        script = files("triagem.db.schema").joinpath(f"{name}.sql").read_text(encoding="utf-8")
        connection.exec_driver_sql(script, execution_options={"no_parameters": True})
    # No privilege on sequences: an identity column uses its sequence without one. Only the owner creates, changes and
    # revokes API keys; the writer role only records when a key was used.
    written = ", ".join(name for name in metadata.tables if name != "api_keys")
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {written} TO triagem_writer")
    op.execute("GRANT SELECT, UPDATE (last_used_at) ON api_keys TO triagem_writer")
