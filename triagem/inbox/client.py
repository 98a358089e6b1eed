"""Connects to Redis, without retries and with bytes as values, and translates its errors into our error tree."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

from pydantic import Field, SecretStr
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    InvalidResponse,
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
    InvalidInput,
    TriagemError,
    UntrustedCertificate,
    connection_problem,
)
from triagem.contracts.ticket import Lane
from triagem.settings import Settings


class InboxSettings(Settings, used_by="gateway, worker, ops, commands, `triagem.Publisher`"):
    """Redis URL and limits of the inbox. The URL may carry a password, so it never shows in a repr."""

    redis_url: SecretStr | None = Field(
        default=None,
        description="redis://, or rediss:// for TLS (?ssl_ca_certs=…); commands without it use the local stack",
    )
    live_high_water: int = Field(
        default=1_000_000,
        ge=1,
        description="maximum entries of the live lane, waiting and in flight; then producers wait",
    )
    bulk_high_water: int = Field(
        default=100_000,
        ge=1,
        description="maximum entries of the bulk lane, waiting and in flight; then producers wait",
    )
    memory_share: float = Field(
        default=0.8, gt=0, le=1, description="share of maxmemory that producers may fill; workers keep the rest"
    )
    lease_s: float = Field(
        default=15.0, gt=0, description="seconds without a sign of life after which a worker counts as dead"
    )

    def high_water(self, lane: Lane) -> int:
        """The high-water mark of a lane, in entries."""
        return self.live_high_water if lane is Lane.LIVE else self.bulk_high_water


_TLS_OPTIONS: Final = {
    "ssl_ca_certs", "ssl_ca_path", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname", "ssl_ciphers",
    "ssl_keyfile", "ssl_password",
}  # fmt: skip
_SHAPE: Final = "redis://user:password@host:port/0, or rediss:// for TLS"


def check_redis_url(url: str, setting: str) -> str:
    """Return the URL if it is usable; `setting` is the variable that it came from.

    Raises:
        InvalidInput: another scheme, a port or database that is not a number, or an option that is not allowed.
    """
    try:
        parts = urlsplit(url)
        database = parts.path.strip("/") or "0"
        # Reading `port` raises too: with an unescaped `/` or `:` in the password, it is a part of the password.
        valid = parts.scheme in {"redis", "rediss"} and parts.port != 0 and database.isdecimal()
    except ValueError:
        valid = False
    if not valid:
        raise InvalidInput(f"{setting} is not a Redis URL: expected {_SHAPE}; escape `/ : @ ? # %` in the password")
    _check_options(parts, setting)
    return url


def _check_options(parts: SplitResult, setting: str) -> None:
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if not options.keys() <= (_TLS_OPTIONS if parts.scheme == "rediss" else set()) or parts.fragment:
        allowed = ", ".join(sorted(_TLS_OPTIONS))
        raise InvalidInput(f"{setting}: options are allowed with rediss:// only, and only these: {allowed}")
    if options.get("ssl_cert_reqs", "required") not in {"none", "optional", "required"}:
        raise InvalidInput(f"{setting}: ssl_cert_reqs must be required (the default), optional or none")


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
    """Translate redis-py's errors into the error tree, also as a decorator. No message contains a URL's password."""
    try:
        yield
    except (AuthenticationError, AuthorizationError, NoPermissionError):
        raise AccessDenied("Redis refused our user or password: check TRIAGEM_REDIS_URL") from None
    except OutOfMemoryError:
        raise InboxFull("Redis is at its memory limit: wait until workers have drained it") from None
    except (RedisConnectionError, RedisTimeoutError, BusyLoadingError, InvalidResponse, ReadOnlyError) as error:
        raise _connection_error(error) from error
    except ResponseError as error:
        # For a missing stream, XINFO answers "no such key"; every other command answers NOGROUP.
        if str(error).startswith("NOGROUP") or str(error) == "no such key":
            raise GroupMissing("Redis has no consumer group for this lane yet: the first worker creates it") from None
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
        return InboxUnavailable(f"Redis does not answer ({connection_problem(error)})")
    if isinstance(cause, ssl.SSLCertVerificationError):
        return UntrustedCertificate(
            f"Redis' certificate is not trusted ({cause.verify_message}): check TRIAGEM_REDIS_URL"
        )
    return InboxUnavailable(f"Redis does not answer in TLS ({cause.reason}): check TRIAGEM_REDIS_URL")
