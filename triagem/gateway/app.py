"""The FastAPI application: routers, error handlers and middleware.

`/docs` is Swagger UI from an installed package, under the console's security policy.
"""

import json
from functools import cache, partial
from typing import Final

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from triagem.contracts.ticket import PREDICT_SOURCE
from triagem.db.tickets.queries import results_by_external_id
from triagem.gateway import (
    health,
    predict,
    problems,
    results,
    reviews,
    ticket_detail,
    tickets,
    webhooks,
)
from triagem.gateway.admission import AdmissionMiddleware
from triagem.gateway.authentication import Authenticator
from triagem.gateway.console.app import create_console
from triagem.gateway.console.render import HEADERS, redirect
from triagem.gateway.intake import Intake
from triagem.gateway.predict import ResultWaiter
from triagem.gateway.request_middleware import RequestMiddleware
from triagem.gateway.services import Services

_ASSETS: Final = StaticFiles(packages=[("fastapi_swagger", "resources")])
_POLICY: Final = "Content-Security-Policy"
_HEADERS: Final = HEADERS | {_POLICY: HEADERS[_POLICY].replace("img-src 'self'", "img-src 'self' data:")}  # icons
_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Triagem - HTTP API</title>
<link rel="icon" href="/console/static/icon.svg">
<link rel="stylesheet" href="/docs/assets/swagger-ui.css">
<script src="/docs/assets/swagger-ui-bundle.js" defer></script>
<script src="/console/static/docs.js" defer></script>
</head>
<body><div id="swagger-ui"></div></body>
</html>
"""

router = APIRouter(include_in_schema=False)


@router.get("/openapi.json")
async def openapi(request: Request) -> Response:
    """The description of the API."""
    return Response(rendered(request.app), media_type="application/json")


@cache
def rendered(app: FastAPI) -> bytes:
    """The OpenAPI document, rendered once: otherwise each anonymous request would cost FastAPI milliseconds."""
    return json.dumps(app.openapi(), ensure_ascii=False).encode()


@router.get("/docs")
async def docs() -> HTMLResponse:
    """The endpoints with their fields, and a form to try each."""
    return HTMLResponse(_PAGE, headers=_HEADERS)


@router.get("/", include_in_schema=False)
@router.get("/console")
async def console() -> RedirectResponse:
    """The console's first page."""
    return redirect("/console/")


def create_app(services: Services) -> FastAPI:
    """Create the application with these services. It opens no connection before the first request."""
    app = FastAPI(
        title="Triagem",
        summary="Classifies customer messages as support or sales, with a confidence.",
        openapi_url=None,  # this module serves both: FastAPI's own page would load scripts from another host
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # FastAPI's redirects repeat the Host header, which a client can forge
    )
    app.state.services = services
    app.state.authenticator = Authenticator(services)
    app.state.readiness = health.Readiness(services)
    app.state.intake = Intake(services.inbox)
    app.state.result_waiter = ResultWaiter(partial(results_by_external_id, services.database, PREDICT_SOURCE))
    problems.install_error_handlers(app)
    for module in (tickets, webhooks, ticket_detail, results, reviews, predict, health):
        app.include_router(module.router)
    app.include_router(router)
    app.mount("/docs/assets", _ASSETS)
    app.mount("/console", create_console(services, app.state.authenticator))
    app.add_middleware(tickets.DirectTickets)
    app.add_middleware(AdmissionMiddleware, settings=services.settings)
    app.add_middleware(RequestMiddleware)  # outermost: it sees every response
    return app
