"""Embeddings of a few classified tickets, and what comparing them has shown. A lost sample is no loss."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Final

from sqlalchemy import insert, text

from triagem.db.connect import Database
from triagem.db.tables import DriftReport
from triagem.db.window import Classified

FIRST: Final = 500  # a version's first samples: what later ones are compared with
NEWEST: Final = 5000


@dataclass(frozen=True, slots=True)
class Sample:
    """One classified ticket, as the model saw it."""

    row: Classified
    embedding: Sequence[float]
    lang: str


@dataclass(frozen=True, slots=True)
class Seen:
    """A stored sample."""

    id: int
    embedding: Sequence[float]
    label: str
    confidence: float
    tokens: int
    lang: str


# Share locks, or a ticket could be forgotten between being read and its sample being committed; SKIP LOCKED, because
# nobody waits for a sample. The oldest beyond the bound leave in the same statement, by the index on (version, id).
_KEEP: Final = text("""
WITH incoming AS (
  SELECT source, external_id, decode(digest, 'hex') AS digest, embedding, label, confidence, tokens, lang
  FROM json_to_recordset(CAST(:rows AS json)) AS i(
    source text, external_id text, digest text, embedding real[], label text, confidence float8, tokens int, lang text
  )
), eligible AS (
  SELECT t.id AS ticket_id, i.digest, embedding, i.label, i.confidence, i.tokens, lang
  FROM incoming i JOIN tickets t USING (source, external_id)
  WHERE t.forgotten_at IS NULL AND t.digest = i.digest
  FOR SHARE OF t SKIP LOCKED
), kept AS (
  INSERT INTO samples (ticket_id, digest, model_version, embedding, label, confidence, tokens, lang)
  SELECT ticket_id, digest, :version, embedding, label, confidence, tokens, lang FROM eligible
  ON CONFLICT DO NOTHING
  RETURNING 1
), pruned AS (
  DELETE FROM samples WHERE id IN (
    SELECT id FROM samples
    WHERE model_version = :version
      AND id > (SELECT id FROM samples WHERE model_version = :version ORDER BY id OFFSET :first - 1 LIMIT 1)
      AND id <= (SELECT id FROM samples WHERE model_version = :version ORDER BY id DESC OFFSET :newest LIMIT 1)
    ORDER BY id LIMIT 1000 FOR UPDATE SKIP LOCKED)
)
SELECT count(*) FROM kept
""")


def keep(database: Database, samples: Sequence[Sample], *, first: int = FIRST, newest: int = NEWEST) -> int:
    """Store samples of tickets that still have that text. Of a version, the first and the newest stay.

    Returns:
        How many are new. Of a ticket that is unknown, revised, forgotten or locked, none is kept.
    """
    kept = 0
    for version, some in groupby(samples, key=lambda one: one.row.prediction.model_version):
        values = {"rows": _document(some), "version": version, "first": first, "newest": newest}
        with database.autocommit() as connection:
            kept += connection.execute(_KEEP, values).scalar_one()
    return kept


def _document(samples: Iterable[Sample]) -> str:
    rows = [
        {
            "source": one.row.ticket.source,
            "external_id": one.row.ticket.external_id,
            "digest": one.row.digest.hex(),
            "embedding": [round(value, 7) for value in one.embedding],  # more than 32 bits hold
            "label": one.row.prediction.label,
            "confidence": one.row.prediction.confidence,
            "tokens": one.row.prediction.tokens,
            "lang": one.lang,
        }
        for one in samples
    ]
    return json.dumps(rows)


_READ: Final = "SELECT id, embedding, label, confidence, tokens, lang FROM samples WHERE model_version = :version"
_EARLIEST: Final = text(f"{_READ} ORDER BY id LIMIT :most")
_LATEST: Final = text(f"{_READ} AND id > :after AND sampled_at >= :since ORDER BY id DESC LIMIT :most")


def earliest(database: Database, version: str, *, most: int) -> list[Seen]:
    """A version's first samples."""
    with database.autocommit() as connection:
        return [Seen(*row) for row in connection.execute(_EARLIEST, {"version": version, "most": most})]


def latest(
    database: Database, version: str, *, most: int, after: int = 0, since: datetime | None = None
) -> list[Seen]:
    """A version's newest samples, of those behind the id `after` and taken since."""
    values = {"version": version, "most": most, "after": after, "since": since or datetime.min.replace(tzinfo=UTC)}
    with database.autocommit() as connection:
        return [Seen(*row) for row in connection.execute(_LATEST, values)]


def report(
    database: Database, version: str, *, drifted: bool, rows: int, reference_rows: int, detail: Mapping[str, Any]
) -> None:
    """Store what a comparison has shown."""
    values = {"drifted": drifted, "rows": rows, "reference_rows": reference_rows, "detail": detail}
    with database.autocommit() as connection:
        connection.execute(insert(DriftReport).values(model_version=version, **values))
