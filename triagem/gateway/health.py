"""`GET /health` (readiness, from the original specification) and `GET /health/live` (liveness)."""

from http import HTTPStatus
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from triagem.contracts.errors import TriagemError
from triagem.db.tickets.queries import results_by_external_id
from triagem.gateway.problems import ProblemError, problem_responses
from triagem.gateway.services import Services, ServicesDep
from triagem.inbox.lease import live_worker_count

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The body of a successful health check."""

    status: Literal["healthy"] = "healthy"


@router.get(
    "/health",
    summary="Readiness: can a text be classified now?",
    responses=problem_responses(HTTPStatus.SERVICE_UNAVAILABLE),
)
def health(services: ServicesDep) -> Health:
    """503 names what is missing: Redis, Postgres, a current model or a worker.

    Do not use it as a container's liveness probe: restarting the gateway fixes none of these.
    """
    try:
        missing = _missing(services)
    except TriagemError as error:
        missing = str(error)
    if missing:
        raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, missing, {"Retry-After": "5"})
    return Health()


@router.get("/health/live", summary="Liveness: does the gateway answer?")
async def live() -> Health:
    """Checks no other service. For a container's liveness probe."""
    return Health()


def _missing(services: Services) -> str | None:
    results_by_external_id(services.database, "", [""])  # fails unless Postgres answers and has our tables
    services.registry.current()
    return None if live_worker_count(services.inbox.redis) else "no worker is running: start `triagem worker`"
