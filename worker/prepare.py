"""Entries to items for the model: decode, clean, look up what is known, tokenise."""

import time
from collections.abc import Sequence

from triagem.contracts.errors import UnreadableEntry
from triagem.contracts.model import Tokens
from triagem.contracts.text import clean, digest
from triagem.contracts.ticket import Ticket
from triagem.contracts.wire import ClaimCheck, decode, decode_check
from triagem.db import Database
from triagem.db.known import known
from triagem.db.rewrite import Checked
from triagem.inbox import Entry
from triagem.worker import metrics
from triagem.worker.batch import Condemned, Item
from triagem.worker.causes import Cause
from triagem.worker.keeper import Running

_NOT_TOKENISED = Tokens(ids=(), truncated=False)


def read(entries: Sequence[Entry]) -> tuple[list[tuple[Entry, Ticket | ClaimCheck]], list[Condemned]]:
    """Decode entries; what can't be read comes back apart, with the reason."""
    readable: list[tuple[Entry, Ticket | ClaimCheck]] = []
    unreadable: list[Condemned] = []
    for entry in entries:
        try:
            payload = entry.payload or b""
            readable.append((entry, decode_check(payload) or decode(payload)))
        except UnreadableEntry as error:
            unreadable.append(Condemned(entry, Cause.UNREADABLE, str(error)))
    return readable, unreadable


def prepare(taken: Sequence[tuple[Entry, Ticket | Checked]], running: Running, database: Database) -> list[Item]:
    """Items for the model, in the same order. A text that this version knows is not tokenised, only carried."""
    texts = [clean((what.text if isinstance(what, Ticket) else what.words) or "") for _, what in taken]
    # A claim check names the digest that the ticket was stored by, whatever cleaning gave it.
    digests = [
        digest(text) if isinstance(what, Ticket) else what.check.digest
        for text, (_, what) in zip(texts, taken, strict=True)
    ]
    places = [place for place, (_, what) in enumerate(taken) if isinstance(what, Ticket)]
    asked = [
        (what.source, what.external_id, one)
        for (_, what), one in zip(taken, digests, strict=True)
        if isinstance(what, Ticket)
    ]
    stored = {places[place]: said for place, said in known(database, asked, running.model.version).items()}
    fresh = [place for place in range(len(taken)) if place not in stored]
    began = time.perf_counter()
    tokens = dict(zip(fresh, running.model.tokenize([texts[place] for place in fresh]), strict=True))
    spent = time.perf_counter() - began
    if fresh:
        metrics.TOKENISE_SECONDS.observe(spent)
    each = spent / max(1, len(taken))
    return [
        Item(entry, what, digests[place], tokens.get(place, _NOT_TOKENISED), stored.get(place), each)
        for place, (entry, what) in enumerate(taken)
    ]
