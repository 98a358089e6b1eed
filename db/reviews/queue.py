"""The review queue that a person has chosen, by source, language and label, and how long it is."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final

from triagem.contracts.ticket import PREDICT_SOURCE
from triagem.db.connect import Database

MAX_COUNTED: Final = 1000
# A condition on tickets `t`, like the next one.
MATCHING: Final = """(CAST(:only_source AS text) IS NULL OR t.source = :only_source)
  AND (CAST(:only_language AS text) IS NULL OR t.language = :only_language)
  AND (CAST(:only_label AS text) IS NULL OR t.label = :only_label)"""
# Corrections in the CRM, verdicts by HTTP and imported labels do not count: nobody asked for them, and without their
# texts the estimate of the accuracy would be too high (docs/how-to/reviews.md).
UNREVIEWED: Final = """NOT EXISTS (
  SELECT FROM reviews r WHERE (r.ticket_id, r.digest) = (t.id, t.digest)
  AND coalesce(r.stratum, '') NOT IN ('crm', 'import')
)"""


@dataclass(frozen=True, slots=True)
class TicketText:
    """A stored text that a person is asked about."""

    ticket_id: int
    digest: bytes
    source: str
    external_id: str
    text: str
    revised_at: datetime
    received_at: datetime


@dataclass(frozen=True, slots=True)
class QueueFilters:
    """The texts that a reviewer wants: of one source, in one language, with one label by the model. None: any."""

    source: str | None = None
    language: str | None = None
    label: str | None = None

    def values(self) -> dict[str, str | None]:
        """The parameters of `MATCHING`."""
        return {f"only_{name}": value for name, value in asdict(self).items()}


_LENGTH: Final = f"""
SELECT (
    SELECT count(DISTINCT (ticket_id, digest)) FROM reviews
    WHERE reviewer = :reviewer AND reviewed_at >= date_trunc('day', now(), :zone)
  ),
  (SELECT count(*) FROM (
    SELECT FROM tickets t WHERE t.band <> 'automate' AND t.forgotten_at IS NULL AND t.text IS NOT NULL
      AND t.source <> :predict AND t.received_at >= :since AND {MATCHING}
      AND {UNREVIEWED} AND NOT EXISTS (
        SELECT FROM review_draws o WHERE o.ticket_id = t.id AND o.leased_until > now() AND o.leased_by <> :reviewer
      )
    ORDER BY t.confidence LIMIT :limit
  ) AS waiting)
"""  # noqa: S608 - built from the constant above


def queue_length(
    database: Database, reviewer: str, filters: QueueFilters, *, since: datetime, zone: str
) -> tuple[int, int]:
    """The texts that the reviewer reviewed today in a time zone, and unsure ones that wait, at most `MAX_COUNTED`.

    Texts that are assigned to other reviewers do not count: this reviewer does not get them.
    """
    today, waiting = database.one(
        _LENGTH, reviewer=reviewer, zone=zone, predict=PREDICT_SOURCE, since=since, limit=MAX_COUNTED,
        **filters.values(),
    )  # fmt: skip
    return today, waiting
