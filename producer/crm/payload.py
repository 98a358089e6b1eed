"""Reads CRM payloads and the values in them. It does not assume that a value has the expected type."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from html import unescape
from typing import Final

from triagem.contracts.errors import InvalidTicket
from triagem.contracts.moments import MomentFormat, read_moment
from triagem.contracts.ticket import Ticket, id_text
from triagem.producer.placeholders import TAG, is_placeholder

MAX_RECORDS: Final = 1000
MAX_VALUES: Final = 100_000
_PIECE: Final = 65_536
_GZIP: Final = b"\x1f\x8b"
_SEPARATORS: Final = (",", "[", "{")
_EXACT: Final = MomentFormat()  # a time without an offset is refused
_DECODER: Final = json.JSONDecoder(strict=False)
_STRING: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_STRINGS: Final = re.compile(f'(?:[^"]*+{_STRING.pattern}){{1,1000}}+', re.DOTALL)
_NAME: Final = re.compile(r"(?=.{1,80}\Z)(?:[a-z][a-z0-9_.:-]*|[A-Z]+(?:[._][A-Z]+)+)")


@dataclass(frozen=True)
class Webhook:
    """A request exactly as received: signatures cover these bytes, so nothing may parse and re-encode them.

    `token` is the query parameter `?token=`, for CRMs that can neither sign nor send a header.
    """

    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    token: str | None = field(default=None, repr=False)

    @cached_property
    def _parsed(self) -> tuple[object, str]:
        """The body as JSON, or what is wrong with it. An exception would keep the body alive by its traceback."""
        try:
            return parse(self.body), ""
        except InvalidTicket as error:
            return None, error.reason

    @property
    def payload(self) -> object:
        """The body as JSON, parsed once. Raises InvalidTicket."""
        payload, problem = self._parsed
        if problem:
            raise InvalidTicket("body", problem)
        return payload

    def header(self, name: str) -> str | None:
        """A header's value, case-insensitive; None if it is absent."""
        return next((value for key, value in self.headers.items() if key.lower() == name.lower()), None)


@dataclass(frozen=True, slots=True)
class AcceptedWebhook:
    """Customer messages, for the inbox. `unread`: unreadable records of a batch; also dead-letter the body."""

    tickets: tuple[Ticket, ...]
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class IgnoredWebhook:
    """Understood, but not a customer message: an agent's reply, a private note, a tag (also our own), a ping."""

    reason: str


@dataclass(frozen=True, slots=True)
class UnreadableWebhook:
    """It may hold a customer message that we cannot read: dead-letter the body."""

    reason: str


@dataclass(frozen=True, slots=True)
class OversizedWebhook(UnreadableWebhook):
    """It has more records than a webhook may have: answer 413 and keep nothing. The sender can send it in parts."""


@dataclass(frozen=True, slots=True)
class UnmatchedWebhook(UnreadableWebhook):
    """No record and no known event: dead-letter the body unless the source has had tickets accepted before."""


@dataclass(frozen=True, slots=True)
class RefusedWebhook:
    """The sender is not authenticated: answer 401 and keep nothing. The reason is for the log, not for the sender."""

    reason: str


ReadWebhook = AcceptedWebhook | IgnoredWebhook | UnreadableWebhook


def parse(body: bytes) -> object:
    """Parse the body as JSON of bounded size. Raises InvalidTicket.

    Line breaks inside strings are allowed: CRMs fill in templates without escaping them.
    """
    try:
        text = body.decode(json.detect_encoding(body), "surrogatepass")
        if _has_too_many_values(text):
            raise InvalidTicket("body", f"has more than {MAX_VALUES:,} values: send it in parts")
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        reason = f"is not valid JSON at character {error.pos + 1}" if text.strip() else "is empty"
        raise InvalidTicket("body", reason) from None
    except (ValueError, RecursionError):
        if body.startswith(_GZIP):
            raise InvalidTicket("body", "is compressed: send it without Content-Encoding") from None
        # Not UTF-8, a number of thousands of digits, thousands of brackets
        raise InvalidTicket("body", "is not valid JSON in UTF-8") from None


def _has_too_many_values(text: str) -> bool:
    """Count commas and brackets: first quickly, then, if that is too many, only those outside strings.

    The JSON parser holds Python's global lock: five million empty lists took it two seconds. In this time the process
    answered no other request, although it parsed them in a thread. This loop lets other threads run.
    """
    if _separators(text, 0, len(text)) < MAX_VALUES:
        return False
    separators = strings = end = 0
    while separators < MAX_VALUES and strings <= 2 * MAX_VALUES:  # a name and a string per value
        part = _STRINGS.match(text, end)
        if part is None:  # the end; or a string without an end, which the parser reports
            return separators + _separators(text, end, text.find('"', end) % (len(text) + 1)) >= MAX_VALUES
        outside, count = _STRING.subn("", part[0])
        separators += sum(map(outside.count, _SEPARATORS))
        end, strings = part.end(), strings + count
    return True


def _separators(text: str, begin: int, end: int) -> int:
    """The number of separators, up to the limit. Counts in pieces, because `count` holds the global lock too."""
    count = 0
    for start in range(begin, end, _PIECE):
        count += sum(text.count(separator, start, min(start + _PIECE, end)) for separator in _SEPARATORS)
        if count >= MAX_VALUES:
            break
    return count


def parse_id(value: object, field: str) -> str:
    """A CRM's id as a string. Raises InvalidTicket if it is neither a string nor a whole number."""
    if isinstance(value := id_text(value), str) and value.strip():
        return value
    raise InvalidTicket(field, "is missing or not an id")


def parse_time(value: object, field: str, form: MomentFormat = _EXACT) -> datetime:
    """A time with an offset, or seconds or milliseconds since 1970. Raises InvalidTicket.

    `form` may give the zone of times without an offset, and the order of day and month.
    """
    try:
        return read_moment(value, form)
    except ValueError as error:
        raise InvalidTicket(field, "is missing" if value is None else str(error)) from None


def has_text(message: str) -> bool:
    """Whether a message shows anything but white space: `<div><br></div>` and `<p>&nbsp;</p>` do not."""
    return any(char.isprintable() and not char.isspace() for char in unescape(TAG.sub("", message)))


def safe_name(name: object) -> str:
    """The name of an event or attribute, for a message; `?` if the value may not be a name, but a text."""
    return name if isinstance(name, str) and _NAME.fullmatch(name) else "?"


def is_empty(value: object) -> bool:
    """Whether a value of the metadata is missing, or a placeholder that the CRM did not fill in."""
    return value in (None, "") or (isinstance(value, str) and is_placeholder(value))
