"""Alembic environment: runs the migrations on the connection that `triagem.db.upgrade` passes."""

from alembic import context

from triagem.db.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
