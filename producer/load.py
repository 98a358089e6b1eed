"""Loads a file into the inbox: surveys it first, then accepts or rejects each record, and waits while it is full."""

import dataclasses
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from triagem.contracts.errors import InboxFull, InvalidInput, InvalidTicket
from triagem.contracts.moments import DateOrder, DateOrderEvidence, MomentFormat, read_moment
from triagem.contracts.ticket import Lane, Ticket, accept, id_text
from triagem.contracts.wire import encode
from triagem.producer.columns import FieldMap
from triagem.producer.placeholders import check_filled
from triagem.producer.publisher import Publisher
from triagem.records.rows import BadLine, Record

_BATCH: Final = 500
# 500 of the longest texts are 150 MB, and Redis holds a batch twice while it adds it: it would wait forever.
_BATCH_BYTES: Final = 4 * 1024 * 1024
_IN_UTC: Final = MomentFormat(UTC)
_FULL_PAUSE_S: Final = 0.5
_MIN_TIMES: Final = 3  # fewer unreadable times are rejected row by row
_FLOAT_ID: Final = re.compile(r"\d+\.0")
_SCIENTIFIC_ID: Final = re.compile(r"\d+(?:[.,]\d+)?[eE]\+?\d+")


@dataclass(frozen=True, slots=True)
class ReadingRules:
    """Turns the rows of one file into tickets. `whole_ids`: every id is written like 12.0 and means 12."""

    mapping: FieldMap
    source: str | None = None
    moments: MomentFormat = _IN_UTC
    whole_ids: bool = False

    def ticket(self, record: Record | BadLine) -> Ticket | BadLine:
        """The ticket of a record, or why there is none."""
        if isinstance(record, BadLine):
            return record
        try:
            fields = self.mapping.fields(record.columns)
            if self.source is not None:
                fields.setdefault("source", self.source)
            if self.whole_ids and "external_id" in fields:
                fields["external_id"] = str(fields["external_id"]).removesuffix(".0")
            if "revised_at" in fields:
                fields["revised_at"] = read_moment(fields["revised_at"], self.moments)
            ticket = accept(fields, now=datetime.now(UTC))
            check_filled(ticket.external_id, ticket.text)
        except InvalidTicket as error:
            return BadLine(record.line, str(error), record.raw)
        except ValueError as error:
            return BadLine(record.line, f"revised_at: {error}", record.raw)
        return ticket


@dataclass(frozen=True, slots=True)
class Survey:
    """The result of a first pass over a file: its number of rows, and notes for a person."""

    rows: int
    rules: ReadingRules
    notes: tuple[str, ...] = ()


def survey(records: Iterator[Record | BadLine], rules: ReadingRules) -> Survey:
    """Read a file once to decide what only the whole file shows: order of day and month, form of the ids.

    Raises:
        InvalidInput: no time can be read, or the order of day and month is not clear. The message names the option
            that helps.
    """
    rows = named = times = repeated = scientific = floats = 0
    messages, conversations = 0, set[int]()
    evidence, seen, first_repeated, unreadable = DateOrderEvidence(), set[int](), list[int](), list[str]()
    for record in records:
        rows += 1
        try:
            fields = {} if isinstance(record, BadLine) else rules.mapping.fields(record.columns)
        except InvalidTicket:
            continue
        if not (name := str(id_text(fields.get("external_id") or "")).strip()):
            continue
        named += 1
        floats += _FLOAT_ID.fullmatch(name) is not None
        scientific += _SCIENTIFIC_ID.fullmatch(name) is not None
        ticket, message = hash((fields.get("source"), name)), fields.get("message", {})
        conversations.update([ticket] if message else [])
        messages += bool(message)
        identity = hash((ticket, str(message.get("id", ""))))
        if identity in seen:
            repeated += 1
            first_repeated += [record.line][: 3 - len(first_repeated)]
        seen.add(identity)
        if "revised_at" in fields:
            times += 1
            evidence.add(record.line, fields["revised_at"])
            if len(unreadable) == times - 1 and (reason := _unreadable(fields["revised_at"], rules.moments)):
                unreadable.append(f"line {record.line} {reason}")
    moments = rules.moments
    if times >= _MIN_TIMES and len(unreadable) == times:
        column = "+".join(rules.mapping.columns.get("revised_at", ("revised_at",)))
        raise InvalidInput(
            f"no time in {column!r} can be read ({unreadable[0]}): name its form with --date-format, or leave the "
            "times out with --map revised_at="
        )
    if not moments.order and not moments.pattern:
        try:
            moments = dataclasses.replace(moments, order=evidence.order())
        except ValueError as error:
            raise InvalidInput(f"{error}: give --date-format dmy or --date-format mdy") from None
    notes = []
    if scientific:
        notes.append(
            f"{scientific:,} ids are in a spreadsheet's form such as 5,00123E+17, which has lost digits: format the "
            "column as text and export again"
        )
    if messages:
        notes.append(f"{messages:,} rows are messages of {len(conversations):,} conversations")
    if repeated:
        lines = ", ".join(map(str, first_repeated)) + (", …" if repeated > len(first_repeated) else "")
        notes.append(
            f"{named:,} rows, {len(seen):,} ids: {repeated:,} rows repeat an id (line {lines}); of each ticket "
            "only the newest text is classified. If each row is a message, add --map message_id=COLUMN"
        )
    whole = bool(floats) and floats == named
    return Survey(rows, dataclasses.replace(rules, moments=moments, whole_ids=whole), tuple(notes))


def _unreadable(value: object, moments: MomentFormat) -> str:
    """The reason that a time is not readable in any order of day and month; empty if it is."""
    reason = ""
    for order in (moments.order,) if moments.order else tuple(DateOrder):
        try:
            read_moment(value, dataclasses.replace(moments, order=order))
        except ValueError as error:
            reason = str(error)
        else:
            return ""
    return reason


@dataclass(slots=True)
class LoadSummary:
    """Counts of a load: accepted records and rejected lines. `waiting`: the inbox is full at the moment."""

    accepted: int = 0
    rejected: list[BadLine] = dataclasses.field(default_factory=list)
    waiting: bool = False


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
