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
# Empties all tables, for tests and benchmarks with their own database. Only used tables are truncated, because each
# costs Postgres a new file for itself and for each index: 2 ms of processor time instead of 35 if none was used.
TRUNCATE_ALL: Final = text(
    f"""
    DO $$
    DECLARE
        used text;
    BEGIN
        SELECT string_agg(quote_ident(t.relname), ', ') INTO used
        FROM pg_class t
        WHERE t.relnamespace = CAST('public' AS regnamespace)
          AND t.relname IN ({", ".join(f"'{name}'" for name in metadata.tables)})
          AND (pg_relation_size(t.oid) > 0 OR EXISTS (
            SELECT FROM pg_depend JOIN pg_class s ON s.oid = objid
            WHERE refobjid = t.oid AND CASE WHEN s.relkind = 'S' THEN pg_sequence_last_value(s.oid) END IS NOT NULL
          ));
        IF used IS NOT NULL THEN
            EXECUTE 'TRUNCATE ' || used || ' RESTART IDENTITY CASCADE';
        END IF;
    END $$
    """  # noqa: S608 - names of our own tables
)
