"""What a run changed, or in the shadow would change: from what was current before to what its version said."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import text

from triagem.db.connect import Database


@dataclass(frozen=True, slots=True)
class Group:
    """Tickets of one CRM that were received in one month (UTC), by their labels before and after; `confidence_…` are
    means."""

    source: str
    month: str
    before: str
    after: str
    tickets: int
    confidence_before: float
    confidence_after: float


@dataclass(frozen=True, slots=True)
class Flip:
    """A ticket whose label changes. `text` is None where it was purged, `reviewed` what a person has said of it."""

    source: str
    external_id: str
    before: str
    after: str
    confidence_before: float
    confidence_after: float
    reviewed: str | None
    text: str | None


@dataclass(frozen=True, slots=True)
class Diff:
    """All of a run's groups, and its most confident flips."""

    groups: Sequence[Group]
    surest: Sequence[Flip]

    @property
    def tickets(self) -> int:
        """Tickets of which the version has said something."""
        return sum(group.tickets for group in self.groups)

    @property
    def matrix(self) -> dict[tuple[str, str], int]:
        """Tickets by (label before, label after)."""
        found = Counter[tuple[str, str]]()
        for group in self.groups:
            found[group.before, group.after] += group.tickets
        return dict(sorted(found.items()))

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
        """By how much the confidence is higher on average, of labels that stay and those that change."""
        shift = sum(group.tickets * (group.confidence_after - group.confidence_before) for group in self.groups)
        return shift / self.tickets if self.tickets else 0.0

    @property
    def places(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Tickets and flips by (CRM, month)."""
        found: dict[tuple[str, str], tuple[int, int]] = {}
        for group in self.groups:
            tickets, flips = found.get((group.source, group.month), (0, 0))
            flipped = group.tickets if group.before != group.after else 0
            found[group.source, group.month] = tickets + group.tickets, flips + flipped
        return dict(sorted(found.items()))


_GROUPS: Final = text("""
SELECT t.source, to_char(t.received_at AT TIME ZONE 'UTC', 'YYYY-MM') AS month, c.before_label, c.after_label,
  count(*), round(avg(c.before_confidence)::numeric, 4)::float8, round(avg(c.after_confidence)::numeric, 4)::float8
FROM run_changes c JOIN tickets t ON t.id = c.ticket_id
WHERE c.run_id = :run AND c.after_label IS NOT NULL AND t.forgotten_at IS NULL
GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
""")
_FLIPS: Final = text("""
SELECT t.source, t.external_id, c.before_label, c.after_label, c.before_confidence, c.after_confidence,
  CASE WHEN r.reviewed THEN r.label END, t.text
FROM run_changes c JOIN tickets t ON t.id = c.ticket_id JOIN results r ON r.ticket_id = t.id
WHERE c.run_id = :run AND c.before_label <> c.after_label AND t.forgotten_at IS NULL
ORDER BY c.after_confidence DESC, t.id LIMIT :most
""")


def diff(database: Database, run_id: int, *, most: int) -> Diff:
    """Compare; `most` flips at most. Reads all of a run's rows: without a time limit, and only when a person asks."""
    with database.autocommit() as connection:
        connection.execute(text("SET statement_timeout = 0"))
        try:
            groups = [Group(*row) for row in connection.execute(_GROUPS, {"run": run_id})]
            flips = [Flip(*row) for row in connection.execute(_FLIPS, {"run": run_id, "most": most})]
        finally:
            connection.execute(text("RESET statement_timeout"))
    return Diff(groups, flips)
