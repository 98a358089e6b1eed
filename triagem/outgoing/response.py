"""Interprets a response: delivered, retry or undeliverable, and how long to wait before the next attempt. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from triagem.outgoing.request import Delivered, Retry, SendResult, Undeliverable

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
