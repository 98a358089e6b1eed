"""All tables. The migrations create them; analysts read views without texts (`docs/reference/sql.md`)."""

from typing import Final

from sqlalchemy import text

import triagem.db.schema.operations
import triagem.db.schema.reviews  # noqa: F401 - likewise
from triagem.db.schema.tickets import drift_reports, metadata, tickets

__all__ = ["TICKET_TABLES", "TRUNCATE_ALL", "drift_reports", "metadata", "tickets"]

# All tables with a foreign key to `tickets`, so that a new table is included; and two without one.
TICKET_TABLES: Final = [
    table
    for table in metadata.sorted_tables
    if table.name in {"predictions", "run_changes"} or any(key.column.table is tickets for key in table.foreign_keys)
]
# Empties all tables, for tests and benchmarks with their own database.
TRUNCATE_ALL: Final = text(f"TRUNCATE {', '.join(metadata.tables)} RESTART IDENTITY")
