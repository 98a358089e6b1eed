"""Keyset pagination of a run: tickets to record and enqueue, or to point at another version's predictions.

A page is recorded first, then its references are enqueued: if the process ends in between, `recorded_refs` finds them
again. A page is a fixed number of scanned tickets, not of matching ones: if few match, finding a full page of matches
would exceed the statement timeout.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import text

from triagem.contracts.conversation import judge
from triagem.contracts.text import clean, digest
from triagem.contracts.ticket import PREDICT_SOURCE, OnReply
from triagem.contracts.wire import StoredTicketRef
from triagem.db.connect import Database, database_errors
from triagem.db.runs import APPLY, ReclassifyRun
from triagem.db.tickets.messages import JUDGED_MESSAGES, read_messages

PAGE: Final = 1000

_STORED: Final = "t.text IS NOT NULL AND t.forgotten_at IS NULL AND t.source <> :predict"
# SQL condition of each entry of a run's `filters`.
CONDITIONS: Final = {
    "label": "t.label = :label",
    "band": "t.band = :band",
    "source": "t.source = :source",
    "model": "t.model_version = :model",
    "not_model": "t.model_version IS DISTINCT FROM :not_model",
    "since": "t.received_at >= CAST(:since AS timestamptz)",
    "until": "t.received_at < CAST(:until AS timestamptz)",
    "unlabelled": ":unlabelled AND t.state = 'unlabelled'",
    "cleaning": ":cleaning = 'changed'",  # next_page compares the digests
    # Predictions of a shadow run (epoch 0) were never results: after the promotion, the run makes them results.
    "unseen": (
        ":unseen AND t.epoch < :epoch AND NOT EXISTS (SELECT FROM predictions p"
        " WHERE (p.ticket_id, p.digest, p.model_version) = (t.id, t.digest, :version) AND p.epoch > 0)"
    ),
}


@dataclass(frozen=True, slots=True)
class RunPage:
    """Tickets of a run, and the ticket id after which the next page starts."""

    refs: list[StoredTicketRef]
    after: int


def next_page(database: Database, run: ReclassifyRun) -> RunPage:
    """The next tickets of a run. Without `force`, skips those whose current result is by the run's version.

    With the filter `cleaning`, skips tickets whose text this release cleans as the storing release did. A
    conversation's text is composed from its messages again: a composed text is never cleaned.
    """
    conditions = [_STORED, *(CONDITIONS[name] for name in run.filters)]
    if not (run.shadow or run.force):
        conditions.append("t.model_version IS DISTINCT FROM :version")
    received = f"t.text, t.on_reply, CASE WHEN t.on_reply IS NOT NULL THEN {JUDGED_MESSAGES} END AS messages,"
    query = text(f"""
    SELECT t.id, t.digest, {received if "cleaning" in run.filters else ""} {" AND ".join(conditions)} AS selected
    FROM tickets t
    WHERE t.id > :cursor AND t.id <= :last ORDER BY t.id LIMIT :page
    """)  # noqa: S608 - built from the conditions above; values travel as parameters
    values = {
        **run.filters, "version": run.version, "epoch": run.epoch, "cursor": run.cursor, "last": run.last_id,
        "page": PAGE, "predict": PREDICT_SOURCE,
    }  # fmt: skip
    rows = database.rows(query, **values)
    refs = [
        StoredTicketRef(run.id, row.id, row.digest)
        for row in rows
        if row.selected and ("cleaning" not in run.filters or digest(_cleaned(row)) != row.digest)
    ]
    after = rows[-1].id if len(rows) == PAGE else run.last_id
    if run.max_tickets is not None and run.put + len(refs) >= run.max_tickets:
        refs, after = refs[: run.max_tickets - run.put], run.last_id
    return RunPage(refs, after)


def _cleaned(row: Any) -> str:
    """The text of a stored ticket as this release cleans it."""
    if row.on_reply is None:
        return clean(row.text)
    return judge(read_messages(row.messages), OnReply(row.on_reply)).text


def count_tickets(database: Database, run: ReclassifyRun) -> Iterator[int]:
    """Yields per page how many tickets a run would classify; changes nothing."""
    while run.cursor < run.last_id:
        page = next_page(database, run)
        run = replace(run, cursor=page.after, put=run.put + len(page.refs))
        yield len(page.refs)


_RECORD: Final = text("""
WITH run AS (
  UPDATE reclassify_runs SET cursor = :after, put = put + cardinality(CAST(:tickets AS bigint[]))
  WHERE id = :id AND cursor = :cursor AND state = 'running' RETURNING id
), recorded AS (
  INSERT INTO run_changes (run_id, ticket_id, outcome)
  SELECT id, ticket, 'queued' FROM run, unnest(CAST(:tickets AS bigint[])) AS ticket
)
SELECT count(*) FROM run
""")


def record_page(database: Database, run: ReclassifyRun, page: RunPage) -> bool:
    """Record a page and move the cursor; False if another process did, or if the run is no longer running."""
    tickets = [ref.ticket for ref in page.refs]
    return bool(database.scalar_one(_RECORD, id=run.id, cursor=run.cursor, after=page.after, tickets=tickets))


_RECORDED: Final = text("""
SELECT c.ticket_id, coalesce(t.digest, '') AS digest, count(*) OVER () AS total
FROM run_changes c LEFT JOIN tickets t ON t.id = c.ticket_id
WHERE c.run_id = :id AND c.ticket_id > :enqueued AND c.ticket_id <= :cursor AND c.outcome = 'queued'
ORDER BY c.ticket_id LIMIT :page
""")


def recorded_refs(database: Database, run: ReclassifyRun) -> tuple[list[StoredTicketRef], int]:
    """The recorded tickets of a run to enqueue next, and the total number that is not enqueued yet."""
    rows = database.rows(_RECORDED, id=run.id, enqueued=run.enqueued, cursor=run.cursor, page=PAGE)
    refs = [StoredTicketRef(run.id, row.ticket_id, row.digest) for row in rows]
    return refs, rows[0].total if rows else 0


def save_enqueued(database: Database, run: ReclassifyRun, after: int) -> bool:
    """Save that the recorded tickets up to this one are on the lane; False as in `record_page`."""
    return (
        database.execute(
            "UPDATE reclassify_runs SET enqueued = :after, reason = '' "
            "WHERE id = :id AND enqueued = :enqueued AND state = 'running'",
            id=run.id,
            enqueued=run.enqueued,
            after=after,
        )
        > 0
    )


# Cursor and tickets are updated together, and only from this cursor on: a delayed process changes nothing.
_APPLY: Final = text("""
WITH run AS (
  SELECT * FROM reclassify_runs WHERE id = :id AND cursor = :cursor AND state = 'running' FOR NO KEY UPDATE
), page AS (
  SELECT id FROM tickets WHERE id > :cursor AND id <= :last ORDER BY id LIMIT :page
), locked AS (
  SELECT id, source, digest, forgotten_at, epoch, label, confidence, band, model_version
  FROM tickets WHERE id IN (SELECT id FROM page) AND EXISTS (SELECT FROM run)
  ORDER BY source COLLATE "C", external_id COLLATE "C" FOR NO KEY UPDATE
), matching AS (
  SELECT l.id, l.label AS label_before, l.confidence AS confidence_before, l.band AS band_before, run.epoch,
    p.label, p.confidence, p.probabilities, p.band, p.model_version, p.tokens, p.truncated,
    p.abstain_reason, p.classified_at
  FROM run CROSS JOIN locked l
  JOIN predictions p ON (p.ticket_id, p.digest, p.model_version) = (l.id, l.digest, run.version)
  WHERE l.epoch <= run.epoch AND l.forgotten_at IS NULL AND l.model_version IS DISTINCT FROM run.version
    AND l.source <> :predict
), updated AS (
  UPDATE tickets t SET state = 'classified', epoch = c.epoch, label = c.label, confidence = c.confidence,
    probabilities = c.probabilities, band = c.band, model_version = c.model_version, tokens = c.tokens,
    truncated = c.truncated, abstain_reason = c.abstain_reason, classified_at = c.classified_at
  FROM matching c WHERE t.id = c.id
), recorded AS (
  INSERT INTO run_changes (run_id, ticket_id, outcome, before_label, before_confidence, before_band, after_label,
    after_confidence, after_band)
  SELECT :id, id, 'done', label_before, confidence_before, band_before, label, confidence, band FROM matching
  ON CONFLICT DO NOTHING
)
UPDATE reclassify_runs r SET
  cursor = CASE WHEN (SELECT count(*) FROM page) = :page THEN (SELECT max(id) FROM page) ELSE r.last_id END,
  put = r.put + (SELECT count(*) FROM matching), done = r.done + (SELECT count(*) FROM matching),
  flips = r.flips + (SELECT count(*) FROM matching WHERE label <> label_before)
FROM run WHERE r.id = run.id
""")


def apply_page(database: Database, run: ReclassifyRun) -> bool:
    """Point the next tickets at the stored predictions of the run's version; False as in `record_page`.

    Changes results up to and including the epoch that was current when the run started. Results of a later epoch
    stay. So does the result of a newer text, for which the version has no prediction.
    """
    assert run.kind == APPLY
    values = {"id": run.id, "cursor": run.cursor, "last": run.last_id, "page": PAGE, "predict": PREDICT_SOURCE}
    return database.execute(_APPLY, **values) > 0


LOCK_S: Final = 60.0  # a sweep takes a few seconds
_LIMIT_IDLE: Final = text("SELECT set_config('idle_in_transaction_session_timeout', :limit, true)")


@contextmanager
def sweep_lock(database: Database) -> Iterator[bool]:
    """Yields whether the caller holds the lock on advancing runs; never waits. Postgres releases the lock when the
    process ends, or a minute after its host froze; in the latter case the block ends with DatabaseUnavailable.

    An advisory lock, not one on the run's row: workers update the counters in that row.
    """
    with database_errors(), database.engine.connect() as connection, connection.begin():
        connection.execute(_LIMIT_IDLE, {"limit": f"{LOCK_S * 1000:.0f}ms"})
        yield connection.execute(
            text("SELECT pg_try_advisory_xact_lock(hashtext('triagem reclassify'))")
        ).scalar_one()
