"""`GET /autoscale`: how many workers there should be, for KEDA's `metrics-api` or anything that starts workers."""

from http import HTTPStatus

from fastapi import APIRouter, Depends

from triagem.db.keys import Scope
from triagem.gateway.guard import requires
from triagem.gateway.problems import RETRY_AFTER_S, Refused, answers
from triagem.gateway.room import InRoom
from triagem.inbox.scaling import NoSample
from triagem.inbox.signal import Signal, signal

router = APIRouter(tags=["operations"])


@router.get(
    "/autoscale",
    summary="How many workers should there be?",
    dependencies=[Depends(requires(Scope.READ))],
    responses=answers(
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ),
)
def autoscale(room: InRoom) -> Signal:
    """`desired` is the number; `hold` says that it is the present count, because more or fewer would change nothing.

    503 while Redis does not answer: no number, so that nobody takes it for zero.
    """
    said = signal(room.inbox, room.scaling)
    if isinstance(said, NoSample):
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, said.why, {"Retry-After": RETRY_AFTER_S})
    return said
