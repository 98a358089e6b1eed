"""Reads the change feed as a consumer does."""

from collections.abc import Iterable

from tests.support.runs import scalar
from tests.support.waiting import until
from triagem.contracts.result import Change, Result
from triagem.db import Database
from triagem.db.tickets.changes import change_pages

NO_TRANSACTION_RUNS = "SELECT pg_snapshot_xmin(s) = pg_snapshot_xmax(s) FROM pg_current_snapshot() s"


def all_changes(database: Database, after: str | None = None) -> list[Change]:
    """All changes after the cursor, once no transaction (of autovacuum, for example) delays the newest."""
    until(lambda: scalar(database, NO_TRANSACTION_RUNS))
    return [change for page in change_pages(database, limit=None, after=after) for change in page.rows]


def end_of_feed(database: Database) -> str:
    """The cursor after all changes."""
    return all_changes(database)[-1].cursor


def names(changes: Iterable[Change]) -> list[str]:
    """The external ids of the changed tickets."""
    return [change.external_id for change in changes]


class Copy:
    """Copies all current results by ticket id, as a consumer of the change feed does."""

    def __init__(self) -> None:
        self.cursor: str | None = None
        self.results: dict[int, Result] = {}

    def apply(self, change: Change) -> None:
        """Process one change, and remember how far the feed was read."""
        if change.result is None:
            self.results.pop(change.ticket_id, None)
        else:
            self.results[change.ticket_id] = change.result
        self.cursor = change.cursor
