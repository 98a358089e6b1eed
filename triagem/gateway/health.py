"""`GET /health`, the seed's: would a text be answered now? And `/health/live`: does this process answer?"""

from http import HTTPStatus
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from triagem.contracts.errors import TriagemError
from triagem.db.queries import named
from triagem.gateway.problems import Refused, answers
from triagem.gateway.room import InRoom, Room
from triagem.inbox.lease import alive

router = APIRouter(tags=["health"])


class Healthy(BaseModel):
    """All that there is to say."""

    status: Literal["healthy"] = "healthy"


@router.get("/health", summary="Would a text be classified now?", responses=answers(HTTPStatus.SERVICE_UNAVAILABLE))
def health(room: InRoom) -> Healthy:
    """503 says what is missing: Redis, Postgres, a current model, or a worker.

    Not for a container's liveness: a restart of the gateway brings none of them back.
    """
    try:
        missing = _missing(room)
    except TriagemError as error:
        missing = str(error)
    if missing:
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, missing, {"Retry-After": "5"})
    return Healthy()


@router.get("/health/live", summary="Does the gateway itself answer?")
async def live() -> Healthy:
    """Asks nobody: for a container's liveness."""
    return Healthy()


def _missing(room: Room) -> str | None:
    named(room.database, "", [""])  # Postgres answers, and has our tables
    room.registry.current()
    return None if alive(room.inbox.redis) else "no worker lives: start `triagem worker`"
