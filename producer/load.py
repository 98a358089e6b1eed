"""Loads a file into the inbox: accepts or rejects each record with its line number, and waits while it is full."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from triagem.contracts.errors import InboxFull, InvalidInput, InvalidTicket
from triagem.contracts.ticket import Lane, Ticket, accept
from triagem.producer.mapping import FieldMap
from triagem.producer.publisher import Publisher
from triagem.producer.rows import BadLine, Record

_BATCH: Final = 500
_FULL_PAUSE_S: Final = 0.5


@dataclass(slots=True)
class LoadSummary:
    """Counts of a load: accepted records, rejected lines, and the time spent waiting for a full inbox."""

    accepted: int = 0
    rejected: list[BadLine] = field(default_factory=list)
    waited_s: float = 0.0


def load_records(
    records: Iterator[Record | BadLine],
    mapping: FieldMap,
    publisher: Publisher,
    *,
    lane: Lane,
    source: str | None,
    strict: bool,
    on_progress: Callable[[LoadSummary], None] = lambda _: None,
    sleep: Callable[[float], None] = time.sleep,
) -> LoadSummary:
    """Put a file's records into a lane, in batches.

    Args:
        source: the CRM's name for records that carry none.
        strict: stop at the first bad line; the records before it are in the inbox.
        on_progress: called after every batch, and while the inbox is full.

    Raises:
        InvalidInput: a bad line, if strict.
        InboxUnavailable, AccessDenied: Redis does not answer, or rejects the login.
    """
    summary = LoadSummary()
    batch: list[Ticket] = []
    size = min(_BATCH, publisher.capacity(lane))  # a batch above the lane's high-water mark would wait forever

    def put() -> None:
        while batch:
            try:
                publisher.put(batch, lane=lane)
            except InboxFull:
                on_progress(summary)
                sleep(_FULL_PAUSE_S)
                summary.waited_s += _FULL_PAUSE_S
                continue
            summary.accepted += len(batch)
            batch.clear()
        on_progress(summary)

    for record in records:
        ticket = _ticket(record, mapping, source)
        if isinstance(ticket, BadLine):
            if strict:
                put()
                accepted = f"stopped by --strict, {summary.accepted} records before it were accepted"
                raise InvalidInput(f"line {ticket.line}: {ticket.reason} ({accepted})")
            summary.rejected.append(ticket)
            continue
        batch.append(ticket)
        if len(batch) >= size:
            put()
    put()
    return summary


def _ticket(record: Record | BadLine, mapping: FieldMap, source: str | None) -> Ticket | BadLine:
    if isinstance(record, BadLine):
        return record
    try:
        fields = mapping.fields(record.columns)
        if source is not None:
            fields.setdefault("source", source)
        return accept(fields, now=datetime.now(UTC))
    except InvalidTicket as error:
        return BadLine(record.line, str(error))
