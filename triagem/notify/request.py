"""HTTP requests as values: signs webhooks, interprets responses, and computes pauses between attempts. Pure.

Webhooks are signed according to Standard Webhooks 1.0. Libraries for many languages verify such a signature:
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
    """A request. Its repr shows neither the headers, which hold credentials, nor the body."""

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
    """Another attempt may succeed. The receiver asked for a pause of `after_s` seconds. `reason` has no secrets."""

    reason: str
    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Undeliverable:
    """Another attempt cannot succeed until a person fixes the cause."""

    reason: str


SendResult = Delivered | Retry | Undeliverable


# Request Timeout, Conflict (Zendesk's answer to concurrent writes), Too Early, Too Many Requests.
_RETRYABLE: Final = frozenset({408, 409, 425, 429})
_FIRST_S: Final = 5.0
_MAX_S: Final = 3600.0


def interpret_response(status: int, headers: Mapping[str, str], now: datetime, body: bytes = b"") -> SendResult:
    """The result of a request from its response. `headers` has lower-case names."""
    if 200 <= status < 300:
        return Delivered(body)
    if status in _RETRYABLE or status >= 500:
        return Retry(f"answered {status}", _retry_after(headers.get("retry-after", ""), now))
    hint = ", redirects are not followed" if 300 <= status < 400 else ""
    return Undeliverable(f"answered {status}{hint}")


def backoff(attempts: int, retry_after_s: float, jitter: float) -> float:
    """Seconds until the next attempt: 5 after the first, doubled after each, at most an hour.

    At least the pause that the receiver asked for, but never more than an hour.

    Args:
        attempts: number of attempts so far, at least 1.
        retry_after_s: seconds that the receiver asked for, or 0.
        jitter: a random number from 0 to 1; shortens the pause by up to half, to spread retries over time.
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
    """A signed POST of JSON. Each attempt has its own time `now` and signature, but the same id and body."""
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
