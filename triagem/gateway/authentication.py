"""API key authentication, scopes and rate limits. Keys are looked up by hash; secrets are never stored or logged."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from hashlib import sha256
from http import HTTPStatus
from typing import Annotated, Final, Literal, TypeVar, cast

import anyio.to_thread
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import TypeAdapter, ValidationError
from redis import Redis

from triagem.contracts.errors import DatabaseUnavailable, TriagemError
from triagem.db.audit import Actor
from triagem.db.auth import ApiKey, Scope, find_key
from triagem.gateway.admission import authenticate_sender
from triagem.gateway.connections import client_network
from triagem.gateway.problems import ProblemError, refuse_unknown_parameters
from triagem.gateway.services import Services
from triagem.inbox.client import redis_errors
from triagem.inbox.stream import PREFIX

T = TypeVar("T")

BEARER: Final = HTTPBearer(
    auto_error=False, description="`Authorization: Bearer trg_…`, created by `triagem keys create`"
)

OUTAGE_TTL_S: Final = 3600
_API_KEY: Final = TypeAdapter(ApiKey)
_FIELD: Final = "key"
_LOOK_UP_S: Final = 3.0  # after this time the look-up of a key is given up
_MIN_NAMES: Final = 10_000  # names whose time span is over are forgotten above this number
_SHARE_S: Final = 0.5  # Redis answers in milliseconds; while it hangs, clients can still read results

Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)]


_SECONDS: Final = {"second": 1, "minute": 60, "hour": 3600}


class MovingWindow:
    """Limits how often an event of each name happens within any time span of the limit's length."""

    def __init__(self, limit: str, clock: Callable[[], float]) -> None:
        self.limit, self._clock = limit, clock
        amount, _, unit = limit.partition("/")
        self._amount, self._span_s = int(amount), _SECONDS[unit]
        self._times: dict[str, deque[float]] = {}
        self._clean_at = _MIN_NAMES

    def test(self, name: str) -> bool:
        """Whether the event may happen."""
        times = self._times.get(name)
        return not times or len(times) < self._amount or times[0] < self._clock() - self._span_s

    def hit(self, name: str) -> bool:
        """Count the event and return True, or return False if it may not happen."""
        if not self.test(name):
            return False
        if name not in self._times and len(self._times) >= self._clean_at:
            begin = self._clock() - self._span_s
            self._times = {key: times for key, times in self._times.items() if times[-1] >= begin}
            self._clean_at = max(_MIN_NAMES, 2 * len(self._times))
        self._times.setdefault(name, deque(maxlen=self._amount)).append(self._clock())
        return True


class Authenticator:
    """Authenticates keys and caches them for a few seconds, to save a query per request. For one event loop."""

    def __init__(self, services: Services, clock: Callable[[], float] = time.monotonic) -> None:
        self._services = services
        self._clock = clock
        self._cache: dict[str, tuple[ApiKey, float]] = {}  # by secret, with its expiry
        # By secret. Requests that arrive together wait for one look-up: 64 of them with new keys took a second.
        self._checks: dict[str, asyncio.Task[ApiKey | None]] = {}
        # Each store has its own threads: while one store hangs, requests to the other still find free threads.
        self._look_ups, self._shares = anyio.CapacityLimiter(8), anyio.CapacityLimiter(2)
        settings = services.settings
        self._failures = MovingWindow(settings.failed_key_limit, clock)
        limits = {"key": settings.rate_limit, "source": settings.webhook_rate_limit}
        self._requests = {kind: MovingWindow(limit, clock) for kind, limit in limits.items()}

    async def authenticate(self, secret: str, client: str) -> ApiKey | None:
        """The key with this secret; None if it is unknown, revoked or expired.

        Raises ProblemError (429), without a look-up, if this client sent too many unknown keys, or if all clients
        together sent too many with the same first characters. Keys used in the last seconds are not affected.

        While Postgres is unavailable, a key that was valid within the last hour in any gateway stays valid, because
        enqueueing needs Redis only. Raises DatabaseUnavailable for any other key.
        """
        now, fresh_s = self._clock(), self._services.settings.key_cache_s
        cached = self._cache.get(secret)
        if cached is not None:
            known, recheck_at = cached
            if now < recheck_at:
                return known
            self._cache[secret] = (known, now + fresh_s)  # concurrent requests use the cached key meanwhile
        guesses = (f"unknown keys of {client}", f"unknown keys {key_prefix(secret)}")
        if cached is None and not all(map(self._failures.test, guesses)):
            raise _too_many("unknown keys", self._failures.limit, "60")
        check = self._checks.get(secret)
        if check is None:
            check = self._checks[secret] = asyncio.create_task(self._check(secret))
            check.add_done_callback(lambda _: self._checks.pop(secret))
        key = await asyncio.shield(check)
        if key is None:
            self._cache.pop(secret, None)
            for name in guesses:
                self._failures.hit(name)
        else:
            self._cache[secret] = (key, now + fresh_s)
        return key

    async def _check(self, secret: str) -> ApiKey | None:
        try:
            with anyio.fail_after(_LOOK_UP_S):
                key = await anyio.to_thread.run_sync(
                    find_key, self._services.database, secret, limiter=self._look_ups, abandon_on_cancel=True
                )
        except (DatabaseUnavailable, TimeoutError) as error:
            key = await self._share(_find_known, secret)
            if key is None or not key.is_active(self._services.now()):
                reason = str(error) or f"Postgres has not answered for {_LOOK_UP_S:g} s"
                raise DatabaseUnavailable(reason) from None
        else:
            await self._share(_remember, secret, key)
        return key

    async def _share(self, call: Callable[..., T], *arguments: object) -> T | None:
        """Run a call to Redis; return None if Redis does not answer soon."""
        redis = self._services.inbox.redis
        with anyio.move_on_after(_SHARE_S), suppress(TriagemError):
            return await anyio.to_thread.run_sync(
                call, redis, *arguments, limiter=self._shares, abandon_on_cancel=True
            )
        return None

    def enforce_rate_limit(self, kind: Literal["key", "source"], name: object) -> None:
        """Count a request of a key, or a webhook of a verified sender. Raises ProblemError (429) over its limit."""
        if not self._requests[kind].hit(str(name)):
            raise _too_many(f"this {kind}", self._requests[kind].limit, "1")


def known_key(secret: str) -> str:
    """Redis key of an API key that was valid within the last hour, for all gateways while Postgres is unavailable.

    The Redis key contains the SHA-256 of the API key's secret, which has 256 random bits.
    """
    return f"{PREFIX}:keys:{sha256(secret.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _remember(redis: Redis, secret: str, key: ApiKey | None) -> None:
    """Store a valid key in Redis for an hour; delete a key that is invalid or was revoked."""
    with redis_errors(), redis.pipeline(transaction=True) as pipe:
        if key is not None:
            pipe.hset(known_key(secret), _FIELD, _API_KEY.dump_json(key).decode())
        pipe.expire(known_key(secret), OUTAGE_TTL_S if key else 0)
        pipe.execute()


def _find_known(redis: Redis, secret: str) -> ApiKey | None:
    with redis_errors():
        (stored,) = cast("list[bytes | None]", redis.hmget(known_key(secret), [_FIELD]))
    try:
        return _API_KEY.validate_json(stored) if stored else None
    except ValidationError:  # written by another release
        return None


def key_prefix(secret: str) -> str:
    """The part of a key that is not secret: `trg_` and four characters. Empty if the text is not a key."""
    return secret[:8] if secret.startswith("trg_") else ""


def _too_many(description: str, limit: str, retry_after_s: str) -> ProblemError:
    return ProblemError(
        HTTPStatus.TOO_MANY_REQUESTS,
        f"{description} exceeded the limit of {limit}: slow down",
        {"Retry-After": retry_after_s},
    )


def client_address(request: Request) -> str:
    """The client's IP address, taken from a trusted proxy's header if there is one."""
    return request.client.host if request.client else ""


def actor_of(request: Request, key: ApiKey) -> Actor:
    """The key and its client, for the audit trail."""
    return Actor(f"key {key.id} ({key.name})", client_address(request))


def require_scope(scope: Scope) -> Callable[..., Awaitable[ApiKey]]:
    """A dependency that returns the request's key and requires this scope."""

    async def check(request: Request, credentials: Credentials) -> ApiKey:
        authenticator: Authenticator = request.app.state.authenticator
        client = client_network(client_address(request))
        key = await authenticator.authenticate(credentials.credentials, client) if credentials else None
        if key is None:
            unknown = "this API key is unknown, revoked or expired" if credentials else "an API key is required"
            raise ProblemError(
                HTTPStatus.UNAUTHORIZED,
                f"{unknown}: create one with `triagem keys create NAME --scope enqueue`, and send it as "
                "`Authorization: Bearer trg_…`",
                {"WWW-Authenticate": "Bearer"},
            )
        if scope not in key.scopes and Scope.ADMIN not in key.scopes:
            raise ProblemError(HTTPStatus.FORBIDDEN, f"this key lacks the scope {scope}")
        authenticator.enforce_rate_limit("key", key.id)
        authenticate_sender(request, f"key {key.id}")
        refuse_unknown_parameters(request)
        return key

    return check
