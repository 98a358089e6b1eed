"""An HTTP request as a value: how a webhook is signed, what a response means, and when to try again. Pure.

Webhooks are signed after Standard Webhooks 1.0, which receivers verify with a library for their language:
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, SecretStr

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


@dataclass(frozen=True, slots=True)
class Request:
    """A request, sent as it is. Headers hold credentials: neither they nor the body show in a repr."""

    method: Method
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver accepted it. `body` is the response to a GET; other responses are not read."""

    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Retry:
    """It may succeed later; the receiver asked for `after_s` seconds. `reason` holds no body and no credential."""

    reason: str
    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Undeliverable:
    """Sending the same again cannot succeed: somebody has to fix the cause."""

    reason: str


SendResult = Delivered | Retry | Undeliverable


# Request Timeout, Conflict (Zendesk's answer to concurrent writes), Too Early, Too Many Requests.
_RETRYABLE: Final = frozenset({408, 409, 425, 429})
_FIRST_S: Final = 5.0
_MAX_S: Final = 3600.0


def interpret_response(status: int, headers: Mapping[str, str], now: datetime, body: bytes = b"") -> SendResult:
    """The result that a response stands for; header names in lower case."""
    if 200 <= status < 300:
        return Delivered(body)
    if status in _RETRYABLE or status >= 500:
        return Retry(f"answered {status}", _retry_after(headers.get("retry-after", ""), now))
    hint = ", redirects are not followed" if 300 <= status < 400 else ""
    return Undeliverable(f"answered {status}{hint}")


def backoff(attempts: int, retry_after_s: float, jitter: float) -> float:
    """Seconds until the next attempt: 5 after the first, doubled after each, at most an hour.

    Never less than the receiver asked for, up to an hour.

    Args:
        attempts: made so far, from 1.
        retry_after_s: what the receiver asked for, or 0.
        jitter: random, 0 to 1; takes off up to half, so that not all retries come at once.
    """
    doubled = min(_FIRST_S * 2.0 ** min(attempts - 1, 20), _MAX_S)
    return max(doubled * (1 - jitter / 2), min(retry_after_s, _MAX_S))


def _retry_after(value: str, now: datetime) -> float:
    """Seconds from a `Retry-After` header, which holds seconds or a date; 0 if it is neither."""
    if value.isascii() and value.isdecimal():
        return float(value[:9])
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds())


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


def json_request(method: Method, url: str, value: Any, headers: Mapping[str, str] | None = None) -> Request:
    """A request with a body of compact JSON in UTF-8."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    return Request(method, url, {"Content-Type": "application/json", **(headers or {})}, body)


def signed_request(message_id: str, url: str, value: Any, key: SecretStr, now: datetime) -> Request:
    """A POST of JSON. Each attempt is signed anew with its own `now`; id and body stay the same."""
    request, sent_at = json_request("POST", url, value), str(int(now.timestamp()))
    headers = {
        **request.headers,
        "webhook-id": message_id,
        "webhook-timestamp": sent_at,
        "webhook-signature": sign(message_id, sent_at, request.body, key.get_secret_value()),
    }
    return replace(request, headers=headers)


def sign(message_id: str, sent_at: str, body: bytes, secret: str) -> str:
    """The `webhook-signature` of a body."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, b".".join((message_id.encode(), sent_at.encode(), body)), hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"
