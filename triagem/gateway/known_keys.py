"""Keeps API keys that were valid within the last hour in Redis, for all gateways while Postgres is unavailable.

A key is found by the SHA-256 of its secret, which has 256 random bits. What is stored expires with the hour.
"""

from hashlib import sha256
from typing import Final, cast

from pydantic import TypeAdapter, ValidationError
from redis import Redis

from triagem.db.auth import ApiKey
from triagem.inbox.client import redis_errors
from triagem.inbox.stream import PREFIX

OUTAGE_TTL_S: Final = 3600
_API_KEY: Final = TypeAdapter(ApiKey)
_FIELD: Final = "key"


class KnownKeys:
    """The keys. Every method raises InboxUnavailable or AccessDenied."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def remember(self, secret: str, key: ApiKey) -> None:
        """Keep a valid key for an hour from now."""
        with redis_errors(), self._redis.pipeline(transaction=True) as pipe:
            pipe.hset(known_key(secret), _FIELD, _API_KEY.dump_json(key).decode())
            pipe.expire(known_key(secret), OUTAGE_TTL_S)
            pipe.execute()

    def forget(self, secret: str) -> None:
        """Forget a key that is not valid, or not any more."""
        with redis_errors():
            self._redis.expire(known_key(secret), 0)

    def find(self, secret: str) -> ApiKey | None:
        """The key with this secret; None if it was not valid within the last hour."""
        with redis_errors():
            (stored,) = cast("list[bytes | None]", self._redis.hmget(known_key(secret), [_FIELD]))
        try:
            return _API_KEY.validate_json(stored) if stored else None
        except ValidationError:  # of another release
            return None


def known_key(secret: str) -> str:
    """The Redis key of an API key."""
    return f"{PREFIX}:keys:{sha256(secret.encode('utf-8', 'surrogatepass')).hexdigest()}"
