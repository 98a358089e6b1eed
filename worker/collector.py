"""Stores tickets without a result while the registry has no current version: a mode of the fetcher's thread.

Lease, reclaims, committer and dead letters are the pipeline's, so a ticket leaves Redis after its commit here too. It
needs no model library.
"""

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import structlog

from triagem.contracts.text import digest
from triagem.contracts.ticket import Identity, Lane
from triagem.db import Database
from triagem.db.tickets.messages import find_conversations
from triagem.db.tickets.window import UnlabelledTicket
from triagem.inbox import Entry, Inbox
from triagem.inbox.client import BLOCK_S
from triagem.inbox.desired import paused
from triagem.inbox.lease import Lease
from triagem.worker.batch import Cause, CommitBatch, FailedEntry, NewTicket
from triagem.worker.conversations import is_unchanged, split_messages, store_and_read
from triagem.worker.failures import Retrier, safe_reason
from triagem.worker.in_flight import InFlight, Recovery
from triagem.worker.models import ModelManager
from triagem.worker.prepare import clean_parts, decode_entries
from triagem.worker.supervisor import Supervisor

log = structlog.get_logger(__name__)

_RUN_PAUSE_S: Final = 0.5  # until this worker has seen the promotion too


class Collector:
    """Fetches entries and submits them unlabelled, until there is a model."""

    def __init__(
        self,
        *,
        inbox: Inbox,
        database: Database,
        lease: Lease,
        recovery: Recovery,
        models: ModelManager,
        supervisor: Supervisor,
        in_flight: InFlight,
        window: int,
        submit: Callable[[CommitBatch], None],
    ) -> None:
        self._inbox, self._lease, self._recovery = inbox, lease, recovery
        self._models, self._supervisor, self._in_flight = models, supervisor, in_flight
        self._database, self._window, self._submit = database, window, submit
        self._retry = Retrier(supervisor, recovery.on_outage)

    def run(self, *, after: threading.Event, until: threading.Event) -> None:
        """Once `after` is set, store tickets while the registry has no current version; return once `until` is."""
        stopping = self._supervisor.stopping
        while not (until.is_set() or stopping.is_set()):
            self._supervisor.beat()
            if not after.is_set() or not self._models.missing or self._retry(lambda: paused(self._inbox.redis)):
                until.wait(0.2)
                continue
            consumer = self._lease.consumer
            if self._recovery.due():
                for lane in Lane:
                    self._store(self._retry(partial(self._recover, lane, consumer)))
            self._store(self._retry(partial(self._inbox.fetch_blocking, consumer, self._window, block_s=BLOCK_S)))

    def _recover(self, lane: Lane, consumer: str) -> list[Entry]:
        return self._recovery.recover(lane, consumer, self._in_flight.ids(lane), self._window)

    def _store(self, entries: list[Entry]) -> None:
        tickets, refs, unreadable = decode_entries(entries)
        if refs:  # of a run that began while this fetch waited: a worker with the model takes them
            self._retry(partial(self._inbox.move_to_end, [entry for entry, _ in refs]))
            self._supervisor.stopping.wait(_RUN_PAUSE_S)
        if tickets or unreadable:
            self._in_flight.add([*(item.entry for item in tickets), *(failed.entry for failed in unreadable)])
            known = self._retry(partial(self._conversations, tickets))
            store = partial(store_and_read, self._database, self._retry)
            self._submit(unlabelled_batch(tickets, unreadable, known, store))

    def _conversations(self, tickets: Sequence[NewTicket]) -> frozenset[Identity]:
        with self._database.autocommit() as connection:
            return find_conversations(connection, {item.identity for item in tickets})


def unlabelled_batch(
    tickets: Sequence[NewTicket],
    unreadable: list[FailedEntry],
    known: frozenset[Identity],
    store: Callable[[CommitBatch, Sequence[NewTicket]], list[NewTicket]],
) -> CommitBatch:
    """The tickets without a result, and dead letters of what is not a ticket.

    Args:
        known: tickets that are conversations already.
        store: stores messages, and returns the conversations to compose (`store_and_read`).
    """
    batch = CommitBatch(dead=unreadable)
    whole, messages = split_messages(tickets, known)
    for item in [*whole, *(store(batch, messages) if messages else [])]:
        try:
            item.digest = digest(clean_parts(item))
        except Exception as error:  # noqa: BLE001 - one text must not stop the others
            reason = f"cannot clean the text: {safe_reason(error)}"
            batch.dead.append(FailedEntry(item.entry, Cause.NOT_PREPARED, reason))
            continue
        if is_unchanged(item):
            batch.dropped.append(item.entry)
        else:
            ticket, arrival = item.judged_ticket
            on_reply = None if item.conversation is None else item.conversation.on_reply
            row = UnlabelledTicket(ticket, item.digest, item.entry.lane, item.received_at, arrival, on_reply)
            batch.unlabelled.append((item.entry, row))
    return batch
