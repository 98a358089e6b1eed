"""Comparison of a run with the results before it: label changes that it made or, as a shadow run, would make."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import text

from triagem.db.connect import Database, without_deadline


@dataclass(frozen=True, slots=True)
class DiffGroup:
    """Ticket count for one CRM, month of receipt (UTC), label before and label after; `confidence_…` are means."""

    source: str
    month: str
    before: str
    after: str
    tickets: int
    confidence_before: float
    confidence_after: float


@dataclass(frozen=True, slots=True)
class LabelFlip:
    """A ticket whose label changes. `text` is None if purged; `reviewed` is the reviewer's label, if any."""

    source: str
    external_id: str
    before: str
    after: str
    confidence_before: float
    confidence_after: float
    reviewed: str | None
    text: str | None


@dataclass(frozen=True, slots=True)
class RunDiff:
    """All groups of a run and its most confident label changes."""

    groups: Sequence[DiffGroup]
    most_confident: Sequence[LabelFlip]

    @property
    def tickets(self) -> int:
        """Tickets that the version has classified."""
        return sum(group.tickets for group in self.groups)

    @property
    def matrix(self) -> dict[tuple[str, str], int]:
        """Tickets by (label before, label after)."""
        counts = Counter[tuple[str, str]]()
        for group in self.groups:
            counts[group.before, group.after] += group.tickets
        return dict(sorted(counts.items()))

    @property
    def flips(self) -> int:
        """Tickets whose label changes."""
        return sum(group.tickets for group in self.groups if group.before != group.after)

    @property
    def share(self) -> float:
        """The share of flips."""
        return self.flips / self.tickets if self.tickets else 0.0

    @property
    def confidence_shift(self) -> float:
        """Mean increase in confidence, over unchanged and changed labels."""
        shift = sum(group.tickets * (group.confidence_after - group.confidence_before) for group in self.groups)
        return shift / self.tickets if self.tickets else 0.0

    @property
    def by_source_month(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Tickets and flips by (CRM, month)."""
        totals: dict[tuple[str, str], tuple[int, int]] = {}
        for group in self.groups:
            tickets, flips = totals.get((group.source, group.month), (0, 0))
            flipped = group.tickets if group.before != group.after else 0
            totals[group.source, group.month] = tickets + group.tickets, flips + flipped
        return dict(sorted(totals.items()))


_GROUPS: Final = text("""
SELECT t.source, to_char(t.received_at AT TIME ZONE 'UTC', 'YYYY-MM') AS month, c.before_label, c.after_label,
  count(*), round(avg(c.before_confidence)::numeric, 4)::float8, round(avg(c.after_confidence)::numeric, 4)::float8
FROM run_changes c JOIN tickets t ON t.id = c.ticket_id
WHERE c.run_id = :run AND c.before_label IS NOT NULL AND c.after_label IS NOT NULL AND t.forgotten_at IS NULL
GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
""")
_FLIPS: Final = text("""
SELECT t.source, t.external_id, c.before_label, c.after_label, c.before_confidence, c.after_confidence,
  CASE WHEN r.reviewed THEN r.label END, t.text
FROM run_changes c JOIN tickets t ON t.id = c.ticket_id JOIN results r ON r.ticket_id = t.id
WHERE c.run_id = :run AND c.before_label <> c.after_label AND t.forgotten_at IS NULL
ORDER BY c.after_confidence DESC, t.id LIMIT :limit
""")


def diff_run(database: Database, run_id: int, *, limit: int) -> RunDiff:
    """Compare a run with the results before it; lists at most `limit` label changes. First results do not count.

    Reads all rows of the run without a time limit, so it is only called when a person asks for it.
    """
    with database.autocommit() as connection, without_deadline(connection):
        connection.execute(text("SET statement_timeout = 0"))
        try:
            groups = [DiffGroup(*row) for row in connection.execute(_GROUPS, {"run": run_id})]
            flips = [LabelFlip(*row) for row in connection.execute(_FLIPS, {"run": run_id, "limit": limit})]
        finally:
            connection.execute(text("RESET statement_timeout"))
    return RunDiff(groups, flips)
