"""`/console/login` and logout with an API key, and `/console/`, which redirects to the first allowed page."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from triagem.db.audit import Actor, record
from triagem.db.auth import SESSION_LIFETIME, Scope, begin_session, end_session, find_session_key
from triagem.gateway.authentication import Authenticator, actor_of, client_address, key_prefix
from triagem.gateway.connections import client_network
from triagem.gateway.console.render import redirect, render_page
from triagem.gateway.console.session import CONSOLE_SCOPES, COOKIE, Form, Visitor, require_visitor, set_cookie
from triagem.gateway.services import ServicesDep

router = APIRouter()


@router.get("/")
def home(services: ServicesDep, visitor: Annotated[Visitor, Depends(require_visitor())]) -> Response:
    """Redirect to the first page that the key may see; without a model, to the start page."""
    if visitor.may(Scope.REVIEW) and services.current_version() is None:
        return redirect("/console/start")
    return redirect("/console/overview" if visitor.may(Scope.READ) else "/console/review")


@router.get("/login")
def login_form(request: Request) -> Response:
    """The login form."""
    query = request.query_params
    error = "session_ended" if query.get("message") == "session_ended" else ""
    return render_page(request, "login.html", next=query.get("next", ""), error=error)


@router.post("/login")
async def log_in(request: Request, services: ServicesDep, form: Form) -> Response:
    """Start a session if the key may see a page; otherwise show why it may not."""
    authenticator: Authenticator = request.app.state.authenticator
    secret, address = form.get("key", "").strip(), client_address(request)
    key = await authenticator.authenticate(secret, client_network(address))
    prefix = key_prefix(secret)
    stranger = Actor(f"unknown key {prefix}" if prefix else "unknown key", address)
    actor = stranger if key is None else actor_of(request, key)
    error = "no_such_key" if key is None else "" if CONSOLE_SCOPES & key.scopes else "key_sees_nothing"
    target = form.get("next", "")
    if error or key is None:
        await run_in_threadpool(record, services.database, actor, "login", "console", "refused")
        return render_page(request, "login.html", status=HTTPStatus.UNAUTHORIZED, next=target, error=error)
    token = await run_in_threadpool(begin_session, services.database, key, previous=request.cookies.get(COOKIE))
    await run_in_threadpool(record, services.database, actor, "login", "console")
    # Redirect to console pages only: browsers treat `//host` and `/\\host` as another host.
    return _logged_in(request, token, target if target.startswith("/console/") else "/console/")


def _logged_in(request: Request, token: str, target: str) -> Response:
    response = redirect(target)
    set_cookie(request, response, COOKIE, token, max_age_s=int(SESSION_LIFETIME.total_seconds()))
    return response


def _link_ended(request: Request) -> Response:
    return render_page(
        request, "login.html", status=HTTPStatus.UNAUTHORIZED, next="/console/start", error="link_ended"
    )


@router.get("/enter")
def confirm_link(request: Request, services: ServicesDep, link: str = "") -> Response:
    """Ask before logging in by a link of `triagem up` or `triagem start`: any website could open that link."""
    key = find_session_key(services.database, link)
    if key is None:
        return _link_ended(request)
    return render_page(request, "enter.html", link=link, name=key.name)


@router.post("/enter")
def enter(request: Request, services: ServicesDep, form: Form) -> Response:
    """Log in by a link that the visitor confirmed. The link's token is a session that ends now: it works once."""
    link = form.get("link", "")
    key = find_session_key(services.database, link)
    if key is None:
        return _link_ended(request)
    token = begin_session(services.database, key, previous=link)
    record(services.database, actor_of(request, key), "login", "console")
    return _logged_in(request, token, "/console/")


@router.post("/logout")
def log_out(
    request: Request, services: ServicesDep, visitor: Annotated[Visitor, Depends(require_visitor())]
) -> Response:
    """End the session on every gateway."""
    end_session(services.database, request.cookies[COOKIE])
    record(services.database, visitor.actor, "logout", "console")
    response = redirect("/console/login")
    set_cookie(request, response, COOKIE, "", max_age_s=0)
    return response
