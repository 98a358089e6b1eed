"""What a model version already said of a text: such a ticket skips the model, not the statement."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from pydantic_core import to_json
from sqlalchemy import text

from triagem.contracts.prediction import Band, Prediction
from triagem.db.connect import Database

# OFFSET 0 keeps Postgres from turning the two lookups into joins: before a table was ever analysed it takes a model's
# predictions for few, and would read all of them for each window.
_KNOWN: Final = text("""
SELECT i.place, p.label, p.confidence, p.probabilities, p.band, p.model_version, p.tokens, p.truncated,
  p.classified_at
FROM json_to_recordset(CAST(:texts AS json)) AS i(source text, external_id text, digest text, place int)
CROSS JOIN LATERAL (
  SELECT id FROM tickets WHERE source = i.source AND external_id = i.external_id OFFSET 0
) AS t
CROSS JOIN LATERAL (
  SELECT * FROM predictions
  WHERE ticket_id = t.id AND digest = decode(i.digest, 'hex') AND model_version = :version OFFSET 0
) AS p
""")


def known(
    database: Database, texts: Sequence[tuple[str, str, bytes]], version: str
) -> dict[int, tuple[Prediction, datetime]]:
    """Stored predictions, with their time, by position in `texts` (source, external_id, digest)."""
    if not texts:
        return {}
    asked = [
        {"source": source, "external_id": external_id, "digest": digest.hex(), "place": place}
        for place, (source, external_id, digest) in enumerate(texts)
    ]
    with database.autocommit() as connection:
        rows = connection.execute(_KNOWN, {"texts": to_json(asked).decode(), "version": version}).all()
    return {
        row.place: (
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
  SELECT confidence, model_version, received_at, id FROM tickets ORDER BY received_at DESC, id DESC LIMIT :most
) AS newest WHERE model_version = :version ORDER BY received_at, id
""")


def recent_confidences(database: Database, version: str, *, most: int) -> list[float]:
    """How sure a version was of those of the `most` newest tickets that it classified, in the order they came."""
    with database.autocommit() as connection:
        return list(connection.execute(_RECENT, {"version": version, "most": most}).scalars())
