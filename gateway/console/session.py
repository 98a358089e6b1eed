"""Who is logged in: a signed cookie that names a key. It is looked up with each page: revoking it logs out."""

import hmac
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Final
from urllib.parse import parse_qsl

from fastapi import Depends, Request
from pydantic import SecretStr
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from db.keys import ApiKey, Scope, standing
from gateway.problems import Refused
from gateway.room import InRoom

COOKIE: Final = "triagem_session"
LASTS_S: Final = 12 * 3600
PEOPLE: Final = frozenset({Scope.READ, Scope.REVIEW, Scope.ADMIN})


class LoginNeeded(Exception):
    """Nobody is logged in, or not any more."""


class FormRefused(Exception):
    """A form that this session's pages did not make."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """A person with a key. `token` goes into each form, and comes back with it."""

    key: ApiKey
    token: str

    @property
    def name(self) -> str:
        """Under which reviews are kept."""
        return self.key.name

    def may(self, scope: str) -> bool:
        """Whether the key is good for this."""
        return scope in self.key.scopes or Scope.ADMIN in self.key.scopes


class Sessions:
    """Signs and reads cookies. Without a secret of its own each process draws one: a restart logs everybody out."""

    def __init__(self, secret: SecretStr | None, clock: Callable[[], float] = time.time) -> None:
        self._secret = secret.get_secret_value().encode() if secret else secrets.token_bytes(32)
        self._clock = clock

    def begin(self, key: ApiKey) -> str:
        """A cookie's value for this key."""
        said = f"{key.id}.{int(self._clock()) + LASTS_S}"
        return f"{said}.{self._signed('session', said)}"

    def key_id(self, cookie: str) -> int | None:
        """Whose cookie it is; None if we did not sign it, or it is over."""
        said, _, signature = cookie.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._signed("session", said).encode()):
            return None
        key_id, _, ends = said.partition(".")
        return int(key_id) if int(ends) > self._clock() else None

    def token(self, cookie: str) -> str:
        """What the forms of this session carry: another site cannot know it."""
        return self._signed("form", cookie)

    def _signed(self, what: str, said: str) -> str:
        return hmac.digest(self._secret, f"{what}:{said}".encode(), "sha256").hex()


def put_cookie(request: Request, response: Response, name: str, value: str, *, lasts_s: int) -> None:
    """A cookie that no script reads and no other site sends."""
    encrypted = "https" in (request.url.scheme, request.headers.get("x-forwarded-proto"))
    response.set_cookie(
        name, value, max_age=lasts_s, path="/console", secure=encrypted, httponly=True, samesite="strict"
    )


async def form(request: Request) -> dict[str, str]:
    """The fields of a form. Raises FormRefused if a browser says that it comes from another site."""
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise FormRefused
    body = (await request.body()).decode("utf-8", "replace")
    return {name: value.replace("\r\n", "\n") for name, value in parse_qsl(body, keep_blank_values=True)}


Form = Annotated[dict[str, str], Depends(form)]


def visitor(scope: Scope | None = None) -> Callable[..., Awaitable[Visitor]]:
    """A dependency: who asks, whose key must have this scope. A form must carry the session's token.

    Raises LoginNeeded, FormRefused, Refused (403, 429).
    """

    async def check(request: Request, room: InRoom) -> Visitor:
        sessions: Sessions = request.app.state.sessions
        cookie = request.cookies.get(COOKIE, "")
        key_id = sessions.key_id(cookie)
        key = await run_in_threadpool(standing, room.database, key_id) if key_id is not None else None
        if key is None:
            raise LoginNeeded
        found = Visitor(key, sessions.token(cookie))
        if request.method == "POST":
            sent = (await form(request)).get("token", "")
            if not hmac.compare_digest(sent.encode(), found.token.encode()):
                raise FormRefused
        if scope is not None and not found.may(scope):
            raise Refused(HTTPStatus.FORBIDDEN, f"this key lacks the scope {scope}")
        request.app.state.guard.count(key)
        return found

    return check


Reader = Annotated[Visitor, Depends(visitor(Scope.READ))]
Reviewer = Annotated[Visitor, Depends(visitor(Scope.REVIEW))]
Admin = Annotated[Visitor, Depends(visitor(Scope.ADMIN))]
