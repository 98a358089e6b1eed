"""`/console/login`: an API key opens a session. And `/console`, which leads to the first page that a key may see."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from triagem.db import sessions
from triagem.db.keys import Scope
from triagem.gateway.console.render import go_to, page
from triagem.gateway.console.session import COOKIE, PEOPLE, Form, Visitor, put_cookie, visitor
from triagem.gateway.guard import Guard
from triagem.gateway.room import InRoom

router = APIRouter()


@router.get("/")
async def start(who: Annotated[Visitor, Depends(visitor())]) -> Response:
    """The first page that the key may see."""
    return go_to("/console/overview" if who.may(Scope.READ) else "/console/review")


@router.get("/login")
def ask(request: Request) -> Response:
    """The form."""
    return page(request, "login.html", next=request.query_params.get("next", ""), wrong="")


@router.post("/login")
async def log_in(request: Request, room: InRoom, form: Form) -> Response:
    """A key that is good for a page gets a cookie; another is told what is wrong with it."""
    guard: Guard = request.app.state.guard
    key = await guard.key(form.get("key", "").strip())
    wrong = "no_such_key" if key is None else "" if PEOPLE & key.scopes else "key_sees_nothing"
    asked = form.get("next", "")
    if wrong or key is None:
        return page(request, "login.html", status=HTTPStatus.UNAUTHORIZED, next=asked, wrong=wrong)
    # Only to a page of ours: `//elsewhere` and `/\\elsewhere` are other hosts to a browser.
    answer = go_to(asked if asked.startswith("/console/") else "/console/")
    token = await run_in_threadpool(sessions.begin, room.database, key)
    put_cookie(request, answer, COOKIE, token, lasts_s=int(sessions.LASTS.total_seconds()))
    return answer


@router.post("/logout")
def log_out(request: Request, room: InRoom, _: Annotated[Visitor, Depends(visitor())]) -> Response:
    """The session ends, wherever its cookie is."""
    sessions.end(room.database, request.cookies[COOKIE])
    answer = go_to("/console/login")
    put_cookie(request, answer, COOKIE, "", lasts_s=0)
    return answer
