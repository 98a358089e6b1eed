"""A file into the inbox: every record is accepted or rejected with its line, and a full inbox is waited out."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from triagem.contracts.errors import InboxFull, InvalidInput, InvalidTicket
from triagem.contracts.ticket import Lane, Ticket, accept
from triagem.producer.mapping import FieldMap
from triagem.producer.publisher import Publisher
from triagem.producer.rows import BadLine, Row

_BATCH: Final = 500
_FULL_PAUSE_S: Final = 0.5


@dataclass(slots=True)
class Summary:
    """What became of a file's records."""

    accepted: int = 0
    rejected: list[BadLine] = field(default_factory=list)
    waited_s: float = 0.0


def load(
    records: Iterator[Row | BadLine],
    mapping: FieldMap,
    publisher: Publisher,
    *,
    lane: Lane,
    source: str | None,
    strict: bool,
    on_progress: Callable[[Summary], None] = lambda _: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Summary:
    """Put a file's records into a lane, in batches.

    Args:
        source: the CRM's name for records that carry none.
        strict: stop at the first bad line instead of going on; what stood before it is in the inbox.
        on_progress: called after every batch, and while a full inbox is waited out.

    Raises:
        InvalidInput: a bad line, if strict.
        InboxAway, AccessDenied: Redis does not answer, or refuses us.
    """
    summary = Summary()
    batch: list[Ticket] = []
    size = min(_BATCH, publisher.most(lane))  # a batch above the lane's mark would be waited for without end

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
        answer = _ticket(record, mapping, source)
        if isinstance(answer, BadLine):
            if strict:
                put()
                before = f"stopped by --strict, {summary.accepted} before it are in"
                raise InvalidInput(f"line {answer.line}: {answer.reason} ({before})")
            summary.rejected.append(answer)
            continue
        batch.append(answer)
        if len(batch) >= size:
            put()
    put()
    return summary


def _ticket(record: Row | BadLine, mapping: FieldMap, source: str | None) -> Ticket | BadLine:
    if isinstance(record, BadLine):
        return record
    try:
        fields = mapping.fields(record.columns)
        if source is not None:
            fields.setdefault("source", source)
        return accept(fields, now=datetime.now(UTC))
    except InvalidTicket as error:
        return BadLine(record.line, str(error))
