"""Counts webhooks that brought no ticket, by source and reason, in Redis, for all gateways together."""

from dataclasses import dataclass
from typing import Final, cast

from redis import Redis

from triagem.inbox.client import redis_errors
from triagem.inbox.stream import PREFIX

_IGNORED: Final = f"{PREFIX}:webhooks:ignored"
_SOURCES: Final = f"{PREFIX}:webhooks:sources"
_SEPARATOR: Final = "\n"  # neither a source's name nor a reason contains it
_MAX_REASONS: Final = 1000  # of all sources: a reason may name an event, and a CRM may have many events
_OTHER: Final = "another reason"


@dataclass(frozen=True, slots=True)
class IgnoredWebhooks:
    """Webhooks of a source that brought no ticket for the same reason."""

    source: str
    reason: str
    count: int


class WebhookCounts:
    """The counts. Every method raises InboxUnavailable or AccessDenied."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._accepted = set[str]()  # sources that brought a ticket: Redis is not asked about them again

    @redis_errors()
    def record_accepted(self, source: str) -> None:
        """Record that a webhook of the source brought a ticket."""
        if source not in self._accepted:
            self._redis.hset(_SOURCES, source, 1)
            self._accepted.add(source)

    @redis_errors()
    def has_accepted(self, source: str) -> bool:
        """Whether any webhook of the source ever brought a ticket."""
        if source not in self._accepted and self._redis.hexists(_SOURCES, source):
            self._accepted.add(source)
        return source in self._accepted

    @redis_errors()
    def record_ignored(self, source: str, reason: str) -> IgnoredWebhooks:
        """Count a webhook that brought no ticket; returns the new count and the reason that it counts under."""
        name = source + _SEPARATOR + reason
        if not self._redis.hexists(_IGNORED, name) and self._redis.hlen(_IGNORED) >= _MAX_REASONS:
            name = source + _SEPARATOR + (reason := _OTHER)
        return IgnoredWebhooks(source, reason, self._redis.hincrby(_IGNORED, name, 1))

    @redis_errors()
    def ignored(self) -> list[IgnoredWebhooks]:
        """All counts, by source, the most frequent reasons first."""
        counts = cast("dict[bytes, bytes]", self._redis.hgetall(_IGNORED))
        rows = [
            IgnoredWebhooks(source, reason, int(count))
            for name, count in counts.items()
            for source, _, reason in [name.decode().partition(_SEPARATOR)]
        ]
        return sorted(rows, key=lambda row: (row.source, -row.count, row.reason))
