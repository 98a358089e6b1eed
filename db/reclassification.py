"""Reads stored tickets for a reclassification run and writes their new results, in one statement per window.

A ticket is updated only if its id and text still match, and only forward (INV-14): if the run's epoch is higher, or
equal for a run with `force`. The run's result for a ticket is recorded once, and everything else changes only with
that record, so a redelivery changes nothing.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import text

from triagem.contracts.errors import RowRefused, StatementRefused
from triagem.contracts.prediction import Band, Prediction
from triagem.contracts.wire import StoredTicketRef
from triagem.db.connect import Database, database_errors


@dataclass(frozen=True, slots=True)
class ResolvedTicket:
    """The stored ticket of a reference. `text` is None if the text has changed or is gone, or if `cached` is set.

    `cached`: the prediction of the run's version for this text and its time; always None for a run with `force`.
    """

    ref: StoredTicketRef
    version: str
    epoch: int
    shadow: bool
    text: str | None
    cached: tuple[Prediction, datetime] | None


@dataclass(frozen=True, slots=True)
class ReclassifiedTicket:
    """The result to store for a reference. `outcome` is `done` (classified), `unchanged` (cached) or `failed`.

    Without an outcome the statement determines why there is none.
    """

    ref: StoredTicketRef
    outcome: str = ""
    prediction: Prediction | None = None
    classified_at: datetime | None = None


_RESOLVE: Final = text("""
SELECT i.position, r.version, r.epoch, r.shadow, CASE WHEN p.ticket_id IS NULL THEN t.text END AS text,
  p.label, p.confidence, p.probabilities, p.band, p.tokens, p.truncated, p.classified_at
FROM unnest(CAST(:runs AS bigint[]), CAST(:tickets AS bigint[]), CAST(:digests AS bytea[]))
  WITH ORDINALITY AS i(run, ticket, digest, position)
JOIN reclassify_runs r ON r.id = i.run AND r.state <> 'cancelled'
LEFT JOIN tickets t ON (t.id, t.digest) = (i.ticket, i.digest) AND t.forgotten_at IS NULL
LEFT JOIN predictions p ON (p.ticket_id, p.digest, p.model_version) = (t.id, i.digest, r.version) AND NOT r.force
""")


def resolve_tickets(database: Database, refs: Sequence[StoredTicketRef]) -> list[ResolvedTicket | None]:
    """The stored tickets of references, in their order, by one query; None where the run was cancelled."""
    if not refs:
        return []
    tickets: list[ResolvedTicket | None] = [None] * len(refs)
    values = {
        "runs": [ref.run for ref in refs],
        "tickets": [ref.ticket for ref in refs],
        "digests": [ref.digest for ref in refs],
    }
    with database.autocommit() as connection:
        rows = connection.execute(_RESOLVE, values).all()
    for row in rows:
        prediction = row.label is not None and Prediction(
            row.label, row.confidence, row.probabilities, Band(row.band), row.version, row.tokens, row.truncated
        )
        cached = (prediction, row.classified_at) if prediction else None
        index = row.position - 1
        tickets[index] = ResolvedTicket(refs[index], row.version, row.epoch, row.shadow, row.text, cached)
    return tickets


_COLUMNS: Final = {
    "label": "text", "confidence": "float8", "probabilities": "jsonb", "band": "text", "model_version": "text",
    "tokens": "int", "truncated": "bool", "classified_at": "timestamptz",
}  # fmt: skip
_RESULT: Final = ", ".join(_COLUMNS)
_COMPARED: Final = ("label", "confidence", "band")
_CHANGE_COLUMNS: Final = ("outcome", *(f"{when}_{column}" for when in ("before", "after") for column in _COMPARED))
_OUTCOMES: Final = ("done", "unchanged", "changed", "gone", "failed")

_STATEMENT: Final = f"""
WITH incoming AS (
  SELECT i.run, i.ticket, decode(i.hex, 'hex') AS digest, i.reported, {_RESULT}, r.epoch, r.shadow, r.force,
    r.notify_flips
  FROM json_to_recordset(CAST(:rows AS json)) AS i(
    run bigint, ticket bigint, hex text, reported text,
    {", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())}
  ) JOIN reclassify_runs r ON r.id = i.run AND r.state <> 'cancelled'
), locked AS (
  SELECT id, digest, forgotten_at, text IS NULL AS textless, {", ".join(_COMPARED)}
  FROM tickets WHERE id IN (SELECT ticket FROM incoming)
  ORDER BY source COLLATE "C", external_id COLLATE "C" FOR NO KEY UPDATE
), compared AS (
  SELECT i.*, {", ".join(f"l.{name} AS before_{name}, i.{name} AS after_{name}" for name in _COMPARED)}, CASE
    WHEN l.forgotten_at IS NOT NULL THEN 'gone' WHEN l.digest <> i.digest THEN 'changed'
    WHEN i.reported <> '' THEN i.reported WHEN l.textless THEN 'gone' ELSE 'changed'
  END AS outcome
  FROM incoming i JOIN locked l ON l.id = i.ticket
), recorded AS (
  INSERT INTO run_changes AS c (run_id, ticket_id, {", ".join(_CHANGE_COLUMNS)})
  SELECT run, ticket, {", ".join(_CHANGE_COLUMNS)} FROM compared
  ON CONFLICT (run_id, ticket_id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _CHANGE_COLUMNS)}
  WHERE c.outcome = 'failed' AND excluded.outcome <> 'failed'
  RETURNING run_id, ticket_id, outcome, before_label <> after_label AS flipped, xmax <> 0 AS had_failed
), new_results AS (
  SELECT compared.* FROM compared JOIN recorded ON (run_id, ticket_id) = (run, ticket)
), new_predictions AS (
  INSERT INTO predictions (ticket_id, digest, {_RESULT})
  SELECT DISTINCT ON (ticket, digest, model_version) ticket, digest, {_RESULT} FROM new_results WHERE outcome = 'done'
  ON CONFLICT (ticket_id, digest, model_version) DO UPDATE SET
    {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS)}
  WHERE excluded.ticket_id IN (SELECT ticket FROM new_results WHERE force)
), updated AS (
  UPDATE tickets t SET epoch = n.epoch, {", ".join(f"{name} = n.{name}" for name in _COLUMNS)}
  FROM new_results n
  WHERE t.id = n.ticket AND t.digest = n.digest AND t.forgotten_at IS NULL
    AND n.outcome IN ('done', 'unchanged') AND NOT n.shadow
    AND (n.epoch > t.epoch OR (n.force AND n.epoch = t.epoch))
  RETURNING t.id, t.source, t.digest, t.model_version,
    n.notify_flips AND n.before_label <> n.after_label AS notify
), queued_deliveries AS (
  INSERT INTO deliveries (target, ticket_id, digest, model_version)
  SELECT result_targets.target, updated.id, updated.digest, updated.model_version
  FROM updated JOIN result_targets USING (source)
  WHERE updated.notify AND NOT EXISTS (
    SELECT FROM reviews v WHERE (v.ticket_id, v.digest) = (updated.id, updated.digest) AND v.label IS NOT NULL
  )
  ON CONFLICT DO NOTHING
), counts AS (
  SELECT run, count(*) FILTER (WHERE flipped) AS flips, count(*) FILTER (WHERE had_failed) AS had_failed,
    {", ".join(f"count(*) FILTER (WHERE outcome = '{name}') AS {name}" for name in _OUTCOMES)}
  FROM (
    SELECT run_id AS run, outcome, flipped, had_failed FROM recorded
    UNION ALL SELECT run, 'gone', false, false FROM incoming WHERE ticket NOT IN (SELECT id FROM locked)
  ) AS outcomes GROUP BY run
)
UPDATE reclassify_runs r SET flips = r.flips + counts.flips, failed = r.failed + counts.failed - counts.had_failed,
  {", ".join(f"{name} = r.{name} + counts.{name}" for name in _OUTCOMES if name != "failed")}
FROM counts WHERE r.id = counts.run
"""  # noqa: S608 - built from the constants above; values travel as parameters
_WRITE: Final = text(_STATEMENT)


def write_reclassified(database: Database, rows: Sequence[ReclassifiedTicket]) -> None:
    """Store results of runs, one row per run and ticket. Raises DatabaseUnavailable (retry) or RowRefused."""
    if rows:
        with database.autocommit() as connection:
            connection.execute(_WRITE, _document(rows))


def probe_write(database: Database, sample: ReclassifiedTicket) -> None:
    """Check whether Postgres refuses every row: write the prediction of `sample` without a ticket, and roll back.

    Raises:
        StatementRefused: it does, so no single row is at fault.
    """
    ref = StoredTicketRef(sample.ref.run, 0, b"")
    row = ReclassifiedTicket(ref, sample.outcome, sample.prediction, sample.classified_at)
    try:
        with database_errors(), database.engine.connect() as connection, connection.begin() as transaction:
            connection.execute(_WRITE, _document([row]))
            transaction.rollback()
    except RowRefused as error:
        raise StatementRefused(f"Postgres refuses every result of a run: {error}") from None


def _document(rows: Sequence[ReclassifiedTicket]) -> dict[str, str]:
    values = {(row.ref.run, row.ref.ticket): _values(row) for row in rows}
    return {"rows": json.dumps(list(values.values()), ensure_ascii=False)}


def _values(row: ReclassifiedTicket) -> dict[str, object]:
    ref, prediction = row.ref, row.prediction
    values: dict[str, object] = {
        "run": ref.run, "ticket": ref.ticket, "hex": ref.digest.hex(), "reported": row.outcome,
    }  # fmt: skip
    if prediction is None or row.classified_at is None:
        return values
    return values | {
        "label": prediction.label, "confidence": prediction.confidence,
        "probabilities": dict(prediction.probabilities), "band": str(prediction.band),
        "model_version": prediction.model_version, "tokens": prediction.tokens,
        "truncated": prediction.truncated, "classified_at": row.classified_at.isoformat(),
    }  # fmt: skip
