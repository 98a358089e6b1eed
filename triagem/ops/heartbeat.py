"""Records in Redis when a background task was last completed, so that `triagem status` notices a missing process."""

from typing import Final

from redis import Redis

from triagem.inbox.stream import PREFIX

_KEY: Final = PREFIX + ":task-completed"
_KEPT_S: Final = 86_400


def record_completed(redis: Redis) -> None:
    """Record that a background task has just been completed."""
    redis.set(_KEY, b"", ex=_KEPT_S)


def seconds_since_completed(redis: Redis) -> float | None:
    """Seconds since the last completed task; None if there was none for a day. By the clock of Redis alone."""
    left_ms = int(redis.pttl(_KEY))
    return None if left_ms < 0 else _KEPT_S - left_ms / 1000
