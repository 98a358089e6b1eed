"""Who may do what: API keys with scopes, and how often. A key is looked up by its hash, never stored or logged."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.concurrency import run_in_threadpool

from triagem.contracts.errors import DatabaseAway
from triagem.db.keys import ApiKey, Scope, find
from triagem.gateway.problems import Refused
from triagem.gateway.room import InRoom, Room

_BEARER: Final = HTTPBearer(
    auto_error=False, description="`Authorization: Bearer trg_…`, made by `triagem keys create`"
)

_OUTAGE_S: Final = 3600.0

Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]


@dataclass(slots=True)
class _Seen:
    key: ApiKey
    confirmed_at: float
    ask_again_at: float


class Guard:
    """Remembers keys for a few seconds, so that a busy CRM costs no query a request. One event loop uses it."""

    def __init__(self, room: Room, clock: Callable[[], float] = time.monotonic) -> None:
        self._room = room
        self._clock = clock
        self._seen: dict[str, _Seen] = {}
        self._limit = parse(room.settings.rate_limit)
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    async def key(self, secret: str) -> ApiKey | None:
        """The key with this secret, if there is one that was not revoked.

        One that was good in the last hour stays good while Postgres does not answer: tickets wait in Redis, not
        there. Raises DatabaseAway for any other.
        """
        now, fresh_s = self._clock(), self._room.settings.key_cache_s
        seen = self._seen.get(secret)
        if seen is not None:
            if now < seen.ask_again_at:
                return seen.key
            seen.ask_again_at = now + fresh_s  # those beside this request go on with what is known
        try:
            found = await run_in_threadpool(find, self._room.database, secret)
        except DatabaseAway:
            if seen is None or now > seen.confirmed_at + _OUTAGE_S:
                raise
            return seen.key
        if found is None:
            self._seen.pop(secret, None)
        else:
            self._seen[secret] = _Seen(found, now, now + fresh_s)
        return found

    def count(self, key: ApiKey) -> None:
        """Raises Refused (429) when the key asks too often."""
        if not self._limiter.hit(self._limit, str(key.id)):
            raise Refused(
                HTTPStatus.TOO_MANY_REQUESTS, f"this key may ask {self._limit}: slow down", {"Retry-After": "1"}
            )


def requires(scope: Scope) -> Callable[..., Awaitable[ApiKey]]:
    """A dependency: the request's key, which must have this scope."""

    async def check(request: Request, credentials: Credentials) -> ApiKey:
        guard: Guard = request.app.state.guard
        key = await guard.key(credentials.credentials) if credentials else None
        if key is None:
            raise Refused(
                HTTPStatus.UNAUTHORIZED,
                "a key is needed: `triagem keys create NAME --scope enqueue`, sent as `Authorization: Bearer trg_…`",
                {"WWW-Authenticate": "Bearer"},
            )
        if scope not in key.scopes and Scope.ADMIN not in key.scopes:
            raise Refused(HTTPStatus.FORBIDDEN, f"this key lacks the scope {scope}")
        guard.count(key)
        return key

    return check


__all__ = ["Guard", "InRoom", "requires"]
