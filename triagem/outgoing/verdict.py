"""What an answer's status means for who sent, and how long to wait before the next attempt. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from triagem.outgoing.request import Again, Delivered, GiveUp, Verdict

# Not now: too slow, two writers at once (Zendesk answers so), too early, too many.
_LATER: Final = frozenset({408, 409, 425, 429})
_FIRST_S: Final = 5.0
_LONGEST_S: Final = 3600.0


def judge(status: int, headers: Mapping[str, str], now: datetime, answer: bytes = b"") -> Verdict:
    """The verdict on an answer; names of headers in lower case."""
    if 200 <= status < 300:
        return Delivered(answer)
    if status in _LATER or status >= 500:
        return Again(f"answered {status}", _retry_after(headers.get("retry-after", ""), now))
    hint = ", redirects are not followed" if 300 <= status < 400 else ""
    return GiveUp(f"answered {status}{hint}")


def backoff(attempts: int, asked: float, jitter: float) -> float:
    """Seconds until the next attempt: 5 after the first, doubled after each, at most an hour; never before the
    receiver asked for, also up to an hour.

    Args:
        attempts: made so far, from 1.
        jitter: 0 to 1, by lot; it takes off up to half, so that not all come back at once.
    """
    doubled = min(_FIRST_S * 2.0 ** min(attempts - 1, 20), _LONGEST_S)
    return max(doubled * (1 - jitter / 2), min(asked, _LONGEST_S))


def _retry_after(value: str, now: datetime) -> float:
    """Seconds, or a date; 0 if it is neither."""
    if value.isascii() and value.isdecimal():
        return float(value[:9])
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds())
