"""Stores messages before their conversations are classified, and reads the conversations."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from functools import partial

from triagem.contracts.ticket import Identity, Lane
from triagem.db import Database
from triagem.db.tickets.messages import NewMessage, probe_store, read_conversations, store_messages
from triagem.worker.batch import Cause, CommitBatch, FailedEntry, NewTicket, WorkItem
from triagem.worker.failures import Retrier, run_isolating_failures, safe_reason


def split_messages(
    tickets: Sequence[NewTicket], known: AbstractSet[Identity] = frozenset()
) -> tuple[list[NewTicket], list[NewTicket]]:
    """Split into whole texts and messages. The whole text of a conversation counts as a message.

    A ticket is a conversation if it is in `known`, or if another item is one of its messages.
    """
    conversations = known | {item.identity for item in tickets if item.ticket.message is not None}
    if not conversations:
        return [*tickets], []
    return (
        [item for item in tickets if item.identity not in conversations],
        [item for item in tickets if item.identity in conversations],
    )


def store_and_read(
    database: Database, retry: Retrier, done: CommitBatch, items: Sequence[NewTicket]
) -> list[NewTicket]:
    """Store messages. Returns one item per conversation whose text may have changed.

    An agent's message changes it if a previous version may have been a customer's. The other entries are done:
    their messages are stored, and the returned item is classified for all of them. Its entry stays in Redis until
    its result is committed. If one of the items is live, a live one is chosen, because a customer waits for the
    result.
    """

    def work(part: Sequence[NewTicket]) -> list[bool]:
        new_answers = store_messages(
            database,
            [NewMessage(item.ticket, item.entry.arrival, item.received_at, item.entry.lane) for item in part],
        )
        return [
            item.ticket.message is None or (item.identity, item.ticket.message.id) not in new_answers for item in part
        ]

    stored, refused = retry(partial(run_isolating_failures, items, work, partial(probe_store, database)))
    done.dead.extend(
        FailedEntry(item.entry, Cause.NOT_STORED, f"cannot store the message: {safe_reason(error)}")
        for item, error in refused
    )
    live_last = sorted((item for item, may_change in stored if may_change), key=lambda item: item.lane is Lane.LIVE)
    by_ticket = {item.identity: item for item in live_last}
    conversations = retry(partial(read_conversations, database, by_ticket))
    for identity, item in by_ticket.items():
        item.conversation = conversations.get(identity)
    done.dropped.extend(
        item.entry for item, _ in stored if by_ticket.get(item.identity) is not item or item.conversation is None
    )
    return [item for item in by_ticket.values() if item.conversation is not None]


def is_unchanged(item: WorkItem) -> bool:
    """Whether a conversation needs no new result: its text is unchanged, or the customer has not written yet.

    If an import's worker has judged this live message, its result raised no alert: then the entry is not done.
    """
    conversation = item.conversation
    if not isinstance(item, NewTicket) or conversation is None or conversation.owed:
        return False
    made_at = conversation.doubtful_at
    if item.lane is Lane.LIVE and made_at is not None and made_at >= item.received_at:
        return False
    return item.digest == conversation.digest if conversation.has_result else not conversation.messages
