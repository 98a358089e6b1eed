"""What the console asks of tickets and reviews beyond what the command asks. Reads only."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import text

from triagem.contracts.ticket import PREDICT, Identity
from triagem.db.connect import Database
from triagem.db.draws import Drawn
from triagem.db.reviews import Verdict
from triagem.db.runs import COLUMNS, Run

_OPENINGS: Final = text("SELECT id, left(text, :chars) FROM tickets WHERE id = ANY(:ids)")
_IN_HAND: Final = text("""
SELECT t.id, t.digest, t.source, t.external_id, t.text, t.revised_at, t.received_at, d.leased_until
FROM review_draws d JOIN tickets t ON (t.id, t.digest) = (d.ticket_id, d.digest)
WHERE d.leased_by = :reviewer AND d.leased_until > now() AND t.text IS NOT NULL AND t.id <> ALL(:but)
  AND NOT EXISTS (
    SELECT FROM reviews r WHERE (r.ticket_id, r.digest, r.reviewer) = (t.id, t.digest, :reviewer)
  )
ORDER BY d.leased_until DESC, t.id LIMIT 1
""")
_LAST: Final = text("""
SELECT id, reviewer FROM reviews
WHERE reviewer = :reviewer AND reviewed_at > now() - interval '1 hour' ORDER BY id DESC LIMIT 1
""")
_DIGEST: Final = text("SELECT digest FROM tickets WHERE (source, external_id) = (:source, :external_id)")


def openings(database: Database, ids: Iterable[int], *, chars: int) -> dict[int, str]:
    """The first characters of tickets' texts as they came, of those that have one."""
    with database.autocommit() as connection:
        rows = connection.execute(_OPENINGS, {"ids": list(ids), "chars": chars})
        return {row[0]: row[1] for row in rows if row[1] is not None}


def in_hand(database: Database, reviewer: str, *, but: Collection[int] = ()) -> Drawn | None:
    """The text that this person was handed last and has not judged yet, but for those tickets."""
    with database.autocommit() as connection:
        row = connection.execute(_IN_HAND, {"reviewer": reviewer, "but": list(but)}).one_or_none()
    return None if row is None else Drawn(*row)


def last_verdict(database: Database, reviewer: str) -> Verdict | None:
    """A person's newest verdict, of the last hour."""
    with database.autocommit() as connection:
        row = connection.execute(_LAST, {"reviewer": reviewer}).one_or_none()
    return None if row is None else Verdict(*row)


def digest_of(database: Database, whose: Identity) -> bytes | None:
    """The digest of the text that stands now."""
    with database.autocommit() as connection:
        return connection.execute(_DIGEST, whose._asdict()).scalar_one_or_none()


@dataclass(frozen=True, slots=True)
class Recent:
    """A ticket of late, for the overview's figures. `label` is the effective one."""

    label: str
    confidence: float
    band: str
    received_at: datetime


_RECENT: Final = text("""
SELECT label, confidence, band, received_at FROM results
WHERE source <> :predict ORDER BY received_at DESC, ticket_id DESC LIMIT :most
""")


def recent(database: Database, *, most: int) -> list[Recent]:
    """The newest tickets, newest first."""
    with database.autocommit() as connection:
        return [Recent(*row) for row in connection.execute(_RECENT, {"most": most, "predict": PREDICT})]


@dataclass(frozen=True, slots=True)
class Told:
    """An alert, delivered or not. `about` is a ticket (then `source` and `external_id` say which) or a key."""

    kind: str
    about: str
    source: str | None
    external_id: str | None
    confidence: float | None
    says: str | None
    created_at: datetime
    delivered_at: datetime | None


_ALERTS: Final = text("""
SELECT a.kind, coalesce(a.key, t.source || ' ' || t.external_id), t.source, t.external_id, a.confidence,
  a.detail->>'says', a.created_at, a.delivered_at
FROM alerts a LEFT JOIN tickets t ON t.id = a.ticket_id ORDER BY a.id DESC LIMIT :most
""")
_RUNS: Final = text(f"SELECT {COLUMNS} FROM reclassify_runs ORDER BY id DESC LIMIT :most")  # noqa: S608


def newest_alerts(database: Database, *, most: int) -> list[Told]:
    """The newest alerts."""
    with database.autocommit() as connection:
        return [Told(*row) for row in connection.execute(_ALERTS, {"most": most})]


def newest_runs(database: Database, *, most: int) -> list[Run]:
    """The newest runs over stored tickets."""
    with database.autocommit() as connection:
        return [Run(**row) for row in connection.execute(_RUNS, {"most": most}).mappings()]
