"""What a fault left behind, measured the same way for all of them."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text

from tests.faults.book import Book, Identity, Place, text_digest
from tests.faults.engine import says
from triagem.contracts.text import clean
from triagem.db import Database


@dataclass(frozen=True, slots=True)
class Outcome:
    """A row of the table.

    kills: processes, workers or servers, that were killed or that poison ended.
    lost: accepted tickets whose newest text has no right current result, and poison that no dead letter keeps.
    duplicate_rows: rows of results and of history beyond one an identity, and one a text and version of it.
    wrongly_dead: dead letters of entries that nothing was wrong with.
    recovery_s: from the end of the fault (a server restarted, a replacement started) to the first newly
        committed row, the longest of several; None where the fault has no such moment.
    """

    fault: str
    tickets: int
    kills: int
    lost: int
    duplicate_rows: int
    wrongly_dead: int
    recovery_s: float | None
    problem: str = ""

    @property
    def survived(self) -> bool:
        """Nothing lost, nothing doubled, nothing condemned, and the fault went as it should."""
        return not (self.lost or self.duplicate_rows or self.wrongly_dead or self.problem)


@dataclass(frozen=True, slots=True)
class Current:
    """One row of `results`, with what its ticket holds."""

    who: Identity
    label: str
    version: str
    digest: bytes
    revised_at: datetime


@dataclass(frozen=True, slots=True)
class Left:
    """What the database holds at the end."""

    results: list[Current]
    history: Counter[Identity]
    dead: dict[Place, str]  # with the reason


def outcome(fault: str, book: Book, left: Left, problem: str = "") -> Outcome:
    """Compare what was accepted with what is left."""
    return Outcome(
        fault=fault,
        tickets=len(book.revisions) + sum(who is None for who in book.poison.values()),
        kills=book.kills,
        lost=_lost(book, left),
        duplicate_rows=_duplicates(book, left),
        wrongly_dead=sum(place not in book.poison for place in left.dead),
        recovery_s=max(book.recoveries, default=None),
        problem=problem,
    )


def _lost(book: Book, left: Left) -> int:
    found = {row.who: row for row in left.results}
    kept = sum(bool(left.dead.get(place)) for place in book.poison)
    return sum(not _right(book, who, found.get(who)) for who in book.owed) + len(book.poison) - kept


def _right(book: Book, who: Identity, row: Current | None) -> bool:
    newest = book.newest(who)
    return row is not None and (
        (row.revised_at, row.digest) == (newest.revised_at, text_digest(newest))
        and row.label == says(len(clean(newest.text).split()), row.version)
        and row.version == book.current.get(who, row.version)
    )


def _duplicates(book: Book, left: Left) -> int:
    results, owed = Counter(row.who for row in left.results), book.owed
    extra_results = sum(count - (who in owed) for who, count in results.items())
    return extra_results + sum(max(0, count - book.rows_allowed(who)) for who, count in left.history.items())


def look(database: Database) -> Left:
    """Read what is left. `history` and `results` are the views that people query."""
    with database.autocommit() as connection:

        def rows(statement: str) -> list[Any]:
            return list(connection.execute(text(statement)))

        return Left(
            results=[
                Current(
                    (row.source, row.external_id), row.label, row.model_version, bytes(row.digest), row.revised_at
                )
                for row in rows("SELECT r.*, t.digest FROM results r JOIN tickets t ON t.id = r.ticket_id")
            ],
            history=Counter(
                (row.source, row.external_id)
                for row in rows("SELECT source, external_id FROM predictions JOIN tickets t ON t.id = ticket_id")
            ),
            dead={(row.lane, row.entry_id): row.reason for row in rows("SELECT * FROM dead_letters")},
        )
