"""The application: its routers, its errors, and what wraps every request."""

from fastapi import FastAPI

from gateway import problems, tickets, webhooks
from gateway.bodies import BodyLimit
from gateway.guard import Guard
from gateway.requests import Requests
from gateway.room import Room


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
    problems.install(app)
    # One line a router.
    app.include_router(tickets.router)
    app.include_router(webhooks.router)
    app.add_middleware(BodyLimit, limit=room.settings.max_body_bytes, patience_s=room.settings.patience_s)
    app.add_middleware(Requests)  # the outermost: it sees what the others answer
    return app
