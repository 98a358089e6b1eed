"""The pages of a run, by keyset: tickets to be put on the lane, or to be pointed at another version's predictions.

A page is so many tickets looked at, not so many found: where few are wanted, looking for a page of them would take
longer than a statement may.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import text

from triagem.contracts.wire import ClaimCheck
from triagem.db.connect import Database
from triagem.db.runs import APPLY, Run

PAGE: Final = 1000

# What `filters` of a run may say of tickets, by name.
CONDITIONS: Final = {
    "label": "t.label = :label",
    "band": "t.band = :band",
    "source": "t.source = :source",
    "model": "t.model_version = :model",
    "not_model": "t.model_version <> :not_model",
    "since": "t.received_at >= CAST(:since AS timestamptz)",
    "until": "t.received_at < CAST(:until AS timestamptz)",
    "unseen": (
        ":unseen AND NOT EXISTS (SELECT FROM predictions p"
        " WHERE (p.ticket_id, p.digest, p.model_version) = (t.id, t.digest, :version))"
    ),
}


@dataclass(frozen=True, slots=True)
class Page:
    """Tickets of a run, and where the next page begins after."""

    checks: list[ClaimCheck]
    after: int


def page(database: Database, run: Run) -> Page:
    """The next tickets that a run wants. What its version has already made current is not wanted, but by force."""
    conditions = ["t.text IS NOT NULL", "t.forgotten_at IS NULL", *(CONDITIONS[name] for name in run.filters)]
    if not (run.shadow or run.force):
        conditions.append("t.model_version <> :version")
    query = text(f"""
    SELECT t.id, t.digest, {" AND ".join(conditions)} AS wanted FROM tickets t
    WHERE t.id > :cursor AND t.id <= :last ORDER BY t.id LIMIT {PAGE}
    """)  # noqa: S608 - built from the constants above; values travel as parameters
    values = {**run.filters, "version": run.version, "cursor": run.cursor, "last": run.last_id}
    with database.autocommit() as connection:
        rows = connection.execute(query, values).all()
    checks = [ClaimCheck(run.id, row.id, row.digest) for row in rows if row.wanted]
    after = rows[-1].id if len(rows) == PAGE else run.last_id
    if run.most is not None and run.put + len(checks) >= run.most:
        checks, after = checks[: run.most - run.put], run.last_id
    return Page(checks, after)


def wanted(database: Database, run: Run) -> Iterator[int]:
    """How many tickets a run would put on the lane, a page each; nothing is put and nothing changes."""
    while run.cursor < run.last_id:
        found = page(database, run)
        run = replace(run, cursor=found.after, put=run.put + len(found.checks))
        yield len(found.checks)


_ADVANCE: Final = text("""
UPDATE reclassify_runs SET cursor = :after, put = put + :put WHERE id = :id AND cursor = :cursor AND state = 'running'
""")


def advance(database: Database, run: Run, done: Page) -> bool:
    """Note that a page is on the lane; False if the run went on elsewhere, or does not run any more."""
    values = {"id": run.id, "cursor": run.cursor, "after": done.after, "put": len(done.checks)}
    with database.autocommit() as connection:
        return connection.execute(_ADVANCE, values).rowcount > 0


_RESULT: Final = (
    "label", "confidence", "probabilities", "band", "model_version", "tokens", "truncated", "classified_at",
)  # fmt: skip
_WANTED: Final = "l.epoch <= run.epoch AND l.forgotten_at IS NULL AND l.model_version <> run.version"
# Cursor and tickets move together, and only from this cursor on: who wakes up late changes nothing.
_APPLY: Final = text(f"""
WITH run AS (
  SELECT * FROM reclassify_runs WHERE id = :id AND cursor = :cursor AND state = 'running' FOR NO KEY UPDATE
), page AS (
  SELECT id FROM tickets WHERE id > :cursor AND id <= :last ORDER BY id LIMIT {PAGE}
), locked AS (
  SELECT id, digest, forgotten_at, epoch, label, confidence, band, model_version
  FROM tickets WHERE id IN (SELECT id FROM page) AND EXISTS (SELECT FROM run)
  ORDER BY source COLLATE "C", external_id COLLATE "C" FOR NO KEY UPDATE
), chosen AS (
  SELECT l.id, l.label AS was_label, l.confidence AS was_confidence, l.band AS was_band, run.epoch,
    {", ".join(f"p.{name}" for name in _RESULT)}
  FROM run CROSS JOIN locked l
  JOIN predictions p ON (p.ticket_id, p.digest, p.model_version) = (l.id, l.digest, run.version)
  WHERE {_WANTED}
), moved AS (
  UPDATE tickets t SET epoch = c.epoch, {", ".join(f"{name} = c.{name}" for name in _RESULT)}
  FROM chosen c WHERE t.id = c.id
), noted AS (
  INSERT INTO run_changes (run_id, ticket_id, outcome, before_label, before_confidence, before_band, after_label,
    after_confidence, after_band)
  SELECT :id, id, 'done', was_label, was_confidence, was_band, label, confidence, band FROM chosen
  ON CONFLICT DO NOTHING
)
UPDATE reclassify_runs r SET
  cursor = CASE WHEN (SELECT count(*) FROM page) = {PAGE} THEN (SELECT max(id) FROM page) ELSE r.last_id END,
  put = r.put + (SELECT count(*) FROM chosen), done = r.done + (SELECT count(*) FROM chosen),
  flips = r.flips + (SELECT count(*) FROM chosen WHERE label <> was_label)
FROM run WHERE r.id = run.id
""")  # noqa: S608


def apply_page(database: Database, run: Run) -> bool:
    """Point the next tickets at the stored predictions of the run's version; False as in `advance`.

    By the epoch that was current when the run began, that epoch included: what is of a later one stays, and a later
    text has no such prediction.
    """
    assert run.kind == APPLY
    with database.autocommit() as connection:
        values = {"id": run.id, "cursor": run.cursor, "last": run.last_id}
        return connection.execute(_APPLY, values).rowcount > 0
