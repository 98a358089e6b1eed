"""Loads a file into the inbox: accepts or rejects each record, and waits while the inbox is full."""

import dataclasses
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from triagem.contracts.errors import InboxFull, InvalidInput, InvalidTicket
from triagem.contracts.moments import MomentFormat, read_moment
from triagem.contracts.ticket import Lane, Ticket, accept
from triagem.contracts.wire import encode
from triagem.producer.columns import FieldMap
from triagem.producer.placeholders import check_filled
from triagem.producer.publisher import Publisher
from triagem.records.rows import BadLine, Record

_BATCH: Final = 500
# 500 of the longest texts are 150 MB, and Redis holds a batch twice while it adds it, so it would wait forever.
_BATCH_BYTES: Final = 4 * 1024 * 1024
IN_UTC: Final = MomentFormat(UTC)
_CUT: Final = "a part of a row that an unquoted line break cut off: export the texts in quotes, or correct it by hand"
_FULL_PAUSE_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class ReadingRules:
    """Turns the rows of one file into tickets.

    `whole_ids`: every id is written like 12.0 and means 12. `cut_lines`: pieces of rows that a line break cut.
    """

    mapping: FieldMap
    source: str | None = None
    moments: MomentFormat = IN_UTC
    whole_ids: bool = False
    cut_lines: frozenset[int] = frozenset()

    def ticket(self, record: Record | BadLine) -> Ticket | BadLine:
        """The ticket of a record, or why there is none."""
        if isinstance(record, BadLine):
            return record
        if record.line in self.cut_lines:
            return BadLine(record.line, _CUT, record.raw)
        try:
            fields = self.mapping.fields(record.columns)
            if self.source is not None:
                fields.setdefault("source", self.source)
            if self.whole_ids and "external_id" in fields:
                fields["external_id"] = str(fields["external_id"]).removesuffix(".0").removesuffix(",0")
            if "revised_at" in fields:
                fields["revised_at"] = read_moment(fields["revised_at"], self.moments)
            ticket = accept(fields, now=datetime.now(UTC))
            check_filled(ticket.external_id, ticket.text)
        except InvalidTicket as error:
            return BadLine(record.line, str(error), record.raw)
        except ValueError as error:
            return BadLine(record.line, f"revised_at: {error}", record.raw)
        return ticket


@dataclass(slots=True)
class LoadSummary:
    """Counts of a load: accepted records and rejected lines. `waiting`: the inbox is full at the moment."""

    accepted: int = 0
    rejected: list[BadLine] = dataclasses.field(default_factory=list)
    waiting: bool = False

    def reasons(self) -> list[tuple[str, list[int]]]:
        """The reasons and their lines, the most frequent reason first."""
        lines: dict[str, list[int]] = {}
        for rejected in self.rejected:
            lines.setdefault(rejected.reason, []).append(rejected.line)
        return sorted(lines.items(), key=lambda item: -len(item[1]))


def load_records(
    records: Iterator[Record | BadLine],
    rules: ReadingRules,
    publisher: Publisher,
    *,
    lane: Lane,
    strict: bool = False,
    on_reject: Callable[[BadLine], None] = lambda _: None,
    on_progress: Callable[[LoadSummary], None] = lambda _: None,
    sleep: Callable[[float], None] = time.sleep,
) -> LoadSummary:
    """Put a file's records into a lane, in batches.

    Args:
        strict: stop at the first bad line; the records before it are in the inbox.
        on_reject: called for each rejected record, with its lines as they are.
        on_progress: called after every batch, and while the inbox is full.

    Raises:
        InvalidInput: a bad line, if strict.
        InboxUnavailable, AccessDenied: Redis does not answer, or rejects the login.
    """
    summary = LoadSummary()
    batch: list[Ticket] = []
    batch_bytes = 0
    size = min(_BATCH, publisher.capacity(lane))  # a batch above the lane's high-water mark would wait forever

    def put() -> None:
        nonlocal batch_bytes
        batch_bytes = 0
        while batch:
            try:
                publisher.put(batch, lane=lane)
            except InboxFull:
                summary.waiting = True
                on_progress(summary)
                sleep(_FULL_PAUSE_S)
                continue
            summary.waiting = False
            summary.accepted += len(batch)
            batch.clear()
        on_progress(summary)

    for record in records:
        ticket = rules.ticket(record)
        if isinstance(ticket, BadLine):
            if strict:
                put()
                accepted = f"stopped by --strict, {summary.accepted} records before it were accepted"
                raise InvalidInput(f"line {ticket.line}: {ticket.reason} ({accepted})")
            on_reject(ticket)
            summary.rejected.append(dataclasses.replace(ticket, raw=""))
            continue
        ticket_bytes = len(encode(ticket))
        if batch_bytes + ticket_bytes > _BATCH_BYTES:
            put()
        batch.append(ticket)
        batch_bytes += ticket_bytes
        if len(batch) >= size:
            put()
    put()
    return summary
