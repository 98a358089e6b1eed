"""Who sent a webhook: an HMAC over its bytes and a time, or a secret that both sides know.

Every signing CRM differs in header, encoding and what is signed, and in nothing else; so a scheme is a value.
"""

import base64
import hashlib
import hmac
import re
from datetime import datetime, timedelta
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from triagem.contracts.errors import InvalidTicket
from triagem.producer.crm.adapter import Refused, Webhook
from triagem.producer.crm.payload import moment

REPLAY_WINDOW: Final = timedelta(minutes=5)
TOKEN_HEADER: Final = "X-Triagem-Token"  # noqa: S105 - a header's name
_PLACES: Final = re.compile(r"(\{body\}|\{timestamp\})")


class Signature(BaseModel):
    """How a CRM signs: HMAC-SHA256 over `signed`, where `{body}` and `{timestamp}` stand for what came."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    header: str = Field(min_length=1)
    signed: str = "{body}"
    prefix: str = ""
    encoding: Literal["hex", "base64"] = "hex"
    timestamp_header: str | None = None

    @model_validator(mode="after")
    def _check_places(self) -> Self:
        if "{body}" not in self.signed:
            raise ValueError("signed: {body} is missing")
        if ("{timestamp}" in self.signed) != (self.timestamp_header is not None):
            raise ValueError("signed: {timestamp} and timestamp_header belong together")
        return self

    def sign(self, body: bytes, timestamp: bytes, key: bytes) -> str:
        """What the header must hold."""
        places = {"{body}": body, "{timestamp}": timestamp}
        content = b"".join(places.get(piece, piece.encode()) for piece in _PLACES.split(self.signed))
        digest = hmac.new(key, content, hashlib.sha256).digest()
        return self.prefix + (digest.hex() if self.encoding == "hex" else base64.b64encode(digest).decode())


# https://developer.zendesk.com/documentation/webhooks/verifying/
ZENDESK: Final = Signature(
    header="X-Zendesk-Webhook-Signature",
    signed="{timestamp}{body}",
    encoding="base64",
    timestamp_header="X-Zendesk-Webhook-Signature-Timestamp",
)
# https://github.com/chatwoot/chatwoot/pull/13573, lib/webhooks/trigger.rb; since Chatwoot 4.13
CHATWOOT: Final = Signature(
    header="X-Chatwoot-Signature",
    signed="{timestamp}.{body}",
    prefix="sha256=",
    timestamp_header="X-Chatwoot-Timestamp",
)


def check_signature(webhook: Webhook, scheme: Signature, secret: str, now: datetime) -> Refused | None:
    """None if the signature is right and, where a time is signed, at most five minutes away from `now`."""
    given = webhook.header(scheme.header)
    if given is None:
        return Refused(f"no {scheme.header}")
    timestamp = ""
    if scheme.timestamp_header is not None:
        timestamp = webhook.header(scheme.timestamp_header) or ""
        try:
            sent_at = moment(timestamp, scheme.timestamp_header)
        except InvalidTicket as error:
            return Refused(str(error))
        if abs(sent_at - now) > REPLAY_WINDOW:
            return Refused(f"{scheme.timestamp_header} is more than 5 minutes away from our clock")
    wanted = scheme.sign(webhook.body, _raw(timestamp), secret.encode())
    if not hmac.compare_digest(_raw(given), wanted.encode()):
        return Refused(f"{scheme.header} is wrong: another secret, or the body was changed on its way")
    return None


def check_token(webhook: Webhook, token: str) -> Refused | None:
    """None if the secret came along: in `X-Triagem-Token`, as `Authorization: Bearer`, or as `?token=`."""
    scheme, _, bearer = (webhook.header("Authorization") or "").partition(" ")
    given = (webhook.header(TOKEN_HEADER), bearer if scheme.lower() == "bearer" else None, webhook.token)
    offered = [_raw(one) for one in given if one]
    if not offered:
        return Refused(f"no token: neither {TOKEN_HEADER} nor Authorization: Bearer nor ?token=")
    # Digests, because compare_digest tells the lengths of what it compares.
    wanted = hashlib.sha256(token.encode()).digest()
    right = [hmac.compare_digest(hashlib.sha256(one).digest(), wanted) for one in offered]
    return None if any(right) else Refused("the token is wrong")


def _raw(header: str) -> bytes:
    """A header's bytes, as far as a header has any: HTTP libraries read them as Latin-1."""
    return header.encode("latin-1", "replace")
