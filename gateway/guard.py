"""Who may do what: API keys with scopes, and how often. A key is looked up by its hash, never stored or logged."""

import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from db.keys import ApiKey, Scope, find
from gateway.problems import Refused
from gateway.room import InRoom, Room

_BEARER: Final = HTTPBearer(
    auto_error=False, description="`Authorization: Bearer trg_…`, made by `triagem keys create`"
)

Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]


class Guard:
    """Remembers keys for a few seconds, so that a busy CRM costs no query a request."""

    def __init__(self, room: Room, clock: Callable[[], float] = time.monotonic) -> None:
        self._room = room
        self._clock = clock
        self._known: dict[str, tuple[float, ApiKey | None]] = {}
        self._lock = threading.Lock()
        self._limit = parse(room.settings.rate_limit)
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def key(self, secret: str) -> ApiKey | None:
        """The key with this secret, if there is one that was not revoked."""
        with self._lock:
            until, known = self._known.get(secret, (0.0, None))
        if known is None or self._clock() > until:
            known = find(self._room.database, secret)
            with self._lock:
                if len(self._known) > 10_000:  # somebody tries secrets
                    self._known.clear()
                self._known[secret] = self._clock() + self._room.settings.key_cache_s, known
        return known

    def count(self, key: ApiKey) -> None:
        """Raises Refused (429) when the key asks too often."""
        if not self._limiter.hit(self._limit, str(key.id)):
            raise Refused(
                HTTPStatus.TOO_MANY_REQUESTS, f"this key may ask {self._limit}: slow down", {"Retry-After": "1"}
            )


def requires(scope: Scope) -> Callable[..., ApiKey]:
    """A dependency: the request's key, which must have this scope."""

    def check(request: Request, credentials: Credentials) -> ApiKey:
        guard: Guard = request.app.state.guard
        key = guard.key(credentials.credentials) if credentials else None
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
