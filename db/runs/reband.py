"""Recomputes the bands of stored results from their confidence with other thresholds, without a model.

Changes the current result and its row in the history, so that the views `results` and `history` agree. Other rows of
the history keep the band that was in effect when they were current. Writes nothing else: reviews stay (INV-16),
forgotten tickets stay unchanged (INV-17), and no alert or delivery is created (INV-24).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from triagem.db.connect import Database

PAGE: Final = 1000

# Rows to change are selected before any is locked: most pages change few. After it waited for a lock, Postgres reads
# the row again: if text, model or band differ, a worker has set the band meanwhile, and the row is skipped.
_STATEMENT: Final = """
WITH thresholds AS MATERIALIZED (
  SELECT * FROM unnest(CAST(:versions AS text[]), CAST(:thresholds AS float8[])) AS t(version, threshold)
), page AS MATERIALIZED (
  SELECT id, received_at, state, digest, model_version, label, confidence, band FROM tickets
  WHERE (received_at, id) < (CAST(:at AS timestamptz), CAST(:id AS bigint))
  ORDER BY received_at DESC, id DESC LIMIT :page
), banded AS MATERIALIZED (
  SELECT page.*, threshold IS NOT NULL AS has_threshold, CASE
    WHEN threshold IS NULL OR band = 'abstain' THEN band WHEN confidence >= threshold THEN 'automate' ELSE 'review'
  END AS new_band
  FROM page LEFT JOIN thresholds ON version = model_version
  WHERE state = 'classified'
), locked AS (
  SELECT t.id, b.new_band FROM tickets t JOIN banded b ON b.id = t.id
  WHERE NOT CAST(:dry_run AS boolean) AND b.band <> b.new_band
    AND (t.digest, t.model_version, t.confidence, t.band) = (b.digest, b.model_version, b.confidence, b.band)
  ORDER BY t.source COLLATE "C", t.external_id COLLATE "C" FOR NO KEY UPDATE OF t
), updated AS (
  UPDATE tickets t SET band = locked.new_band FROM locked WHERE t.id = locked.id
  RETURNING t.id, t.digest, t.model_version, t.band
), updated_predictions AS (
  UPDATE predictions p SET band = updated.band FROM updated
  WHERE (p.ticket_id, p.digest, p.model_version) = (updated.id, updated.digest, updated.model_version)
), counted AS (
  SELECT model_version AS version, has_threshold, label, band AS before,
    CASE WHEN CAST(:dry_run AS boolean) OR id IN (SELECT id FROM updated) THEN new_band ELSE band END AS after,
    count(*) AS tickets
  FROM banded GROUP BY 1, 2, 3, 4, 5
)
SELECT received_at, id, (SELECT count(*) FROM page) AS scanned, (
  SELECT coalesce(json_agg(json_build_array(version, has_threshold, label, before, after, tickets)), '[]')
  FROM counted
) AS groups
FROM page ORDER BY received_at, id LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class RebandGroup:
    """Tickets by version, model label, previous band, and band after (in a dry run: the band they would have).

    Without `has_threshold` the version has no threshold, and its tickets are left unchanged.
    """

    version: str
    has_threshold: bool
    label: str
    before: str
    after: str


def reband(
    database: Database,
    thresholds: Mapping[str, float],
    *,
    dry_run: bool = False,
) -> Iterator[tuple[int, Mapping[RebandGroup, int]]]:
    """Recompute the bands of stored results, page by page, newest first; can be stopped and repeated at any page.

    Args:
        thresholds: minimum confidence of the band `automate`, by version.
        dry_run: only count.

    Yields:
        The number of tickets scanned, and ticket counts by group of those with a result.
    """
    values = {
        "versions": list(thresholds), "thresholds": list(thresholds.values()),
        "dry_run": dry_run, "at": "infinity", "id": 0, "page": PAGE,
    }  # fmt: skip
    scanned = PAGE
    while scanned == PAGE:
        row = database.one_or_none(_STATEMENT, **values)
        if row is None:
            return
        scanned, values["at"], values["id"] = row.scanned, row.received_at, row.id
        yield scanned, {RebandGroup(*group): tickets for *group, tickets in row.groups}
