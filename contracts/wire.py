"""How a ticket travels in a stream entry: one JSON object, wire version 1."""

from typing import Final

from pydantic import ValidationError
from pydantic_core import from_json

from contracts.errors import InvalidTicket, UnreadableEntry
from contracts.ticket import Identity, Ticket, complaint, identify

WIRE_VERSION: Final = 1
_HEAD: Final = b'{"v":1,'


def encode(ticket: Ticket) -> bytes:
    """The entry's payload, UTF-8 JSON with the wire version in front."""
    return _HEAD + ticket.model_dump_json().encode()[1:]


def decode(payload: bytes) -> Ticket:
    """Read an entry's payload.

    Raises:
        UnreadableEntry: not JSON, another wire version, or not a ticket. The message never holds the text.
    """
    try:
        data = from_json(payload, allow_inf_nan=False)
    except ValueError:
        raise UnreadableEntry("the payload is not JSON") from None
    if not isinstance(data, dict) or data.pop("v", None) != WIRE_VERSION:
        raise UnreadableEntry(f"the payload's wire version is not {WIRE_VERSION}")
    if "revised_at" not in data:  # its default is now, and would differ at each delivery
        raise UnreadableEntry("revised_at: Field required")
    try:
        return Ticket.model_validate(data)
    except ValidationError as error:
        raise UnreadableEntry(": ".join(complaint(error))) from None


def identity(payload: bytes) -> Identity | None:
    """Whose ticket a payload is, also where `decode` refuses it: another version, a missing field, JSON cut short.

    None where even that cannot be read. What a customer wants forgotten is found by it, so it reads all it can.
    """
    try:
        data = from_json(payload, allow_partial=True)
        # A producer in another language may have sent its number as a number.
        source, external_id = (
            str(one) if isinstance(one, int) else one for one in (data["source"], data["external_id"])
        )
        return identify(source, external_id)
    except (ValueError, TypeError, KeyError, AttributeError, InvalidTicket):
        return None
