"""How a ticket travels in a stream entry: one JSON object, version 1; one that is stored travels as its id.

A worker that is older than a form of entry sets it aside as a dead letter of another wire version. So a new form
comes with a word by which workers say that they read it, and is put once all of them do.
"""

import json
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError
from pydantic_core import from_json

from triagem.contracts.errors import InvalidTicket, UnreadableEntry
from triagem.contracts.ticket import Identity, Ticket, complaint, identify

WIRE_VERSION: Final = 1
_HEAD: Final = b'{"v":1,'
CHECKS: Final = "check-1"  # the word of claim checks
_CHECK_HEAD: Final = b'{"v":"%b",' % CHECKS.encode()


@dataclass(frozen=True, slots=True)
class ClaimCheck:
    """A stored ticket that a run wants classified again. `digest` is of the text it had when it was put."""

    run: int
    ticket: int
    digest: bytes


def encode_check(check: ClaimCheck) -> bytes:
    """The entry's payload of a claim check."""
    return _CHECK_HEAD + b'"run":%d,"ticket":%d,"digest":"%b"}' % (
        check.run,
        check.ticket,
        check.digest.hex().encode(),
    )


def is_check(payload: bytes) -> bool:
    """Whether a payload is a claim check, by its beginning."""
    return payload.startswith(_CHECK_HEAD)


def decode_check(payload: bytes) -> ClaimCheck | None:
    """The claim check that a payload is; None if it is something else.

    Raises:
        UnreadableEntry: it begins as one, and is none.
    """
    if not is_check(payload):
        return None
    try:
        data = json.loads(payload)
        run, ticket, digest = data["run"], data["ticket"], bytes.fromhex(data["digest"])
    except (ValueError, TypeError, KeyError):
        run = ticket = None
    if not (isinstance(run, int) and isinstance(ticket, int) and 0 < run < 2**63 and 0 < ticket < 2**63):
        raise UnreadableEntry("the payload is a claim check that cannot be read")
    return ClaimCheck(run, ticket, digest)


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
