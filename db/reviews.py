"""What people say of texts: a verdict, taken back, and how often the model is right by their word.

The one interface to reviews, for the command and the console. The latest verdict on a text is its label (INV-16).
One without a label means "unclear": then the model's label stays, and the text counts as reviewed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import text

from triagem.contracts.ticket import PREDICT, Identity
from triagem.db.connect import Database
from triagem.db.draws import LEASE, Drawn, Held, draw, give_back, holding
from triagem.db.estimate import Answer, Estimate, Reach, Stratum, estimate

__all__ = [
    "Drawn", "Estimate", "Held", "Missed", "Stratum", "Verdict", "accuracy", "draw", "give_back", "holding", "judge",
    "labels", "reaches", "undo",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Verdict:
    """A verdict that stands."""

    id: int
    reviewer: str


class Missed(StrEnum):
    """Why a verdict was not taken."""

    CHANGED = "the customer has changed the text since: look at it again"
    GONE = "there is no such ticket, or it was forgotten"


# A ticket whose answer was, or is to be, told to a CRM is told again with the verdict, or without the one taken back.
_TELL: Final = """
INSERT INTO deliveries (target, ticket_id, digest, model_version, review_id)
SELECT DISTINCT d.target, t.id, t.digest, t.model_version, {review} FROM {verdict} AS v
JOIN tickets t ON (t.id, t.digest) = (v.ticket_id, v.digest)
JOIN deliveries d ON d.ticket_id = t.id JOIN result_targets USING (target)
"""
# The ticket is locked against `forget`, which else could delete its reviews a moment before this one is inserted.
_JUDGE: Final = text(f"""
WITH ticket AS (
  SELECT id, digest FROM tickets
  WHERE (source, external_id) = (:source, :external_id) AND forgotten_at IS NULL FOR SHARE
), asked AS (
  SELECT d.* FROM review_draws d JOIN ticket ON (ticket.id, ticket.digest) = (d.ticket_id, d.digest)
  ORDER BY d.leased_until DESC NULLS LAST LIMIT 1
), said AS (
  INSERT INTO reviews (ticket_id, digest, label, reviewer, stratum, inclusion, model_version, model_label)
  SELECT ticket.id, ticket.digest, :label, :reviewer, stratum, inclusion, model_version, model_label
  FROM ticket LEFT JOIN asked ON true WHERE ticket.digest = coalesce(:digest, ticket.digest)
  RETURNING id, ticket_id, digest
), told AS ({_TELL.format(review="v.id", verdict="said")})
SELECT (SELECT id FROM said) AS id, EXISTS (SELECT FROM ticket) AS known
""")  # noqa: S608 - built from the constant above; values travel as parameters


def judge(
    database: Database, ticket: Identity, label: str | None, reviewer: str, *, digest: bytes | None = None
) -> Verdict | Missed:
    """A person's verdict on the text with that digest, or on whatever text stands now; no label: "unclear"."""
    values = {**ticket._asdict(), "label": label, "reviewer": reviewer, "digest": digest}
    with database.autocommit() as connection:
        row = connection.execute(_JUDGE, values).one()
    if row.id is not None:
        return Verdict(row.id, reviewer)
    return Missed.CHANGED if row.known else Missed.GONE


_UNDO: Final = text(f"""
WITH taken AS (
  DELETE FROM reviews WHERE id = :id AND reviewer = :reviewer RETURNING id, ticket_id, digest
), leased AS (
  UPDATE review_draws d SET leased_by = :reviewer, leased_until = now() + :lease FROM taken
  WHERE (d.ticket_id, d.digest) = (taken.ticket_id, taken.digest)
), told AS ({_TELL.format(review="-v.id", verdict="taken")})
SELECT count(*) FROM taken
""")  # noqa: S608


def undo(database: Database, verdict: Verdict) -> bool:
    """Take back a verdict of one's own; the text is in hand again. False if it is not there any more."""
    values = {"id": verdict.id, "reviewer": verdict.reviewer, "lease": LEASE}
    with database.autocommit() as connection:
        return bool(connection.execute(_UNDO, values).scalar_one())


_LABELS: Final = text("SELECT DISTINCT label FROM reviews WHERE label IS NOT NULL ORDER BY label")


def labels(database: Database) -> list[str]:
    """The labels that people have given so far, the model's or new ones."""
    with database.autocommit() as connection:
        return list(connection.execute(_LABELS).scalars())


_REACHES: Final = text("""
SELECT drawn_at, since, max(inclusion) FROM review_draws d
WHERE stratum = 'random' AND model_version = :version
  AND EXISTS (SELECT FROM reviews r WHERE (r.ticket_id, r.digest) = (d.ticket_id, d.digest))
GROUP BY drawn_at, since
""")
# Of the version's predictions, not of the current results: a former version's accuracy can still be told. LATERAL,
# because the planner takes (id, digest) for two conditions, expects one row, and would compare all with all.
_ANSWERS: Final = text("""
WITH texts AS (
  SELECT p.ticket_id, p.digest, p.band, p.confidence, t.received_at, p.classified_at,
    v.said AS judged, v.label = p.label AS was_right
  FROM predictions p JOIN tickets t ON (t.id, t.digest) = (p.ticket_id, p.digest)
  LEFT JOIN LATERAL (
    SELECT true AS said, r.label FROM reviews r WHERE (r.ticket_id, r.digest) = (p.ticket_id, p.digest)
    ORDER BY r.id DESC LIMIT 1
  ) AS v ON true
  WHERE p.model_version = :version AND t.forgotten_at IS NULL AND t.source <> :predict
    AND t.received_at >= :since AND p.classified_at <= :until
), edge AS (
  SELECT coalesce(min(confidence), 'Infinity') AS at FROM texts
  WHERE band <> 'automate' AND judged IS NULL AND NOT EXISTS (
    SELECT FROM review_draws d WHERE d.leased_until IS NOT NULL
    AND (d.ticket_id, d.digest, d.model_version) = (texts.ticket_id, texts.digest, :version)
  )
), strata AS MATERIALIZED (
  SELECT *, CASE WHEN band = 'automate' THEN 'sure'
    WHEN confidence < (SELECT at FROM edge) THEN 'asked' ELSE 'unsure' END AS stratum
  FROM texts
), answers AS (
  SELECT s.stratum, array_agg(s.was_right) AS was_right, array_agg(s.received_at) AS received,
    array_agg(s.classified_at) AS classified, array_agg(d.inclusion) AS inclusions
  FROM strata s LEFT JOIN review_draws d
    ON (d.ticket_id, d.digest, d.model_version) = (s.ticket_id, s.digest, :version)
  WHERE s.judged GROUP BY s.stratum
)
SELECT * FROM (SELECT stratum, count(*) AS texts FROM strata GROUP BY stratum) AS counted
LEFT JOIN answers USING (stratum) ORDER BY stratum
""")


def accuracy(database: Database, model_version: str, since: datetime | None = None) -> Estimate | None:
    """How often a version is right, of all texts received from `since` on that it classified before the last drawing.

    None where no text that was drawn by lot has a verdict. `triagem.db.estimate` says how it is made of the verdicts.
    """
    drawn = reaches(database, model_version)
    if not drawn:
        return None
    first = max(min(reach.since for reach in drawn), since or datetime.min.replace(tzinfo=UTC))
    values = {
        "version": model_version,
        "since": first,
        "until": max(reach.drawn_at for reach in drawn),
        "predict": PREDICT,
    }
    with database.autocommit() as connection:
        rows = connection.execute(_ANSWERS, values).mappings().all()
    return estimate(
        {row["stratum"]: row["texts"] for row in rows}, {row["stratum"]: _answers(row) for row in rows}, drawn
    )


def reaches(database: Database, model_version: str) -> list[Reach]:
    """How far the drawings of a version went that people have answered."""
    with database.autocommit() as connection:
        return [Reach(*row) for row in connection.execute(_REACHES, {"version": model_version})]


def _answers(row: Mapping[Any, Any]) -> list[Answer]:
    columns = (row[name] or () for name in ("was_right", "received", "classified", "inclusions"))
    return [Answer(*values) for values in zip(*columns, strict=True)]
