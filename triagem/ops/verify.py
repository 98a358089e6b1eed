"""Verifies that tables and inbox are consistent, on a running system: the checks of `triagem db verify`."""

import time
from collections.abc import Callable, Iterator
from typing import Final

from triagem.contracts.errors import GroupMissing
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.db.verify import Finding, verify_tables
from triagem.inbox import Inbox
from triagem.inbox.reclaim import Reclaimer

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
