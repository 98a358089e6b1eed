"""The labels, sources and model versions that results can have, to explain why a filter matches nothing."""

from typing import Final

from triagem.db.connect import Database

# Reads one index entry per source, however many tickets there are.
SOURCES: Final = """
WITH RECURSIVE sources AS (
  (SELECT source FROM tickets ORDER BY source LIMIT 1)
  UNION ALL
  SELECT (SELECT t.source FROM tickets t WHERE t.source > s.source ORDER BY t.source LIMIT 1)
  FROM sources s WHERE s.source IS NOT NULL
)
SELECT source FROM sources WHERE source IS NOT NULL LIMIT 1000"""


def known_values(database: Database) -> dict[str, list[str]]:
    """The values by the name of the filter."""
    return {
        "label": database.scalars("SELECT label FROM labels ORDER BY label"),
        "source": database.scalars(SOURCES),
        "model": database.scalars("SELECT version FROM model_versions ORDER BY created_at, version"),
    }
