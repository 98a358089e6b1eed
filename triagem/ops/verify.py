"""Verifies that tables and inbox are consistent, on a running system: the checks of `triagem db verify`."""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from sqlalchemy import text

from triagem.contracts.errors import GroupMissing
from triagem.contracts.ticket import Lane
from triagem.db.connect import Database, database_errors, without_deadline
from triagem.inbox import Inbox
from triagem.inbox.reclaim import Reclaimer

# Name, problem and query of each check.
CHECKS: Final = re.findall(
    r"^-- ([a-z-]+): (.+)\n((?:(?!--).+\n)+)",
    files("triagem.db").joinpath("verify.sql").read_text(encoding="utf-8"),
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Finding:
    """Rows that contradict a rule: how many, and the first few. `examples` contain no text of a customer."""

    check: str
    problem: str
    count: int
    examples: list[str]


def verify_tables(database: Database) -> Iterator[tuple[str, Finding | None]]:
    """Yields each check of `verify.sql` with its findings. It has no time limit, because it reads all rows.

    All queries run in one REPEATABLE READ transaction: they see the commit of a window or a run completely or not at
    all, so work in progress is never reported as an error.
    """
    with database_errors(), database.engine.connect() as connection:
        connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with connection.begin(), without_deadline(connection):
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            for name, problem, query in CHECKS:
                rows = query.rstrip().removesuffix(";")
                count, examples = connection.execute(
                    text(f"SELECT count(*), (array_agg(row ORDER BY row))[1:5] FROM ({rows}) AS found (row)")  # noqa: S608
                ).one()
                yield name, Finding(name, problem, count, examples) if count else None


RECLAIMED: Final = "reclaimed-entry"
_PROBLEM: Final = (
    "an entry has been pending for a lease period under a worker without a lease: start or resume a worker"
)


def verify(
    database: Database, inbox: Inbox, *, sleep: Callable[[float], None] = time.sleep
) -> Iterator[tuple[str, Finding | None]]:
    """Yields each check with what it found; changes nothing.

    Entries of a worker that has just died do not count: if there are any, it waits for one lease and checks again.
    """
    abandoned = _abandoned(inbox)
    yield from verify_tables(database)
    if abandoned:
        sleep(inbox.settings.lease_s)
        abandoned &= _abandoned(inbox)
    examples = [f"{lane} {entry_id.decode()}" for lane, entry_id in sorted(abandoned)]
    yield RECLAIMED, Finding(RECLAIMED, _PROBLEM, len(examples), examples[:5]) if examples else None


def _abandoned(inbox: Inbox) -> set[tuple[Lane, bytes]]:
    try:
        return Reclaimer(inbox).abandoned()
    except GroupMissing:  # no entry was ever put or fetched
        return set()
