"""Postgres store: tickets, predictions, alerts, reviews and deliveries."""

if __name__ != "triagem.db":  # a second copy of every module would be loaded
    raise ImportError("import triagem.db, not db: the folder at the root is linked into the package")

from triagem.db.connect import Database, DatabaseSettings

__all__ = ["Database", "DatabaseSettings"]
