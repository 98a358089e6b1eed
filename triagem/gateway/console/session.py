"""Who is logged in: a cookie with a session's token. It is looked up with each page: revoking the key logs out."""

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from typing import Annotated, Final
from urllib.parse import parse_qsl

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from triagem.db import sessions
from triagem.db.keys import ApiKey, Scope
from triagem.gateway.problems import Refused
from triagem.gateway.room import InRoom

COOKIE: Final = "triagem_session"
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
        cookie = request.cookies.get(COOKIE)
        key = await run_in_threadpool(sessions.find, room.database, cookie) if cookie else None
        if key is None or cookie is None:
            raise LoginNeeded
        # Made of what another site, and a script, cannot read.
        found = Visitor(key, sha256(f"form:{cookie}".encode("utf-8", "surrogatepass")).hexdigest())
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
