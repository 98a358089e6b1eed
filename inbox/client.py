"""One way to talk to Redis: bytes, one attempt, no surprises; and Redis' errors in our own words."""

from collections.abc import Iterator
from contextlib import contextmanager

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from contracts.errors import AccessDenied, GroupMissing, InboxAway, InboxFull, InvalidInput

BLOCK_S = 1.0
_SOCKET_TIMEOUT_S = 5.0  # above BLOCK_S, or an idle read would look like an outage


def connect(url: str) -> Redis:
    """A client for `redis://` or `rediss://`. It connects with the first command.

    Without retries: redis-py repeats a command whose reply was cut off, and a repeated XREADGROUP leaves the
    first reply's entries pending with nobody working on them (seen: 3 entries returned, 6 pending).
    """
    try:
        return Redis.from_url(
            url,
            decode_responses=False,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=_SOCKET_TIMEOUT_S,
            socket_connect_timeout=_SOCKET_TIMEOUT_S,
            socket_keepalive=True,
            health_check_interval=30,
        )
    except ValueError as error:
        raise InvalidInput(f"TRIAGEM_REDIS_URL: {error}") from None


@contextmanager
def redis_errors() -> Iterator[None]:
    """Translate redis-py's errors into the error tree. Messages hold no address with a password."""
    try:
        yield
    except (AuthenticationError, AuthorizationError, NoPermissionError):
        raise AccessDenied("Redis refused our user or password: check TRIAGEM_REDIS_URL") from None
    except OutOfMemoryError:
        raise InboxFull("Redis is at its memory limit: wait until workers have drained it") from None
    except (RedisConnectionError, RedisTimeoutError, BusyLoadingError, ReadOnlyError) as error:
        raise InboxAway(f"Redis does not answer ({type(error).__name__}): check TRIAGEM_REDIS_URL") from error
    except ResponseError as error:
        # XINFO says "no such key" of a stream that is gone, every other command NOGROUP.
        if str(error).startswith("NOGROUP") or str(error) == "no such key":
            raise GroupMissing("Redis has no group of workers for this lane yet") from None
        if "NOAUTH" in str(error) or "WRONGPASS" in str(error):
            raise AccessDenied("Redis refused our user or password: check TRIAGEM_REDIS_URL") from None
        raise InboxAway(f"Redis refused a command: {error}") from error
    except RedisError as error:
        raise InboxAway(f"Redis failed ({type(error).__name__})") from error
