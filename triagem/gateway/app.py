"""The FastAPI application: routers, error handlers and middleware."""

from functools import partial

from fastapi import FastAPI

from triagem.contracts.ticket import PREDICT_SOURCE
from triagem.db.tickets.queries import results_by_external_id
from triagem.gateway import (
    docs,
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
from triagem.gateway.console.app import create_console, too_many_requests
from triagem.gateway.intake import Intake
from triagem.gateway.predict import ResultWaiter
from triagem.gateway.request_middleware import RequestMiddleware
from triagem.gateway.services import Services


def create_app(services: Services) -> FastAPI:
    """Create the application with these services. It opens no connection before the first request."""
    app = FastAPI(
        title="Triagem",
        summary="Classifies customer messages as support or sales, with a confidence.",
        openapi_url=None,  # triagem.gateway.docs serves both: FastAPI's own page would load scripts from another host
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
    for module in (tickets, webhooks, ticket_detail, results, reviews, predict, health, docs):
        app.include_router(module.router)
    app.mount("/docs/assets", docs.ASSETS)
    app.mount("/console", create_console(services, app.state.authenticator))
    app.add_middleware(tickets.DirectTickets)
    app.add_middleware(AdmissionMiddleware, settings=services.settings, console_refusal=too_many_requests)
    app.add_middleware(RequestMiddleware)  # outermost: it sees every response
    return app
