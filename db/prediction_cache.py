"""Prediction cache: stored predictions of a model version. A cached ticket skips the model, but is still written."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from pydantic_core import to_json
from sqlalchemy import text

from triagem.contracts.prediction import Band, Prediction
from triagem.db.connect import Database

# OFFSET 0 keeps Postgres from turning the two lookups into joins: before the first ANALYZE it estimates few
# predictions per model, and would read all of them for each window.
_CACHED: Final = text("""
SELECT i.position, p.label, p.confidence, p.probabilities, p.band, p.model_version, p.tokens, p.truncated,
  p.classified_at
FROM json_to_recordset(CAST(:texts AS json)) AS i(source text, external_id text, digest text, position int)
CROSS JOIN LATERAL (
  SELECT id FROM tickets WHERE source = i.source AND external_id = i.external_id OFFSET 0
) AS t
CROSS JOIN LATERAL (
  SELECT * FROM predictions
  WHERE ticket_id = t.id AND digest = decode(i.digest, 'hex') AND model_version = :version OFFSET 0
) AS p
""")


def cached_predictions(
    database: Database, texts: Sequence[tuple[str, str, bytes]], version: str
) -> dict[int, tuple[Prediction, datetime]]:
    """Stored predictions and their times, by position in `texts` (source, external_id, digest)."""
    if not texts:
        return {}
    keys = [
        {"source": source, "external_id": external_id, "digest": digest.hex(), "position": position}
        for position, (source, external_id, digest) in enumerate(texts)
    ]
    with database.autocommit() as connection:
        rows = connection.execute(_CACHED, {"texts": to_json(keys).decode(), "version": version}).all()
    return {
        row.position: (
            Prediction(
                row.label,
                row.confidence,
                row.probabilities,
                Band(row.band),
                row.model_version,
                row.tokens,
                row.truncated,
            ),
            row.classified_at,
        )
        for row in rows
    }


_RECENT: Final = text("""
SELECT confidence FROM (
  SELECT confidence, model_version, received_at, id FROM tickets ORDER BY received_at DESC, id DESC LIMIT :limit
) AS newest WHERE model_version = :version ORDER BY received_at, id
""")


def recent_confidences(database: Database, version: str, *, limit: int) -> list[float]:
    """Confidences of a version for those of the `limit` newest tickets that it classified, in order of receipt."""
    with database.autocommit() as connection:
        return list(connection.execute(_RECENT, {"version": version, "limit": limit}).scalars())
