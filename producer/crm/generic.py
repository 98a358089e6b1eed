"""Any CRM that posts JSON: a field map in JMESPath says where in it a ticket's fields lie.

The expressions come from the operator's settings, never from the sender.
"""

from datetime import datetime
from typing import Any

import jmespath

from triagem.contracts.errors import InvalidTicket
from triagem.contracts.ticket import Ticket
from triagem.producer.crm.adapter import Accepted, Ignored
from triagem.producer.crm.payload import identifier, make, moment
from triagem.producer.crm.settings import GenericSource


def read(payload: object, source: GenericSource, now: datetime) -> Accepted | Ignored:
    """A webhook's JSON as tickets, one a record. Raises InvalidTicket if no record of it is one."""
    found = _search(source.records, payload, "records")
    records = found if isinstance(found, list) else [] if found is None else [found]
    if not records:
        return Ignored("no record in it that `records` selects")
    tickets, unread = list[Ticket](), list[str]()
    for number, record in enumerate(records, 1):
        try:
            tickets.append(_ticket(record, source, now))
        except InvalidTicket as error:
            unread.append(f"record {number}: {error}" if len(records) > 1 else str(error))
    if not tickets:
        raise InvalidTicket("", unread[0])
    return Accepted(tuple(tickets), tuple(unread))


def _ticket(record: object, source: GenericSource, now: datetime) -> Ticket:
    fields = source.fields
    written = (
        now if fields.revised_at is None else moment(_search(fields.revised_at, record, "revised_at"), "revised_at")
    )
    pieces = [_search(expression, record, "text") for expression in fields.text]
    if wrong := next((piece for piece in pieces if not isinstance(piece, str | int | float | None)), None):
        raise InvalidTicket("text", f"is {type(wrong).__name__}, expected text")
    return make(
        source=source.name,
        external_id=identifier(_search(fields.external_id, record, "external_id"), "external_id"),
        text="\n".join(str(piece) for piece in pieces if piece not in (None, "")),
        revised_at=written,
        now=now,
        details={name: _search(where, record, f"metadata.{name}") for name, where in fields.metadata.items()},
    )


def _search(expression: str, record: object, field: str) -> Any:
    """What lies where the expression says; None for nothing. Raises InvalidTicket if it fails on this record."""
    try:
        return jmespath.search(expression, record)
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:  # its own are ValueErrors
        raise InvalidTicket(field, f"its expression fails on this record ({type(error).__name__})") from None
