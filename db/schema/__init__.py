"""All tables. The migrations create them; analysts read views without texts (`docs/reference/sql.md`)."""

from typing import Final

from sqlalchemy import text

import triagem.db.schema.operations  # noqa: F401 - adds its tables to the metadata
from triagem.db.schema.tickets import drift_reports, metadata, tickets

__all__ = ["TICKET_TABLES", "TRUNCATE_ALL", "drift_reports", "metadata", "tickets"]

# All tables that refer to a ticket, so that a new table is included.
TICKET_TABLES: Final = [table for table in metadata.sorted_tables if "ticket_id" in table.columns]
# Empties all tables, for tests and benchmarks with their own database.
TRUNCATE_ALL: Final = text(f"TRUNCATE {', '.join(metadata.tables)} RESTART IDENTITY")
