"""One customer's ticket, deleted everywhere: first its tombstone, then whatever is left, then Redis' log.

It stands here for the command too, which may import what is below it: no room below the gateway knows both the
database and the inbox, but for the worker. It loads no FastAPI.
"""

from collections.abc import Callable
from dataclasses import dataclass

from triagem.contracts.ticket import Identity
from triagem.db import Database
from triagem.db.forget import delete_rest, entomb
from triagem.inbox import Inbox
from triagem.inbox.erase import LogRewrite, erase, rewrite_log


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was deleted, by place. `unreadable` are letters and entries that do not say whose they are."""

    tombstone: bool
    rows: dict[str, int]
    dead_letters: int
    unreadable_letters: int
    inbox_entries: int
    unreadable_entries: int
    inbox_left: int
    log_rewrite: LogRewrite


def forget(
    database: Database, inbox: Inbox, whose: Identity, on_page: Callable[[int], None] = lambda _: None
) -> Forgotten:
    """Delete a ticket, and keep it from coming back. Doing it again finds what was missed, and is harmless.

    The tombstone is first: from then on nothing that a worker has in hand is stored, however late. Postgres comes
    before Redis, because there it would stay; what is overlooked in the inbox is refused when it is stored.

    Raises:
        DatabaseAway, InboxAway: what was done so far is done; do it again.
    """
    tombstone = entomb(database, whose)
    deleted = delete_rest(database, whose)
    erased = erase(inbox, whose, on_page)
    return Forgotten(
        tombstone=tombstone,
        rows=deleted.rows,
        dead_letters=deleted.dead_letters,
        unreadable_letters=deleted.unreadable,
        inbox_entries=erased.entries,
        unreadable_entries=erased.unreadable,
        inbox_left=erased.left,
        log_rewrite=rewrite_log(inbox.redis),
    )
