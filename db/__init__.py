"""What is known: tickets, predictions, alerts and reviews in Postgres."""

from db.connect import Database, DatabaseSettings

__all__ = ["Database", "DatabaseSettings"]
