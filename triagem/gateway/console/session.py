"""Login sessions: a cookie with a token that is looked up on each request, so revoking the key logs out."""

import hmac
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from typing import Annotated, Final
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from fastapi import Depends, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from triagem.contracts.errors import InvalidInput
from triagem.db.audit import Actor
from triagem.db.auth import ApiKey, Scope, find_session_key
from triagem.gateway.admission import authenticate_sender, read_body
from triagem.gateway.authentication import actor_of
from triagem.gateway.console.upload import parse_upload
from triagem.gateway.problems import ProblemError
from triagem.gateway.services import ServicesDep

_MAX_FORM_BYTES: Final = 16_384
_MAX_FIELDS: Final = 20
COOKIE: Final = "triagem_session"
CONSOLE_SCOPES: Final = frozenset({Scope.READ, Scope.REVIEW, Scope.ADMIN})


class LoginNeeded(Exception):
    """There is no valid session."""


class FormRefused(Exception):
    """The form was not created by a page of this session."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """A logged-in person. `token` is the CSRF token of their forms, `actor` their name in the audit trail."""

    key: ApiKey
    token: str
    actor: Actor

    @property
    def name(self) -> str:
        """The reviewer name: the name of the key."""
        return self.key.name

    def may(self, scope: str) -> bool:
        """Whether the key has this scope."""
        return scope in self.key.scopes or Scope.ADMIN in self.key.scopes


def set_cookie(request: Request, response: Response, name: str, value: str, *, max_age_s: int) -> None:
    """Set a cookie that scripts cannot read and other sites cannot send; `secure` if the page used HTTPS."""
    encrypted = request.url.scheme == "https" or _url_in(request, "origin").scheme == "https"
    response.set_cookie(
        name, value, max_age=max_age_s, path="/console", secure=encrypted, httponly=True, samesite="strict"
    )


def _url_in(request: Request, header: str) -> SplitResult:
    """The address of the page that sends a form, as the browser sees it: a proxy may change scheme and host."""
    try:
        return urlsplit(request.headers.get(header, ""))
    except ValueError:
        return urlsplit("null")


def _is_foreign(request: Request) -> bool:
    """Whether the browser reports that a page of another site sends this form."""
    site = request.headers.get("sec-fetch-site")  # browsers omit it without TLS
    if site is not None:
        return site not in {"same-origin", "none"}
    return "origin" in request.headers and _url_in(request, "origin").netloc != request.headers.get("host")


def page_of_form(request: Request) -> str:
    """The page that sent a form, without its message about an earlier form; empty if the browser does not name it."""
    page = _url_in(request, "referer")
    query = [(name, value) for name, value in parse_qsl(page.query) if name not in {"message", "about"}]
    return page.path + (f"?{urlencode(query)}" if query else "")


async def read_form(request: Request) -> dict[str, str]:
    """Read a form's fields. Raises FormRefused for a form of another site, InvalidInput for one that is too long."""
    if _is_foreign(request):
        raise FormRefused
    content_type = request.headers.get("content-type", "")
    if content_type.startswith("multipart/form-data"):
        limit = request.app.state.services.settings.max_body_bytes
        return parse_upload(content_type, await read_body(request, limit)).fields
    body = (await read_body(request, _MAX_FORM_BYTES)).decode("utf-8", "replace")
    try:
        fields = parse_qsl(body, keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise InvalidInput(f"the form has more than {_MAX_FIELDS} fields") from None
    return {name: value.replace("\r\n", "\n").replace("\0", "\ufffd") for name, value in fields}


def row_id(text: str) -> int | None:
    """The text as a row's id; None if it is not one. `²` passes `isdigit`, and int() refuses 5,000 digits."""
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else None


Form = Annotated[dict[str, str], Depends(read_form)]


def require_visitor(scope: Scope | None = None) -> Callable[..., Awaitable[Visitor]]:
    """A dependency that returns the visitor and requires this scope. A POST must carry the session's CSRF token.

    Raises LoginNeeded, FormRefused, ProblemError (403, 429).
    """

    async def check(request: Request, services: ServicesDep) -> Visitor:
        cookie = request.cookies.get(COOKIE)
        key = await run_in_threadpool(find_session_key, services.database, cookie) if cookie else None
        if key is None or cookie is None:
            raise LoginNeeded
        authenticate_sender(request, f"key {key.id}")
        # The CSRF token is derived from the cookie, which scripts and other sites cannot read.
        token = sha256(f"form:{cookie}".encode("utf-8", "surrogatepass")).hexdigest()
        visitor = request.state.visitor = Visitor(key, token, actor_of(request, key))  # the page of an error reads it
        if request.method == "POST":
            sent = (await read_form(request)).get("token", "")
            if not hmac.compare_digest(sent.encode(), token.encode()):
                raise FormRefused
        if scope is not None and not visitor.may(scope):
            raise ProblemError(HTTPStatus.FORBIDDEN, f"this key lacks the scope {scope}")
        request.app.state.authenticator.enforce_rate_limit("key", key.id)
        return visitor

    return check


Reader = Annotated[Visitor, Depends(require_visitor(Scope.READ))]
Reviewer = Annotated[Visitor, Depends(require_visitor(Scope.REVIEW))]
Admin = Annotated[Visitor, Depends(require_visitor(Scope.ADMIN))]
