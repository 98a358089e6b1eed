"""Verifies the sender of a webhook: an HMAC over body and time, or a shared token.

CRMs that sign differ only in header, algorithm, encoding and signed content, so a scheme is a value.
"""

import base64
import hashlib
import hmac
import re
from datetime import datetime, timedelta
from typing import Final, Literal, Self

from pydantic import BaseModel, Field, model_validator

from triagem.contracts.errors import InvalidTicket
from triagem.producer.crm.payload import RefusedWebhook, Webhook, parse_time

REPLAY_WINDOW: Final = timedelta(minutes=5)
TOKEN_HEADER: Final = "X-Triagem-Token"  # noqa: S105 - a header's name
_PLACEHOLDERS: Final = re.compile(r"(\{body\}|\{timestamp\})")


class SignatureScheme(BaseModel, frozen=True, extra="forbid"):
    """A signature scheme: an HMAC over `signed`, in which `{body}` and `{timestamp}` are replaced."""

    header: str = Field(min_length=1)
    algorithm: Literal["sha1", "sha256", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    prefix: str = ""
    signed: str = "{body}"
    timestamp_header: str | None = None

    @model_validator(mode="after")
    def _check_placeholders(self) -> Self:
        if "{body}" not in self.signed:
            raise ValueError("signed: {body} is missing")
        if ("{timestamp}" in self.signed) != (self.timestamp_header is not None):
            raise ValueError("signed: {timestamp} and timestamp_header belong together")
        return self

    def sign(self, body: bytes, timestamp: bytes, key: bytes) -> str:
        """The expected value of the header."""
        values = {"{body}": body, "{timestamp}": timestamp}
        content = b"".join(values.get(piece, piece.encode()) for piece in _PLACEHOLDERS.split(self.signed))
        digest = hmac.new(key, content, getattr(hashlib, self.algorithm)).digest()
        return self.prefix + (digest.hex() if self.encoding == "hex" else base64.b64encode(digest).decode())


def check_signature(webhook: Webhook, scheme: SignatureScheme, secret: str, now: datetime) -> RefusedWebhook | None:
    """None if the signature is valid and a signed time is at most five minutes from `now`."""
    given = webhook.header(scheme.header)
    if given is None:
        return RefusedWebhook(f"no {scheme.header}")
    timestamp = ""
    if scheme.timestamp_header is not None:
        timestamp = webhook.header(scheme.timestamp_header) or ""
        try:
            sent_at = parse_time(timestamp, scheme.timestamp_header)
        except InvalidTicket as error:
            return RefusedWebhook(str(error))
        if abs(sent_at - now) > REPLAY_WINDOW:
            return RefusedWebhook(f"{scheme.timestamp_header} is more than 5 minutes from our clock")
    expected = scheme.sign(webhook.body, _raw(timestamp), secret.encode())
    given, expected = (given.lower(), expected.lower()) if scheme.encoding == "hex" else (given, expected)
    if not hmac.compare_digest(_raw(given), expected.encode()):
        return RefusedWebhook(f"{scheme.header} is wrong: another secret, or the body was changed in transit")
    return None


def signed_at(webhook: Webhook, scheme: SignatureScheme) -> datetime | None:
    """The time that a valid signature covers; None if the scheme has none."""
    if scheme.timestamp_header is None:
        return None
    return parse_time(webhook.header(scheme.timestamp_header), scheme.timestamp_header)


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
