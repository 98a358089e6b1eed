"""Records and undoes a person's label for a text: a review, or a verdict that no review asked for. Unrequested
verdicts are corrections in the CRM and imported labels. People correct what they notice, so these verdicts say
nothing about other texts. They have a stratum of their own (`Unasked`): the estimate of accuracy does not count them,
and their texts are still drawn for review. A label that Triagem itself wrote to the CRM comes back as a webhook;
Triagem recognises it and does not record it.
"""

from datetime import datetime
from enum import StrEnum
from typing import Final

from triagem.contracts.ticket import Identity
from triagem.db.connect import Database
from triagem.db.reviews.sampling import LEASE

MAX_COMMENT_CHARS: Final = 1000


class ReviewRejected(StrEnum):
    """Reason why a review was not recorded."""

    CHANGED = "the customer has changed the text since: look at it again"
    GONE = "there is no such ticket, or it was forgotten"


# A trigger queues the result again for CRMs that have a result of the ticket (`changes.sql`), also after an undone
# review.
# The ticket is locked against `forget`, which could otherwise delete its reviews just before this one is inserted.
# A shared lock is not enough: a review also stamps the ticket (INV-27), so two reviews with shared locks would
# deadlock.
_RECORD: Final = """
WITH ticket AS (
  SELECT id, digest, revision FROM tickets
  WHERE (source, external_id) = (:source, :external_id) AND forgotten_at IS NULL FOR NO KEY UPDATE
), draw AS (
  SELECT d.* FROM review_draws d JOIN ticket ON (ticket.id, ticket.digest) = (d.ticket_id, d.digest) WHERE :requested
  ORDER BY d.leased_until DESC NULLS LAST LIMIT 1
), new_label AS (
  INSERT INTO labels (label, name) SELECT :label, :label WHERE CAST(:label AS text) IS NOT NULL ON CONFLICT DO NOTHING
), review AS (
  INSERT INTO reviews (
    ticket_id, digest, label, reviewer, reviewed_at, comment, proposal, stratum, inclusion, model_version, model_label
  )
  SELECT ticket.id, ticket.digest, :label, :reviewer, least(coalesce(:reviewed_at, now()), now()),
    nullif(:comment, ''), CAST(:proposal AS text),
    coalesce(stratum, :kind), inclusion, model_version, model_label
  FROM ticket LEFT JOIN draw ON true WHERE ticket.digest = coalesce(:digest, ticket.digest)
    AND ticket.revision = coalesce(:revision, ticket.revision)
  RETURNING id, ticket_id, digest
), released AS (
  UPDATE review_draws d SET leased_until = now() FROM review
  WHERE (d.ticket_id, d.digest, d.leased_by) = (review.ticket_id, review.digest, :reviewer) AND d.leased_until > now()
)
SELECT (SELECT id FROM review) AS id, EXISTS (SELECT FROM ticket) AS ticket_exists
"""


def record_review(
    database: Database,
    ticket: Identity,
    label: str | None,
    reviewer: str,
    *,
    digest: bytes | None = None,
    kind: str | None = None,
    requested: bool = True,
    reviewed_at: datetime | None = None,
    revision: int | None = None,
    comment: str = "",
    proposal: str | None = None,
) -> int | ReviewRejected:
    """Record a review of the text with that digest, by default of the current text; no label means "unclear".

    Ends the reviewer's lease, so that others can get the text. Returns the review's id.

    Args:
        kind: the kind of the question, if the review answers one (`triagem.db.reviews.labelling`).
        requested: False for a verdict that no review asked for (`triagem.db.reviews.records`).
        reviewed_at: default: now.
        revision: the revision of the text that the reviewer read; default: any.
        proposal: a label that does not exist yet, in place of `label`.
    """
    note = comment.strip()[:MAX_COMMENT_CHARS].replace("\0", "\ufffd").encode(errors="replace").decode()
    row = database.one(
        _RECORD, **ticket._asdict(), label=label, reviewer=reviewer, digest=digest, kind=kind,
        requested=requested, reviewed_at=reviewed_at, comment=note, proposal=proposal, revision=revision,
    )  # fmt: skip
    if row.id is not None:
        return int(row.id)
    return ReviewRejected.CHANGED if row.ticket_exists else ReviewRejected.GONE


_UNDO: Final = """
WITH undone AS (
  DELETE FROM reviews WHERE id = :id AND reviewer = :reviewer RETURNING id, ticket_id, digest
), leased AS (
  UPDATE review_draws d SET leased_by = :reviewer, leased_until = now() + :lease FROM undone
  WHERE (d.ticket_id, d.digest) = (undone.ticket_id, undone.digest)
)
SELECT count(*) FROM undone
"""


def undo_review(database: Database, review_id: int, reviewer: str) -> bool:
    """Delete a reviewer's own review and lease the text to them again; False if the review no longer exists."""
    return bool(database.scalar_one(_UNDO, id=review_id, reviewer=reviewer, lease=LEASE))


class Unasked(StrEnum):
    """The stratum of a verdict that no review asked for."""

    CRM = "crm"
    IMPORT = "import"


class NoCorrection(StrEnum):
    """Reason why a label that a CRM shows is not recorded as a verdict."""

    UNKNOWN = "a label of a ticket that is not stored"
    UNCHANGED = "a label that the ticket already has"
    OWN = "a label that Triagem wrote"
    OUTDATED = "a label that a newer result or review has replaced"


# Triagem sends the effective label to a CRM (`triagem.db.outbox.deliveries`). While a request is in progress, or its
# outcome is unknown, an earlier label that comes back from the CRM may be the one that this request wrote. Triagem
# writes no label for the band `abstain`.
_JUDGE: Final = """
WITH ticket AS (
  SELECT t.id, t.digest, t.band, t.label FROM tickets t
  WHERE (source, external_id) = (:source, :external_id) AND forgotten_at IS NULL
), review AS (
  SELECT r.label, r.reviewed_at FROM reviews r JOIN ticket t ON (r.ticket_id, r.digest) = (t.id, t.digest)
  ORDER BY r.id DESC LIMIT 1
), sent AS (
  SELECT d.*, d.state = 'waiting' AND (d.attempts > 0 OR coalesce(d.leased_until > now(), false)) AS under_way
  FROM deliveries d JOIN ticket t ON d.ticket_id = t.id
), earlier AS (
  SELECT p.label FROM predictions p JOIN ticket t ON p.ticket_id = t.id
  UNION SELECT r.label FROM reviews r JOIN ticket t ON r.ticket_id = t.id
)
SELECT CASE
  WHEN coalesce(review.label, CASE WHEN ticket.band <> 'abstain' THEN ticket.label END) = :label THEN 'UNCHANGED'
  WHEN EXISTS (SELECT FROM sent WHERE delivered_label = :label AND delivered_band <> 'abstain') THEN 'OWN'
  WHEN EXISTS (SELECT FROM sent WHERE under_way) AND :label IN (SELECT label FROM earlier) THEN 'OWN'
  WHEN :changed_at <= greatest(review.reviewed_at, (SELECT max(delivered_at) FROM sent)) THEN 'OUTDATED'
END AS reason
FROM ticket LEFT JOIN review ON true
"""


def record_correction(
    database: Database,
    ticket: Identity,
    label: str,
    reviewer: str,
    stratum: Unasked,
    *,
    changed_at: datetime | None = None,
) -> int | NoCorrection:
    """Record a person's label as a review of the ticket's current text, unless it corrects nothing.

    Returns the review's id.

    `changed_at`: when the person set the label; None if unknown: the time counts as now.
    """
    row = database.one_or_none(_JUDGE, **ticket._asdict(), label=label, changed_at=changed_at)
    if row is None:
        return NoCorrection.UNKNOWN
    if row.reason is not None:
        return NoCorrection[row.reason]
    outcome = record_review(database, ticket, label, reviewer, kind=stratum, requested=False, reviewed_at=changed_at)
    return NoCorrection.UNKNOWN if isinstance(outcome, ReviewRejected) else outcome


_ONLY_OURS: Final = """
SELECT DISTINCT ON (t.id) t.external_id, d.delivered_label FROM deliveries d JOIN tickets t ON t.id = d.ticket_id
WHERE t.source = :source AND d.delivered_label IS NOT NULL AND d.delivered_band <> 'abstain'
  AND NOT EXISTS (SELECT FROM reviews r WHERE (r.ticket_id, r.digest) = (t.id, t.digest) AND r.label IS NOT NULL)
ORDER BY t.id, d.delivered_at DESC NULLS LAST
"""


def labels_only_ours(database: Database, source: str) -> dict[str, str]:
    """The labels that Triagem has written to a CRM, by the ticket's id, of tickets that no person has labelled."""
    return dict(database.rows(_ONLY_OURS, source=source))
