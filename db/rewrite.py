"""The statement of a run: stored tickets classified again. It touches a ticket only where id and text still match.

Forward only (INV-14): by the run's epoch, strictly, or also at the same one where the run says force. What a run has
said of a ticket is noted once; only with that note anything else changes, so a second delivery changes nothing.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import text

from triagem.contracts.errors import RowRefused, StatementRefused
from triagem.contracts.prediction import Band, Prediction
from triagem.contracts.wire import ClaimCheck
from triagem.db.connect import Database, database_errors


@dataclass(frozen=True, slots=True)
class Checked:
    """What a claim check stands for. `words` is the stored text, None where the ticket has another by now, or none.

    `known` is what the run's version has said of this text, with its time; a run by force asks again.
    """

    check: ClaimCheck
    version: str
    epoch: int
    shadow: bool
    words: str | None
    known: tuple[Prediction, datetime] | None


@dataclass(frozen=True, slots=True)
class Reclassified:
    """What to store of a claim check: `done` (computed), `unchanged` (known), `failed`; without a prediction the
    statement sees why there is none."""

    check: ClaimCheck
    outcome: str = ""
    prediction: Prediction | None = None
    classified_at: datetime | None = None


_LOOK_UP: Final = text("""
SELECT i.place, r.version, r.epoch, r.shadow, CASE WHEN p.ticket_id IS NULL THEN t.text END AS words,
  p.label, p.confidence, p.probabilities, p.band, p.tokens, p.truncated, p.classified_at
FROM unnest(CAST(:runs AS bigint[]), CAST(:tickets AS bigint[]), CAST(:digests AS bytea[]))
  WITH ORDINALITY AS i(run, ticket, digest, place)
JOIN reclassify_runs r ON r.id = i.run AND r.state <> 'cancelled'
LEFT JOIN tickets t ON (t.id, t.digest) = (i.ticket, i.digest) AND t.forgotten_at IS NULL
LEFT JOIN predictions p ON (p.ticket_id, p.digest, p.model_version) = (t.id, i.digest, r.version) AND NOT r.force
""")


def look_up(database: Database, checks: Sequence[ClaimCheck]) -> list[Checked | None]:
    """What claim checks stand for, in their order, by one query; None where the run was cancelled."""
    if not checks:
        return []
    found: list[Checked | None] = [None] * len(checks)
    values = {
        "runs": [check.run for check in checks],
        "tickets": [check.ticket for check in checks],
        "digests": [check.digest for check in checks],
    }
    with database.autocommit() as connection:
        rows = connection.execute(_LOOK_UP, values).all()
    for row in rows:
        said = row.label is not None and Prediction(
            row.label, row.confidence, row.probabilities, Band(row.band), row.version, row.tokens, row.truncated
        )
        known = (said, row.classified_at) if said else None
        check = checks[row.place - 1]
        found[row.place - 1] = Checked(check, row.version, row.epoch, row.shadow, row.words, known)
    return found


_COLUMNS: Final = {
    "label": "text", "confidence": "float8", "probabilities": "jsonb", "band": "text", "model_version": "text",
    "tokens": "int", "truncated": "bool", "classified_at": "timestamptz",
}  # fmt: skip
_RESULT: Final = ", ".join(_COLUMNS)
_AFTER: Final = ("label", "confidence", "band")
_NOTED: Final = ("outcome", *(f"{when}_{what}" for when in ("before", "after") for what in _AFTER))
_OUTCOMES: Final = ("done", "unchanged", "changed", "gone", "failed")

_STATEMENT: Final = f"""
WITH incoming AS (
  SELECT i.run, i.ticket, decode(i.hex, 'hex') AS digest, i.said, {_RESULT}, r.epoch, r.shadow, r.force, r.tell_flips
  FROM json_to_recordset(CAST(:rows AS json)) AS i(
    run bigint, ticket bigint, hex text, said text, {", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())}
  ) JOIN reclassify_runs r ON r.id = i.run AND r.state <> 'cancelled'
), locked AS (
  SELECT id, digest, forgotten_at, text IS NULL AS textless, {", ".join(_AFTER)}
  FROM tickets WHERE id IN (SELECT ticket FROM incoming)
  ORDER BY source COLLATE "C", external_id COLLATE "C" FOR NO KEY UPDATE
), judged AS (
  SELECT i.*, {", ".join(f"l.{name} AS before_{name}, i.{name} AS after_{name}" for name in _AFTER)}, CASE
    WHEN l.forgotten_at IS NOT NULL THEN 'gone' WHEN l.digest <> i.digest THEN 'changed'
    WHEN i.said <> '' THEN i.said WHEN l.textless THEN 'gone' ELSE 'changed'
  END AS outcome
  FROM incoming i JOIN locked l ON l.id = i.ticket
), noted AS (
  INSERT INTO run_changes AS c (run_id, ticket_id, {", ".join(_NOTED)})
  SELECT run, ticket, {", ".join(_NOTED)} FROM judged
  ON CONFLICT (run_id, ticket_id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _NOTED)}
  WHERE c.outcome = 'failed' AND excluded.outcome <> 'failed'
  RETURNING run_id, ticket_id, outcome, before_label <> after_label AS flipped, xmax <> 0 AS had_failed
), fresh AS (
  SELECT judged.* FROM judged JOIN noted ON (run_id, ticket_id) = (run, ticket)
), said AS (
  INSERT INTO predictions (ticket_id, digest, {_RESULT})
  SELECT DISTINCT ON (ticket, digest, model_version) ticket, digest, {_RESULT} FROM fresh WHERE outcome = 'done'
  ON CONFLICT (ticket_id, digest, model_version) DO UPDATE SET
    {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS)}
  WHERE excluded.ticket_id IN (SELECT ticket FROM fresh WHERE force)
), moved AS (
  UPDATE tickets t SET epoch = fresh.epoch, {", ".join(f"{name} = fresh.{name}" for name in _COLUMNS)}
  FROM fresh
  WHERE t.id = fresh.ticket AND t.digest = fresh.digest AND t.forgotten_at IS NULL
    AND fresh.outcome IN ('done', 'unchanged') AND NOT fresh.shadow
    AND (fresh.epoch > t.epoch OR (fresh.force AND fresh.epoch = t.epoch))
  RETURNING t.id, t.source, t.digest, t.model_version,
    fresh.tell_flips AND fresh.before_label <> fresh.after_label AS telling
), told AS (
  INSERT INTO deliveries (target, ticket_id, digest, model_version)
  SELECT result_targets.target, moved.id, moved.digest, moved.model_version
  FROM moved JOIN result_targets USING (source)
  WHERE moved.telling AND NOT EXISTS (
    SELECT FROM reviews v WHERE (v.ticket_id, v.digest) = (moved.id, moved.digest) AND v.label IS NOT NULL
  )
  ON CONFLICT DO NOTHING
), counts AS (
  SELECT run, count(*) FILTER (WHERE flipped) AS flips, count(*) FILTER (WHERE had_failed) AS had_failed,
    {", ".join(f"count(*) FILTER (WHERE outcome = '{name}') AS {name}" for name in _OUTCOMES)}
  FROM (
    SELECT run_id AS run, outcome, flipped, had_failed FROM noted
    UNION ALL SELECT run, 'gone', false, false FROM incoming WHERE ticket NOT IN (SELECT id FROM locked)
  ) AS each GROUP BY run
)
UPDATE reclassify_runs r SET flips = r.flips + counts.flips, failed = r.failed + counts.failed - counts.had_failed,
  {", ".join(f"{name} = r.{name} + counts.{name}" for name in _OUTCOMES if name != "failed")}
FROM counts WHERE r.id = counts.run
"""  # noqa: S608 - built from the constants above; values travel as parameters
_REWRITE: Final = text(_STATEMENT)


def rewrite(database: Database, rows: Sequence[Reclassified]) -> None:
    """Store what runs said, one row a run and ticket. Raises DatabaseAway (try it again) or RowRefused."""
    if rows:
        with database.autocommit() as connection:
            connection.execute(_REWRITE, _document(rows))


def rehearse(database: Database, like: Reclassified) -> None:
    """Store the prediction of `like` for no ticket, and take it back: does Postgres refuse whatever comes?

    Raises:
        StatementRefused: it does, so no row is to blame.
    """
    row = Reclassified(ClaimCheck(like.check.run, 0, b""), like.outcome, like.prediction, like.classified_at)
    try:
        with database_errors(), database.engine.connect() as connection, connection.begin() as transaction:
            connection.execute(_REWRITE, _document([row]))
            transaction.rollback()
    except RowRefused as error:
        raise StatementRefused(f"Postgres refuses every result of a run: {error}") from None


def _document(rows: Sequence[Reclassified]) -> dict[str, str]:
    values = {(row.check.run, row.check.ticket): _values(row) for row in rows}
    return {"rows": json.dumps(list(values.values()), ensure_ascii=False)}


def _values(row: Reclassified) -> dict[str, object]:
    check, said = row.check, row.prediction
    values: dict[str, object] = {
        "run": check.run, "ticket": check.ticket, "hex": check.digest.hex(), "said": row.outcome,
    }  # fmt: skip
    if said is None or row.classified_at is None:
        return values
    return values | {
        "label": said.label, "confidence": said.confidence, "probabilities": dict(said.probabilities),
        "band": str(said.band), "model_version": said.model_version, "tokens": said.tokens,
        "truncated": said.truncated, "classified_at": row.classified_at.isoformat(),
    }  # fmt: skip
