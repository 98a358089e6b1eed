"""`GET /autoscale`: the number of workers needed, for KEDA's `metrics-api` scaler or any other autoscaler."""

from http import HTTPStatus

from fastapi import APIRouter, Depends

from triagem.db.auth import Scope
from triagem.gateway.authentication import require_scope
from triagem.gateway.problems import RETRY_AFTER_S, ProblemError, problem_responses
from triagem.gateway.services import ServicesDep
from triagem.inbox.scaling import NoSignal
from triagem.inbox.scaling_signal import ScalingSignal, scaling_signal

router = APIRouter(tags=["operations"])


@router.get(
    "/autoscale",
    summary="Number of workers needed",
    dependencies=[Depends(require_scope(Scope.READ))],
    responses=problem_responses(
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ),
)
def autoscale(services: ServicesDep) -> ScalingSignal:
    """`desired` is the number of workers. `hold` means that it is the current count, because a change would not help.

    503 while Redis is unavailable: no number, so that no autoscaler reads it as zero.
    """
    reading = scaling_signal(services.inbox, services.scaling)
    if isinstance(reading, NoSignal):
        raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, reading.reason, {"Retry-After": RETRY_AFTER_S})
    return reading
