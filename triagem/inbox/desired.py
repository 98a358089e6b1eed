"""Desired state that workers read between windows: whether to take tickets at all.

Stored, because a broadcast reaches only who is connected at that moment.
"""

from typing import Final

from redis import Redis

from triagem.inbox.client import redis_errors
from triagem.inbox.stream import PREFIX

_PAUSED: Final = PREFIX + ":paused"


def pause(redis: Redis) -> None:
    """No worker takes another ticket until `resume`. What is in hand is finished."""
    with redis_errors():
        redis.set(_PAUSED, b"1")


def resume(redis: Redis) -> None:
    """Workers take tickets again."""
    with redis_errors():
        redis.delete(_PAUSED)


def paused(redis: Redis) -> bool:
    """Whether workers should hold."""
    with redis_errors():
        return bool(redis.exists(_PAUSED))
