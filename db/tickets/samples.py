"""Embeddings of sampled tickets for drift detection, and drift reports. Losing a sample does no harm."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, TypeAlias

from sqlalchemy import insert

from triagem.contracts.language import UNDETERMINED
from triagem.db.connect import Database
from triagem.db.schema import drift_reports
from triagem.db.tickets.window import ClassifiedTicket

KEEP_FIRST: Final = 500  # a version's first samples: the reference for later ones
KEEP_NEWEST: Final = 5000


NewSample: TypeAlias = tuple[ClassifiedTicket, Sequence[float]]  # a classified ticket with its embedding


@dataclass(frozen=True, slots=True)
class StoredSample:
    """A stored sample."""

    id: int
    embedding: Sequence[float]
    label: str
    confidence: float
    tokens: int
    lang: str


# Share locks: without them, a ticket could be forgotten after it is read and before its sample is committed. SKIP
# LOCKED, because a sample is not worth waiting for. The same statement deletes samples beyond the limits, by the
# index on (version, id).
_STORE: Final = """
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
), inserted AS (
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
SELECT count(*) FROM inserted
"""


def store_samples(
    database: Database, samples: Sequence[NewSample], *, first: int = KEEP_FIRST, newest: int = KEEP_NEWEST
) -> int:
    """Store samples of tickets that still have that text. Each version keeps its first and its newest samples.

    Returns:
        The number of new samples. Samples of unknown, revised, forgotten or locked tickets are not stored.
    """
    stored = 0
    for version, group in groupby(samples, key=lambda sample: sample[0].prediction.model_version):
        stored += database.scalar_one(_STORE, rows=_document(group), version=version, first=first, newest=newest)
    return stored


def _document(samples: Iterable[NewSample]) -> str:
    rows = [
        {
            "source": row.ticket.source,
            "external_id": row.ticket.external_id,
            "digest": row.digest.hex(),
            "embedding": [round(value, 7) for value in embedding],  # beyond 32-bit precision
            "label": row.prediction.label,
            "confidence": row.prediction.confidence,
            "tokens": row.prediction.tokens,
            "lang": "" if row.language == UNDETERMINED else row.language,
        }
        for row, embedding in samples
    ]
    return json.dumps(rows)


_LATEST: Final = """
SELECT id, embedding, label, confidence, tokens, lang FROM samples WHERE model_version = :version
  AND id > :after
ORDER BY id DESC LIMIT :limit
"""


def first_samples(database: Database, version: str, *, limit: int) -> list[StoredSample]:
    """A version's first samples."""
    return [
        StoredSample(*row)
        for row in database.rows(
            "SELECT id, embedding, label, confidence, tokens, lang FROM samples WHERE model_version = :version "
            "ORDER BY id LIMIT :limit",
            version=version,
            limit=limit,
        )
    ]


def newest_samples(database: Database, version: str, *, limit: int, after: int = 0) -> list[StoredSample]:
    """A version's newest samples with an id above `after`."""
    return [StoredSample(*row) for row in database.rows(_LATEST, version=version, limit=limit, after=after)]


def store_drift_report(
    database: Database, version: str, *, drifted: bool, rows: int, reference_rows: int, detail: Mapping[str, Any]
) -> None:
    """Store a drift report."""
    statement = insert(drift_reports)
    database.execute(
        statement, model_version=version, drifted=drifted, rows=rows, reference_rows=reference_rows, detail=detail
    )
