"""Wire format of stream entries: a ticket as a JSON object of version 1, or a stored ticket as a reference to it."""

import json
import re
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError
from pydantic_core import from_json

from triagem.contracts.errors import InvalidTicket, UnreadableEntry
from triagem.contracts.field_errors import first_error
from triagem.contracts.ticket import Identity, Ticket, identify

WIRE_VERSION: Final = 1
_HEAD: Final = b'{"v":1,'
_NO_MESSAGE: Final = {"message"}
_REF_HEAD: Final = b'{"v":"check-1",'  # a stored-ticket reference (claim check)


@dataclass(frozen=True, slots=True)
class StoredTicketRef:
    """A claim check: refers to a stored ticket to classify again.

    `digest` is the digest of its text when the entry was enqueued.
    """

    run: int
    ticket: int
    digest: bytes


def encode_ref(ref: StoredTicketRef) -> bytes:
    """Encode a reference as an entry's payload."""
    return _REF_HEAD + b'"run":%d,"ticket":%d,"digest":"%b"}' % (
        ref.run,
        ref.ticket,
        ref.digest.hex().encode(),
    )


def is_ref(payload: bytes) -> bool:
    """Whether a payload is a stored-ticket reference, by its first bytes."""
    return payload.startswith(_REF_HEAD)


def decode_ref(payload: bytes) -> StoredTicketRef | None:
    """Decode a stored-ticket reference; None if the payload is something else.

    Raises:
        UnreadableEntry: the payload begins like a reference but is not one.
    """
    if not is_ref(payload):
        return None
    try:
        data = json.loads(payload)
        run, ticket, digest = data["run"], data["ticket"], bytes.fromhex(data["digest"])
    except (ValueError, TypeError, KeyError):
        run = ticket = None
    if not (isinstance(run, int) and isinstance(ticket, int) and 0 < run < 2**63 and 0 < ticket < 2**63):
        raise UnreadableEntry("the payload is a stored-ticket reference that cannot be read")
    return StoredTicketRef(run, ticket, digest)


def encode(ticket: Ticket) -> bytes:
    """Encode a ticket as an entry's payload: UTF-8 JSON with the wire version first."""
    return _HEAD + ticket.model_dump_json(exclude=_NO_MESSAGE if ticket.message is None else None).encode()[1:]


def decode(payload: bytes) -> Ticket:
    """Decode a ticket from an entry's payload.

    Raises:
        UnreadableEntry: not JSON, another wire version, or not a ticket. The message never contains the text.
    """
    try:
        data = from_json(payload, allow_inf_nan=False)
    except ValueError:
        raise UnreadableEntry("the payload is not JSON") from None
    if not isinstance(data, dict) or "v" not in data:
        raise UnreadableEntry("the payload is not an entry of Triagem: it has no field v")
    if data.pop("v") != WIRE_VERSION:
        raise UnreadableEntry(f"the payload's wire version is not {WIRE_VERSION}")
    if "revised_at" not in data:  # required: the default (now) would differ at each delivery
        raise UnreadableEntry("revised_at: is missing")
    try:
        return Ticket.model_validate(data)
    except ValidationError as error:
        raise UnreadableEntry(": ".join(first_error(error))) from None


def decode_identity(payload: bytes) -> Identity | None:
    """The identity in a payload, even if `decode` rejects it: another version, a missing field, truncated JSON.

    None if the identity cannot be read. It serves to find the entries of tickets to forget, so it tolerates as much
    damage as possible.
    """
    try:
        data = from_json(payload, allow_partial=True)
        # A producer in another language may have sent a numeric id as a number.
        source, external_id = (
            str(value) if isinstance(value, int) else value for value in (data["source"], data["external_id"])
        )
        return identify(source, external_id)
    except (ValueError, TypeError, KeyError, AttributeError, InvalidTicket):
        return None


def longest_word(external_id: str) -> bytes:
    """The longest part of an id that JSON does not escape, so every payload of the ticket contains it.

    A search for this part is a hundred times faster than `decode_identity`.
    """
    return max(re.findall(r"[A-Za-z0-9_-]+", external_id), key=len, default="").encode()
