"""Turns entries into model input: decode, clean, look up cached predictions, tokenise."""

import time
from collections.abc import Sequence

from triagem.contracts.errors import UnreadableEntry
from triagem.contracts.model import Tokens
from triagem.contracts.text import clean, digest
from triagem.contracts.ticket import Ticket
from triagem.contracts.wire import StoredTicketRef, decode, decode_ref
from triagem.db import Database
from triagem.db.prediction_cache import cached_predictions
from triagem.db.reclassification import ResolvedTicket
from triagem.inbox import Entry
from triagem.worker import metrics
from triagem.worker.batch import FailedEntry, PreparedTicket
from triagem.worker.causes import Cause
from triagem.worker.models import ServedModel

_NOT_TOKENISED = Tokens(ids=(), truncated=False)


def decode_entries(
    entries: Sequence[Entry],
) -> tuple[list[tuple[Entry, Ticket | StoredTicketRef]], list[FailedEntry]]:
    """Decode entries. Returns the readable ones, and the unreadable ones with the reason."""
    readable: list[tuple[Entry, Ticket | StoredTicketRef]] = []
    unreadable: list[FailedEntry] = []
    for entry in entries:
        try:
            payload = entry.payload or b""
            readable.append((entry, decode_ref(payload) or decode(payload)))
        except UnreadableEntry as error:
            unreadable.append(FailedEntry(entry, Cause.UNREADABLE, str(error)))
    return readable, unreadable


def prepare_tickets(
    entries: Sequence[tuple[Entry, Ticket | ResolvedTicket]], served_by: ServedModel, database: Database
) -> list[PreparedTicket]:
    """Prepared tickets, in the same order. Texts that this version has already classified are not tokenised."""
    model = served_by.model
    texts = [clean(ticket.text or "") for _, ticket in entries]
    # A stored ticket keeps the digest that it was stored with, whatever cleaning returns now.
    digests = [
        digest(text) if isinstance(ticket, Ticket) else ticket.ref.digest
        for text, (_, ticket) in zip(texts, entries, strict=True)
    ]
    new = [index for index, (_, ticket) in enumerate(entries) if isinstance(ticket, Ticket)]
    keys = [
        (ticket.source, ticket.external_id, text_digest)
        for (_, ticket), text_digest in zip(entries, digests, strict=True)
        if isinstance(ticket, Ticket)
    ]
    cached = {new[position]: hit for position, hit in cached_predictions(database, keys, model.version).items()}
    uncached = [index for index in range(len(entries)) if index not in cached]
    started = time.perf_counter()
    tokens = dict(zip(uncached, model.tokenize([texts[index] for index in uncached]), strict=True))
    elapsed = time.perf_counter() - started
    if uncached:
        metrics.TOKENISE_SECONDS.observe(elapsed)
    share = elapsed / max(1, len(entries))
    return [
        PreparedTicket(entry, ticket, digests[index], tokens.get(index, _NOT_TOKENISED), cached.get(index), share)
        for index, (entry, ticket) in enumerate(entries)
    ]
