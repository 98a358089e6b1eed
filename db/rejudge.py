"""Bands of stored results by other thresholds, from the stored confidence, without a model.

What changes is the current result and its own row in the history, so that the views `results` and `history` agree on
what holds now. Other rows of the history keep the band that was acted upon when they were current. Nothing else is
written: a person's verdict stands (INV-16), a forgotten ticket stays as it is (INV-17), nobody is told (INV-24).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import text

from triagem.db.connect import Database

PAGE: Final = 1000

# Which rows change is decided before any is locked: most pages change few. Where a lock had to wait, Postgres looks
# at the row's newest version: with another text, model or band a worker has judged it by now, and it is left alone.
_STATEMENT: Final = text(f"""
WITH floors AS MATERIALIZED (
  SELECT * FROM unnest(CAST(:versions AS text[]), CAST(:floors AS float8[])) AS f(version, floor)
), page AS MATERIALIZED (
  SELECT id, source, received_at, forgotten_at, digest, model_version, label, confidence, band FROM tickets
  WHERE (received_at, id) < (CAST(:at AS timestamptz), CAST(:id AS bigint))
    AND received_at >= CAST(:since AS timestamptz)
  ORDER BY received_at DESC, id DESC LIMIT {PAGE}
), judged AS MATERIALIZED (
  SELECT page.*, floor IS NOT NULL AS known, CASE
    WHEN floor IS NULL OR band = 'abstain' THEN band WHEN confidence >= floor THEN 'automate' ELSE 'review'
  END AS verdict
  FROM page LEFT JOIN floors ON version = model_version
  WHERE forgotten_at IS NULL AND source = coalesce(CAST(:source AS text), source)
    AND model_version = coalesce(CAST(:model AS text), model_version)
), locked AS (
  SELECT t.id, j.verdict FROM tickets t JOIN judged j ON j.id = t.id
  WHERE NOT CAST(:dry_run AS boolean) AND t.forgotten_at IS NULL AND j.band <> j.verdict
    AND (t.digest, t.model_version, t.confidence, t.band) = (j.digest, j.model_version, j.confidence, j.band)
  ORDER BY t.source COLLATE "C", t.external_id COLLATE "C" FOR NO KEY UPDATE OF t
), moved AS (
  UPDATE tickets t SET band = locked.verdict FROM locked WHERE t.id = locked.id
  RETURNING t.id, t.digest, t.model_version, t.band
), noted AS (
  UPDATE predictions p SET band = moved.band FROM moved
  WHERE (p.ticket_id, p.digest, p.model_version) = (moved.id, moved.digest, moved.model_version)
), counted AS (
  SELECT model_version AS version, known, label, band AS before,
    CASE WHEN CAST(:dry_run AS boolean) OR id IN (SELECT id FROM moved) THEN verdict ELSE band END AS after,
    count(*) AS tickets
  FROM judged GROUP BY 1, 2, 3, 4, 5
)
SELECT received_at, id, (SELECT count(*) FROM page) AS looked, (
  SELECT coalesce(json_agg(json_build_array(version, known, label, before, after, tickets)), '[]') FROM counted
) AS groups
FROM page ORDER BY received_at, id LIMIT 1
""")  # noqa: S608 - built from the constant above; values travel as parameters


@dataclass(frozen=True, slots=True)
class Group:
    """Tickets of one version, the model's label and band, and the band they have now (in a dry run: would have).
    Of a version that is not `known` there is no floor: its tickets are left alone."""

    version: str
    known: bool
    label: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Page:
    """How many tickets were looked at, and what became of how many of those that were meant."""

    looked: int
    groups: Mapping[Group, int]


def rejudge(
    database: Database,
    floors: Mapping[str, float],
    *,
    source: str | None = None,
    model: str | None = None,
    since: datetime | None = None,
    dry_run: bool = False,
) -> Iterator[Page]:
    """Judge stored results anew, a page at a time, newest first; who stops between two pages may begin again.

    Args:
        floors: of each version the least confidence that is automated.
        source, model, since: only tickets of this CRM, whose result is of this version, received from then on.
        dry_run: only count.
    """
    values = {
        "versions": list(floors), "floors": list(floors.values()), "source": source, "model": model,
        "since": since or "-infinity", "dry_run": dry_run, "at": "infinity", "id": 0,
    }  # fmt: skip
    looked = PAGE
    while looked == PAGE:
        with database.autocommit() as connection:
            row = connection.execute(_STATEMENT, values).one_or_none()
        if row is None:
            return
        looked, values["at"], values["id"] = row.looked, row.received_at, row.id
        yield Page(looked, {Group(*of): tickets for *of, tickets in row.groups})
