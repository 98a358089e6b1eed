"""Desired state of all workers: paused or not. Workers read it between windows.

It is stored, because a broadcast reaches only the workers that are connected at that moment.
"""

from typing import Final

from redis import Redis

from triagem.inbox.client import redis_errors
from triagem.inbox.stream import PREFIX

_PAUSED: Final = PREFIX + ":paused"


@redis_errors()
def pause(redis: Redis) -> None:
    """Stop all workers from fetching until `resume`. They finish the entries they hold."""
    redis.set(_PAUSED, b"1")


@redis_errors()
def resume(redis: Redis) -> None:
    """Let workers fetch again."""
    redis.delete(_PAUSED)


@redis_errors()
def paused(redis: Redis) -> bool:
    """Whether workers are paused."""
    return bool(redis.exists(_PAUSED))
