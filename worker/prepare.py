"""Entries to items for the model: decode, clean, look up what is known, tokenise."""

from collections.abc import Sequence

from contracts.errors import UnreadableEntry
from contracts.model import Tokens
from contracts.text import clean, digest
from contracts.ticket import Ticket
from contracts.wire import decode
from db import Database
from db.known import known
from inbox import Entry
from worker.batch import Condemned, Item
from worker.keeper import Running

_NOT_TOKENISED = Tokens(ids=(), truncated=False)


def read(entries: Sequence[Entry]) -> tuple[list[tuple[Entry, Ticket]], list[Condemned]]:
    """Decode entries; what is no ticket comes back apart, with the reason."""
    readable: list[tuple[Entry, Ticket]] = []
    unreadable: list[Condemned] = []
    for entry in entries:
        try:
            readable.append((entry, decode(entry.payload or b"")))
        except UnreadableEntry as error:
            unreadable.append(Condemned(entry, str(error)))
    return readable, unreadable


def prepare(taken: Sequence[tuple[Entry, Ticket]], running: Running, database: Database) -> list[Item]:
    """Items for the model, in the same order. A text that this version knows is not tokenised, only carried."""
    texts = [clean(ticket.text) for _, ticket in taken]
    digests = [digest(text) for text in texts]
    stored = known(
        database,
        [(ticket.source, ticket.external_id, one) for (_, ticket), one in zip(taken, digests, strict=True)],
        running.model.version,
    )
    fresh = [place for place in range(len(taken)) if place not in stored]
    tokens = dict(zip(fresh, running.model.tokenize([texts[place] for place in fresh]), strict=True))
    return [
        Item(entry, ticket, digests[place], tokens.get(place, _NOT_TOKENISED), stored.get(place))
        for place, (entry, ticket) in enumerate(taken)
    ]
