"""Verifies the sender of a webhook: an HMAC over body and time, or a shared token.

CRMs that sign differ only in headers, algorithm, encodings and signed content, so a scheme is a value.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, Field, model_validator

from triagem.contracts.errors import InvalidTicket
from triagem.producer.crm.payload import RefusedWebhook, Webhook, parse_time

REPLAY_WINDOW: Final = timedelta(minutes=5)
TOKEN_HEADER: Final = "X-Triagem-Token"  # noqa: S105 - a header's name
_PLACEHOLDERS: Final = re.compile(r"(\{body\}|\{timestamp\}|\{id\})")
_SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what secrets of Standard Webhooks begin with


_STANDARD_WEBHOOKS: Final = {
    "header": "webhook-signature", "separator": " ", "prefix": "v1,", "encoding": "base64",
    "signed": "{id}.{timestamp}.{body}", "id_header": "webhook-id", "timestamp_header": "webhook-timestamp",
    "key_encoding": "base64",
}  # fmt: skip
# Known forms, as the fields that they set. A scheme's own fields replace them.
FORMATS: Final[Mapping[str, Mapping[str, str]]] = {
    "stripe": {
        "header": "Stripe-Signature", "separator": ",", "prefix": "v1=", "timestamp_prefix": "t=",
        "signed": "{timestamp}.{body}",
    },
    "standard-webhooks": _STANDARD_WEBHOOKS,
    "svix": _STANDARD_WEBHOOKS | {
        "header": "svix-signature", "id_header": "svix-id", "timestamp_header": "svix-timestamp",
    },
}  # fmt: skip


class SignatureScheme(BaseModel, frozen=True, extra="forbid"):
    """A signature scheme: an HMAC over `signed`, in which `{body}`, `{timestamp}` and `{id}` are replaced.

    With a `separator`, the header is a list. Its elements with `prefix` are signatures, of which one must be right:
    while a sender changes its key, it signs with both. The element with `timestamp_prefix` is the time.
    """

    header: str = Field(min_length=1)
    algorithm: Literal["sha1", "sha256", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    prefix: str = ""
    separator: Literal[",", ";", " "] | None = None
    signed: str = "{body}"
    timestamp_header: str | None = None
    timestamp_prefix: str | None = Field(default=None, min_length=1)
    id_header: str | None = None
    key_encoding: Literal["text", "base64"] = "text"

    @model_validator(mode="before")
    @classmethod
    def _fill_in_format(cls, table: Any) -> Any:
        if not isinstance(table, dict) or (name := table.get("format")) is None:
            return table
        if name not in FORMATS:
            raise ValueError(f"format: expected one of {', '.join(FORMATS)}")
        return {**FORMATS[name], **{field: value for field, value in table.items() if field != "format"}}

    @model_validator(mode="after")
    def _check_placeholders(self) -> Self:
        if "{body}" not in self.signed:
            raise ValueError("signed: {body} is missing")
        if ("{timestamp}" in self.signed) != (self.timestamp_header is not None or self.timestamp_prefix is not None):
            raise ValueError("signed: {timestamp} and timestamp_header or timestamp_prefix belong together")
        if ("{id}" in self.signed) != (self.id_header is not None):
            raise ValueError("signed: {id} and id_header belong together")
        if self.timestamp_prefix is not None and (self.separator is None or self.timestamp_header is not None):
            raise ValueError("timestamp_prefix: needs a separator, and no timestamp_header")
        return self

    @property
    def covers_time(self) -> bool:
        """Whether a signature covers the time at which it was made."""
        return "{timestamp}" in self.signed

    @property
    def time_field(self) -> str:
        """The place of the time, in words."""
        return self.timestamp_header or f"{self.timestamp_prefix} in {self.header}"

    @property
    def headers(self) -> list[str]:
        """The names of all headers that a signed webhook has."""
        return [name for name in (self.header, self.timestamp_header, self.id_header) if name]

    def key(self, secret: str) -> bytes:
        """The key of a secret. Raises ValueError if it is not base64 although it must be."""
        if self.key_encoding == "text":
            return secret.encode()
        return base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)

    def elements(self, webhook: Webhook) -> list[str]:
        """The elements of the signature's header, which is one element without a separator."""
        value = webhook.header(self.header) or ""
        return [element.strip() for element in value.split(self.separator)] if self.separator else [value]

    def timestamp(self, webhook: Webhook) -> str:
        """The time that the signature covers, as the webhook has it; empty if it is missing."""
        if self.timestamp_prefix is None:
            return webhook.header(self.timestamp_header or "") or ""
        prefix = self.timestamp_prefix
        times = [element.removeprefix(prefix) for element in self.elements(webhook) if element.startswith(prefix)]
        return times[0] if len(times) == 1 else ""

    def sign(self, body: bytes, timestamp: bytes, key: bytes, message_id: bytes = b"") -> str:
        """The expected value of the header, or of one of its elements."""
        values = {"{body}": body, "{timestamp}": timestamp, "{id}": message_id}
        content = b"".join(values.get(piece, piece.encode()) for piece in _PLACEHOLDERS.split(self.signed))
        digest = hmac.new(key, content, getattr(hashlib, self.algorithm)).digest()
        return self.prefix + (digest.hex() if self.encoding == "hex" else base64.b64encode(digest).decode())


def check_signature(webhook: Webhook, scheme: SignatureScheme, secret: str, now: datetime) -> RefusedWebhook | None:
    """None if a signature is valid and a signed time is at most five minutes from `now`."""
    for name in (scheme.header, scheme.id_header):
        if name is not None and webhook.header(name) is None:
            return RefusedWebhook(f"no {name}")
    timestamp = scheme.timestamp(webhook)
    if scheme.covers_time:
        try:
            sent_at = parse_time(timestamp, scheme.time_field)
        except InvalidTicket as error:
            return RefusedWebhook(str(error))
        if abs(sent_at - now) > REPLAY_WINDOW:
            return RefusedWebhook(f"{scheme.time_field} is more than 5 minutes from our clock")
    message_id = webhook.header(scheme.id_header) if scheme.id_header else None
    expected = scheme.sign(webhook.body, _raw(timestamp), scheme.key(secret), _raw(message_id or ""))
    ignores_case = scheme.encoding == "hex"
    given = [_raw(element.lower() if ignores_case else element) for element in scheme.elements(webhook)]
    wanted = (expected.lower() if ignores_case else expected).encode()
    matches = [hmac.compare_digest(element, wanted) for element in given]
    if any(matches):
        return None
    return RefusedWebhook(f"{scheme.header} is wrong: another secret, or the body was changed in transit")


def signed_at(webhook: Webhook, scheme: SignatureScheme) -> datetime | None:
    """The time that a valid signature covers; None if the scheme has none."""
    return parse_time(scheme.timestamp(webhook), scheme.time_field) if scheme.covers_time else None


def check_token(webhook: Webhook, token: str) -> RefusedWebhook | None:
    """None if the token is valid: in `X-Triagem-Token`, as `Authorization: Bearer`, or as `?token=`."""
    scheme, _, bearer = (webhook.header("Authorization") or "").partition(" ")
    given = (webhook.header(TOKEN_HEADER), bearer if scheme.lower() == "bearer" else None, webhook.token)
    offered = [_raw(value) for value in given if value]
    if not offered:
        return RefusedWebhook(f"no token: neither {TOKEN_HEADER} nor Authorization: Bearer nor ?token=")
    # Digests, because compare_digest reveals the lengths of its arguments.
    expected = hashlib.sha256(token.encode()).digest()
    matches = [hmac.compare_digest(hashlib.sha256(value).digest(), expected) for value in offered]
    return None if any(matches) else RefusedWebhook("the token is wrong")


def _raw(header: str) -> bytes:
    """A header's bytes: HTTP libraries decode them as Latin-1."""
    return header.encode("latin-1", "replace")
