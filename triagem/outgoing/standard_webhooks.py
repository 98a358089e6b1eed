"""Signs webhooks after Standard Webhooks 1.0, which receivers verify with a library for their language.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hashlib
import hmac
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, SecretStr

from triagem.outgoing.request import Request


def _check_key(secret: SecretStr) -> SecretStr:
    try:
        key = base64.b64decode(secret.get_secret_value().removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if len(key) < 24:
        raise ValueError("is not a base64 key of at least 24 bytes: create one with openssl rand -base64 32")
    return secret


# The key in base64, with or without `whsec_`.
SigningKey = Annotated[SecretStr, AfterValidator(_check_key)]


def signed_request(message_id: str, url: str, body: bytes, key: SecretStr, now: datetime) -> Request:
    """A POST of a JSON body. Each attempt is signed anew with its own `now`; the id stays the same."""
    sent_at = str(int(now.timestamp()))
    headers = {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": sent_at,
        "webhook-signature": sign(message_id, sent_at, body, key.get_secret_value()),
    }
    return Request("POST", url, headers, body)


def sign(message_id: str, sent_at: str, body: bytes, secret: str) -> str:
    """The `webhook-signature` of a body."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, b".".join((message_id.encode(), sent_at.encode(), body)), hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"
