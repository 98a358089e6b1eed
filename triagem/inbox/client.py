"""Connects to Redis, without retries and with bytes as values, and translates its errors into our error tree."""

import ssl
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

from triagem.contracts.errors import (
    AccessDenied,
    GroupMissing,
    InboxFull,
    InboxUnavailable,
    TriagemError,
    UntrustedCertificate,
)
from triagem.inbox.url import check_redis_url

BLOCK_S = 1.0
_SOCKET_TIMEOUT_S = 5.0  # above BLOCK_S, or an idle read would look like an outage


def connect(url: str) -> Redis:
    """A client for `redis://` or `rediss://` (certificate and host name are verified). It connects with the first
    command. Raises InvalidInput.

    Without retries: redis-py repeats a command whose reply was cut off, and a repeated XREADGROUP leaves the
    entries of the first reply pending with nobody processing them (observed: 3 entries returned, 6 pending).
    """
    return Redis.from_url(
        check_redis_url(url, "TRIAGEM_REDIS_URL"),
        decode_responses=False,
        protocol=2,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=_SOCKET_TIMEOUT_S,
        socket_connect_timeout=_SOCKET_TIMEOUT_S,
        socket_keepalive=True,
        health_check_interval=30,
    )


@contextmanager
def redis_errors() -> Iterator[None]:
    """Translate redis-py's errors into the error tree. Messages never contain a URL with a password."""
    try:
        yield
    except (AuthenticationError, AuthorizationError, NoPermissionError):
        raise AccessDenied("Redis refused our user or password: check TRIAGEM_REDIS_URL") from None
    except OutOfMemoryError:
        raise InboxFull("Redis is at its memory limit: wait until workers have drained it") from None
    except (RedisConnectionError, RedisTimeoutError, BusyLoadingError, ReadOnlyError) as error:
        raise _connection_error(error) from error
    except ResponseError as error:
        # For a missing stream, XINFO answers "no such key"; every other command answers NOGROUP.
        if str(error).startswith("NOGROUP") or str(error) == "no such key":
            raise GroupMissing("Redis has no consumer group for this lane yet: start `triagem worker`") from None
        if "NOAUTH" in str(error) or "WRONGPASS" in str(error):
            raise AccessDenied("Redis refused our user or password: check TRIAGEM_REDIS_URL") from None
        # For an unknown command, Redis repeats the arguments, which may be a customer's text.
        raise InboxUnavailable(f"Redis refused a command: {str(error).partition(', with args')[0]}") from None
    except RedisError as error:
        raise InboxUnavailable(f"Redis failed ({type(error).__name__})") from error


def _connection_error(error: RedisError) -> TriagemError:
    """The error for a failed connection; redis-py hides a failed TLS handshake in its causes."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    if cause is None:
        return InboxUnavailable(f"Redis does not answer ({type(error).__name__}): check TRIAGEM_REDIS_URL")
    if isinstance(cause, ssl.SSLCertVerificationError):
        return UntrustedCertificate(
            f"Redis' certificate is not trusted ({cause.verify_message}): check TRIAGEM_REDIS_URL"
        )
    return InboxUnavailable(f"Redis does not answer in TLS ({cause.reason}): check TRIAGEM_REDIS_URL")
