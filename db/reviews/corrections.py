"""Records verdicts that no review asked for: corrections in the CRM, and imported labels.

People correct what they notice, so these verdicts say nothing about other texts. They have a stratum of their own
(`Unasked`): the estimate of accuracy does not count them, and their texts are still drawn for review. A label that
Triagem itself wrote to the CRM comes back as a webhook; it is recognised and never counts.
"""

from datetime import datetime
from enum import StrEnum
from typing import Final

from sqlalchemy import text

from triagem.contracts.ticket import Identity
from triagem.db.connect import Database
from triagem.db.reviews.records import ReviewRef, ReviewRejected, record_review


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


# A CRM is told the effective label (`triagem.db.outbox.deliveries`). While a request is under way, or its outcome is
# unknown, an earlier label of the ticket may be its echo. With the band `abstain` no label is written.
_JUDGE: Final = text("""
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
""")


def record_correction(
    database: Database,
    ticket: Identity,
    label: str,
    reviewer: str,
    stratum: Unasked,
    *,
    changed_at: datetime | None = None,
) -> ReviewRef | NoCorrection:
    """Record a person's label as a review of the ticket's current text, unless it corrects nothing.

    Args:
        changed_at: when the person set it; None if it is unknown: now.
    """
    row = database.one_or_none(_JUDGE, **ticket._asdict(), label=label, changed_at=changed_at)
    if row is None:
        return NoCorrection.UNKNOWN
    if row.reason is not None:
        return NoCorrection[row.reason]
    outcome = record_review(database, ticket, label, reviewer, kind=stratum, requested=False, reviewed_at=changed_at)
    return NoCorrection.UNKNOWN if isinstance(outcome, ReviewRejected) else outcome


_ONLY_OURS: Final = text("""
SELECT DISTINCT ON (t.id) t.external_id, d.delivered_label FROM deliveries d JOIN tickets t ON t.id = d.ticket_id
WHERE t.source = :source AND d.delivered_label IS NOT NULL AND d.delivered_band <> 'abstain'
  AND NOT EXISTS (SELECT FROM reviews r WHERE (r.ticket_id, r.digest) = (t.id, t.digest) AND r.label IS NOT NULL)
ORDER BY t.id, d.delivered_at DESC NULLS LAST
""")


def labels_only_ours(database: Database, source: str) -> dict[str, str]:
    """The labels that Triagem has written to a CRM, by the ticket's id, of tickets that no person has labelled."""
    rows = database.rows(_ONLY_OURS, source=source)
    return {row.external_id: row.delivered_label for row in rows}
