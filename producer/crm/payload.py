"""Finding one's way in what a CRM sent, and making a ticket of it. Nothing here trusts a type."""

import json
import re
from datetime import datetime
from typing import Any, Final

from pydantic import AwareDatetime, TypeAdapter, ValidationError

from triagem.contracts.errors import InvalidTicket
from triagem.contracts.ticket import Ticket, accept

_MOMENT: Final = TypeAdapter(AwareDatetime)
_NAME: Final = re.compile(r"[a-z][a-z0-9_.:-]{0,79}")


def parse(body: bytes) -> object:
    """The body's JSON. Raises InvalidTicket if it is none.

    Line breaks inside strings are let through: CRMs fill templates in without escaping them.
    """
    try:
        return json.loads(body, strict=False)
    except json.JSONDecodeError as error:
        raise InvalidTicket("body", f"is not JSON ({error.msg}, character {error.pos})") from None
    except (ValueError, RecursionError) as error:  # no UTF-8, a number of thousands of digits, thousands of brackets
        raise InvalidTicket("body", f"is not JSON ({type(error).__name__})") from None


def at(value: object, *path: str) -> object:
    """What lies at a path of names, or None."""
    for name in path:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def words(value: object) -> str:
    """A string as it is; anything else counts as no text."""
    return value if isinstance(value, str) else ""


def identifier(value: object, field: str) -> str:
    """A CRM's id as a string. Raises InvalidTicket if it is neither a string nor a whole number."""
    if isinstance(value, str) and value.strip():
        return value
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
        return str(value)
    raise InvalidTicket(field, "is missing or no id")


def moment(value: object, field: str) -> datetime:
    """A time as CRMs write it: ISO 8601 with an offset, seconds or milliseconds since 1970. Raises InvalidTicket."""
    if isinstance(value, str):
        value = re.sub(r" UTC$", "Z", value)  # Ruby's way, as Chatwoot's documentation shows it
    try:
        return _MOMENT.validate_python(value)
    except ValidationError:
        raise InvalidTicket(field, "is missing or no time with an offset") from None


def shown(name: object) -> str:
    """The name of an event or attribute, for a reason; `?` if it could be anything else, such as a text."""
    return name if isinstance(name, str) and _NAME.fullmatch(name) else "?"


def joined(subject: object, message: object) -> str:
    """Subject, newline, message, as a ticket's text wants it; the subject is one line, and may be missing."""
    return "\n".join(filter(None, (" ".join(words(subject).split()), words(message).strip())))


def make(
    *, source: str, external_id: str, text: str, revised_at: datetime, now: datetime, details: dict[str, Any]
) -> Ticket:
    """A ticket that keeps the contract's rules. Raises InvalidTicket. Empty details are left out."""
    return accept(
        {
            "source": source,
            "external_id": external_id,
            "text": text,
            "revised_at": revised_at,
            "metadata": {name: value for name, value in details.items() if value not in (None, "")},
        },
        now=now,
    )
