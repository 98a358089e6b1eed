"""The application: its routers, its errors, and what wraps every request."""

from functools import partial

from fastapi import FastAPI

from triagem.contracts.ticket import PREDICT
from triagem.db.queries import named
from triagem.gateway import autoscale, health, known, predict, problems, results, tickets, webhooks
from triagem.gateway.answers import Answers
from triagem.gateway.bodies import BodyLimit
from triagem.gateway.console.app import create_console
from triagem.gateway.guard import Guard
from triagem.gateway.requests import Requests
from triagem.gateway.room import Room


def create_app(room: Room) -> FastAPI:
    """The application on these servers. Nothing is connected before the first request."""
    app = FastAPI(
        title="Triagem",
        summary="Customer messages in; support or sales, and how sure, out.",
        docs_url="/docs",
        redoc_url=None,
    )
    app.state.room = room
    app.state.guard = Guard(room)
    app.state.answers = Answers(partial(named, room.database, PREDICT))
    problems.install(app)
    # One line a router.
    app.include_router(tickets.router)
    app.include_router(webhooks.router)
    app.include_router(known.router)
    app.include_router(results.router)
    app.include_router(predict.router)
    app.include_router(autoscale.router)
    app.include_router(health.router)
    app.mount("/console", create_console(room, app.state.guard))
    app.add_middleware(BodyLimit, limit=room.settings.max_body_bytes, patience_s=room.settings.patience_s)
    app.add_middleware(Requests)  # the outermost: it sees what the others answer
    return app
