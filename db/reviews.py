"""Reviews: record and undo a person's label for a text, and estimate the model's accuracy from reviews.

The only interface to reviews, for CLI and console. The latest review of a text determines its label (INV-16). A
review without a label means "unclear": the model's label stays, and the text counts as reviewed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import text

from triagem.contracts.ticket import PREDICT_SOURCE, Identity
from triagem.db.accuracy import AccuracyEstimate, ReviewedText, SamplingRound, StratumAccuracy, estimate_accuracy
from triagem.db.connect import Database
from triagem.db.review_sampling import LEASE, ReviewLease, ReviewTask, draw_tasks, open_leases, release_tasks

__all__ = [
    "AccuracyEstimate", "ReviewLease", "ReviewRef", "ReviewRejected", "ReviewTask", "StratumAccuracy", "draw_tasks",
    "model_accuracy", "open_leases", "record_review", "release_tasks", "reviewed_labels", "sampling_rounds",
    "undo_review",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class ReviewRef:
    """A stored review."""

    id: int
    reviewer: str


class ReviewRejected(StrEnum):
    """Reason why a review was not recorded."""

    CHANGED = "the customer has changed the text since: look at it again"
    GONE = "there is no such ticket, or it was forgotten"


# A ticket with a delivery to a CRM, sent or not, gets another one after each review and each undone review.
_NOTIFY: Final = """
INSERT INTO deliveries (target, ticket_id, digest, model_version, review_id)
SELECT DISTINCT d.target, t.id, t.digest, t.model_version, {review_id} FROM {reviews} AS v
JOIN tickets t ON (t.id, t.digest) = (v.ticket_id, v.digest)
JOIN deliveries d ON d.ticket_id = t.id JOIN result_targets USING (target)
"""
# The ticket is locked against `forget`, which could otherwise delete its reviews just before this one is inserted.
_RECORD: Final = text(f"""
WITH ticket AS (
  SELECT id, digest FROM tickets
  WHERE (source, external_id) = (:source, :external_id) AND forgotten_at IS NULL FOR SHARE
), draw AS (
  SELECT d.* FROM review_draws d JOIN ticket ON (ticket.id, ticket.digest) = (d.ticket_id, d.digest)
  ORDER BY d.leased_until DESC NULLS LAST LIMIT 1
), review AS (
  INSERT INTO reviews (ticket_id, digest, label, reviewer, stratum, inclusion, model_version, model_label)
  SELECT ticket.id, ticket.digest, :label, :reviewer, stratum, inclusion, model_version, model_label
  FROM ticket LEFT JOIN draw ON true WHERE ticket.digest = coalesce(:digest, ticket.digest)
  RETURNING id, ticket_id, digest
), queued_deliveries AS ({_NOTIFY.format(review_id="v.id", reviews="review")})
SELECT (SELECT id FROM review) AS id, EXISTS (SELECT FROM ticket) AS ticket_exists
""")  # noqa: S608 - built from the constant above; values travel as parameters


def record_review(
    database: Database, ticket: Identity, label: str | None, reviewer: str, *, digest: bytes | None = None
) -> ReviewRef | ReviewRejected:
    """Record a review of the text with that digest, by default of the current text; no label means "unclear"."""
    values = {**ticket._asdict(), "label": label, "reviewer": reviewer, "digest": digest}
    with database.autocommit() as connection:
        row = connection.execute(_RECORD, values).one()
    if row.id is not None:
        return ReviewRef(row.id, reviewer)
    return ReviewRejected.CHANGED if row.ticket_exists else ReviewRejected.GONE


_UNDO: Final = text(f"""
WITH undone AS (
  DELETE FROM reviews WHERE id = :id AND reviewer = :reviewer RETURNING id, ticket_id, digest
), leased AS (
  UPDATE review_draws d SET leased_by = :reviewer, leased_until = now() + :lease FROM undone
  WHERE (d.ticket_id, d.digest) = (undone.ticket_id, undone.digest)
), queued_deliveries AS ({_NOTIFY.format(review_id="-v.id", reviews="undone")})
SELECT count(*) FROM undone
""")  # noqa: S608


def undo_review(database: Database, review: ReviewRef) -> bool:
    """Delete a reviewer's own review and lease the text to them again; False if the review no longer exists."""
    values = {"id": review.id, "reviewer": review.reviewer, "lease": LEASE}
    with database.autocommit() as connection:
        return bool(connection.execute(_UNDO, values).scalar_one())


_LABELS: Final = text("SELECT DISTINCT label FROM reviews WHERE label IS NOT NULL ORDER BY label")


def reviewed_labels(database: Database) -> list[str]:
    """All labels used in reviews so far, the model's or new ones."""
    with database.autocommit() as connection:
        return list(connection.execute(_LABELS).scalars())


_ROUNDS: Final = text("""
SELECT drawn_at, since, max(inclusion) FROM review_draws d
WHERE stratum = 'random' AND model_version = :version
  AND EXISTS (SELECT FROM reviews r WHERE (r.ticket_id, r.digest) = (d.ticket_id, d.digest))
GROUP BY drawn_at, since
""")
# Uses the version's predictions, not the current results, so that a previous version can still be measured. LATERAL,
# because the planner takes (id, digest) for independent conditions, expects one row, and would use a nested loop over
# all rows.
_REVIEWED_TEXTS: Final = text("""
WITH texts AS (
  SELECT p.ticket_id, p.digest, p.band, p.confidence, t.received_at, p.classified_at,
    v.reviewed, v.label = p.label AS was_right
  FROM predictions p JOIN tickets t ON (t.id, t.digest) = (p.ticket_id, p.digest)
  LEFT JOIN LATERAL (
    SELECT true AS reviewed, r.label FROM reviews r WHERE (r.ticket_id, r.digest) = (p.ticket_id, p.digest)
    ORDER BY r.id DESC LIMIT 1
  ) AS v ON true
  WHERE p.model_version = :version AND t.forgotten_at IS NULL AND t.source <> :predict
    AND t.received_at >= :since AND p.classified_at <= :until
), least_confident_unasked AS (
  SELECT coalesce(min(confidence), 'Infinity') AS confidence FROM texts
  WHERE band <> 'automate' AND reviewed IS NULL AND NOT EXISTS (
    SELECT FROM review_draws d WHERE d.leased_until IS NOT NULL
    AND (d.ticket_id, d.digest, d.model_version) = (texts.ticket_id, texts.digest, :version)
  )
), strata AS MATERIALIZED (
  SELECT *, CASE WHEN band = 'automate' THEN 'sure'
    WHEN confidence < (SELECT u.confidence FROM least_confident_unasked u) THEN 'asked' ELSE 'unsure' END AS stratum
  FROM texts
), reviewed_texts AS (
  SELECT s.stratum, array_agg(s.was_right) AS was_right, array_agg(s.received_at) AS received,
    array_agg(s.classified_at) AS classified, array_agg(d.inclusion) AS inclusions
  FROM strata s LEFT JOIN review_draws d
    ON (d.ticket_id, d.digest, d.model_version) = (s.ticket_id, s.digest, :version)
  WHERE s.reviewed GROUP BY s.stratum
)
SELECT * FROM (SELECT stratum, count(*) AS texts FROM strata GROUP BY stratum) AS counted
LEFT JOIN reviewed_texts USING (stratum) ORDER BY stratum
""")


def model_accuracy(database: Database, model_version: str, since: datetime | None = None) -> AccuracyEstimate | None:
    """The accuracy on all texts received from `since` on that the version classified before the last sampling round.

    None if no randomly sampled text has a review. `triagem.db.accuracy` describes the estimate.
    """
    rounds = sampling_rounds(database, model_version)
    if not rounds:
        return None
    first = max(min(sampling.since for sampling in rounds), since or datetime.min.replace(tzinfo=UTC))
    values = {
        "version": model_version,
        "since": first,
        "until": max(sampling.drawn_at for sampling in rounds),
        "predict": PREDICT_SOURCE,
    }
    with database.autocommit() as connection:
        rows = connection.execute(_REVIEWED_TEXTS, values).mappings().all()
    return estimate_accuracy(
        {row["stratum"]: row["texts"] for row in rows}, {row["stratum"]: _reviewed_texts(row) for row in rows}, rounds
    )


def sampling_rounds(database: Database, model_version: str) -> list[SamplingRound]:
    """Sampling rounds of a version with at least one reviewed text."""
    with database.autocommit() as connection:
        return [SamplingRound(*row) for row in connection.execute(_ROUNDS, {"version": model_version})]


def _reviewed_texts(row: Mapping[Any, Any]) -> list[ReviewedText]:
    columns = (row[name] or () for name in ("was_right", "received", "classified", "inclusions"))
    return [ReviewedText(*values) for values in zip(*columns, strict=True)]
