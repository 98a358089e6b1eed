"""Forgets a ticket: writes its tombstone, deletes all its data, then has Redis rewrite its append-only file.

The gateway and the command `triagem db forget` use this module. It does not load FastAPI.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from triagem.contracts.ticket import Identity
from triagem.db import Database
from triagem.db.tickets.dead_letters import WEBHOOK_LANE_PREFIX, DeadLetterWithPayload
from triagem.db.tickets.forgetting import delete_related, letter_owners, write_tombstone
from triagem.inbox import Inbox
from triagem.inbox.erase import LogRewrite, erase, rewrite_log
from triagem.producer.crm import CrmConfig, read_owners


@dataclass(frozen=True, slots=True)
class DeletedData:
    """Deleted items per store. `unreadable_…` counts dead letters and entries that name no ticket."""

    tombstone: Annotated[bool, Field(description="whether the tombstone is new")]
    rows: Annotated[dict[str, int], Field(description="deleted rows by table")]
    dead_letters: Annotated[int, Field(description="deleted dead letters")]
    unreadable_dead_letters: Annotated[int, Field(description="dead letters that were not searched")]
    inbox_entries: Annotated[int, Field(description="deleted entries of the inbox")]
    unreadable_entries: Annotated[int, Field(description="entries that were not searched")]
    inbox_entries_left: Annotated[int, Field(description="other entries that wait next to deleted ones")]
    log_rewrite: Annotated[LogRewrite, Field(description="outcome of the request to rewrite Redis' file")]


def forget(
    database: Database,
    inbox: Inbox,
    identity: Identity,
    *,
    crm: CrmConfig | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> DeletedData:
    """Delete a ticket and prevent its return. Repeating it is harmless and deletes what was missed.

    The tombstone comes first: from then on, no result of a worker is stored for this ticket, however late it arrives.
    Postgres comes before Redis, because data that is missed in Postgres would stay there. An entry that is missed in
    the inbox does no harm: the tombstone prevents that its result is stored. The adapter of a source in `crm` reads
    which tickets a stored webhook of its CRM names.

    Raises:
        DatabaseUnavailable, InboxUnavailable: what was deleted so far stays deleted; run it again.
    """
    tombstone = write_tombstone(database, identity)

    def owners_of(letter: DeadLetterWithPayload) -> Collection[Identity]:
        is_webhook = letter.lane.startswith(WEBHOOK_LANE_PREFIX)
        source = crm.sources.get(letter.lane.removeprefix(WEBHOOK_LANE_PREFIX)) if crm and is_webhook else None
        return read_owners(letter.payload, source) if source else letter_owners(letter)

    rows, dead_letters, unreadable_dead_letters = delete_related(database, identity, owners_of)
    inbox_entries, unreadable_entries, left = erase(inbox, identity, on_progress)
    return DeletedData(
        tombstone=tombstone,
        rows=rows,
        dead_letters=dead_letters,
        unreadable_dead_letters=unreadable_dead_letters,
        inbox_entries=inbox_entries,
        unreadable_entries=unreadable_entries,
        inbox_entries_left=left,
        log_rewrite=rewrite_log(inbox.redis),
    )
