"""Alembic's entry: runs our migrations on the connection that `db.upgrade` hands in."""

from alembic import context

from db.tables import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
