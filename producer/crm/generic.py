"""Generic adapter for any CRM that posts JSON: JMESPath expressions select the fields of a ticket.

The expressions come from the operator's settings, never from the sender.
"""

from datetime import datetime
from typing import Any

import jmespath

from triagem.contracts.errors import InvalidTicket
from triagem.contracts.ticket import Ticket
from triagem.producer.crm.payload import (
    MAX_RECORDS,
    AcceptedWebhook,
    IgnoredWebhook,
    OversizedWebhook,
    has_text,
    make_ticket,
    parse_id,
    parse_time,
)
from triagem.producer.crm.settings import GenericSource


def read(
    payload: object, source: GenericSource, now: datetime, sent_at: datetime
) -> AcceptedWebhook | IgnoredWebhook | OversizedWebhook:
    """Read a webhook's JSON as tickets, one per record. Raises InvalidTicket if no record can be read."""
    records = _records(payload, source)
    if not records:
        return IgnoredWebhook("`records` selects no record")
    if len(records) > MAX_RECORDS:
        return OversizedWebhook(f"{len(records):,} records: a webhook may have at most {MAX_RECORDS:,}")
    tickets, unread = list[Ticket](), list[str]()
    for number, record in enumerate(records, 1):
        try:
            if ticket := _ticket(record, source, now, sent_at):
                tickets.append(ticket)
        except InvalidTicket as error:
            unread.append(f"record {number}: {error}" if len(records) > 1 else str(error))
    if unread and not tickets:
        raise InvalidTicket("", unread[0])
    if not tickets:
        return IgnoredWebhook("no text")
    return AcceptedWebhook(tuple(tickets), tuple(unread))


def external_ids(payload: object, source: GenericSource) -> list[object]:
    """The ids of the tickets that a webhook names, also if it cannot be read as a whole."""
    records = _records(payload, source)
    return [_search(source.fields.external_id, record, "external_id") for record in records]


def _records(payload: object, source: GenericSource) -> list[object]:
    selected = _search(source.records, payload, "records")
    return selected if isinstance(selected, list) else [] if selected is None else [selected]


def _ticket(record: object, source: GenericSource, now: datetime, sent_at: datetime) -> Ticket | None:
    """The record's ticket; None if its text is empty, such as a picture. Raises InvalidTicket."""
    fields = source.fields
    revised_at = (
        sent_at
        if fields.revised_at is None
        else parse_time(_search(fields.revised_at, record, "revised_at"), "revised_at")
    )
    pieces = [_search(expression, record, "text") for expression in fields.text]
    if invalid := next((piece for piece in pieces if not isinstance(piece, str | int | float | None)), None):
        raise InvalidTicket("text", f"is {type(invalid).__name__}, expected text")
    text = "\n".join(str(piece) for piece in pieces if piece not in (None, ""))
    if any(piece is not None for piece in pieces) and not has_text(text):
        return None
    return make_ticket(
        source=source.name,
        external_id=parse_id(_search(fields.external_id, record, "external_id"), "external_id"),
        text=text,
        revised_at=revised_at,
        now=now,
        metadata={
            name: _search(expression, record, f"metadata.{name}") for name, expression in fields.metadata.items()
        },
    )


def _search(expression: str, record: object, field: str) -> Any:
    """The value of an expression, or None. Raises InvalidTicket if it fails on this record."""
    try:
        return jmespath.search(expression, record)
    except (
        ArithmeticError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:  # JMESPath's errors are ValueErrors
        raise InvalidTicket(field, f"its expression fails on this record ({type(error).__name__})") from None
