"""`POST /v1/webhooks/{source}`: what CRMs send of themselves. Their proof is their own: no key of ours."""

from http import HTTPStatus
from typing import Annotated, Final, Literal

import structlog
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, Field

from triagem.db.dead import bury_webhook
from triagem.gateway.bodies import RawBody
from triagem.gateway.problems import Refused, answers
from triagem.gateway.room import InRoom, Room
from triagem.producer import crm

log = structlog.get_logger(__name__)

router = APIRouter(tags=["webhooks"])


class Outcome(BaseModel):
    """What a webhook turned out to be. `kept`: it could not be read, and is kept as a dead letter."""

    outcome: Literal["accepted", "ignored", "kept"] = Field(examples=["accepted"])
    tickets: int = Field(default=0, examples=[1])
    reason: str | None = Field(default=None, description="why it was ignored, or could not be read")


async def _source(
    room: InRoom, source: Annotated[str, Path(description="a table's name in TRIAGEM_CRM_FILE", examples=["zendesk"])]
) -> crm.Source:
    found = room.crm.sources.get(source)
    if found is None:
        raise Refused(HTTPStatus.NOT_FOUND, "no such source: TRIAGEM_CRM_FILE names them")
    return found


_BODY: Final = {"required": True, "content": {"application/json": {"schema": {}}}}


@router.post(
    "/v1/webhooks/{source}",
    status_code=HTTPStatus.ACCEPTED,
    response_model_exclude_none=True,
    openapi_extra={"requestBody": _BODY},
    responses={
        HTTPStatus.OK: {"model": Outcome, "description": "understood, and nothing for us"},
        **answers(
            HTTPStatus.UNAUTHORIZED,
            HTTPStatus.NOT_FOUND,
            HTTPStatus.REQUEST_TIMEOUT,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            HTTPStatus.UNPROCESSABLE_ENTITY,
            HTTPStatus.TOO_MANY_REQUESTS,
            HTTPStatus.SERVICE_UNAVAILABLE,
        ),
    },
)
def receive(
    request: Request,
    response: Response,
    room: InRoom,
    source: Annotated[crm.Source, Depends(_source)],
    body: RawBody,
    *,
    token: Annotated[str | None, Query(description="for CRMs that can neither sign nor set a header")] = None,
) -> Outcome:
    """A CRM's webhook, proved by its signature or the token that the CRM file names.

    202: Redis has its tickets, or it is kept as a dead letter. 200: nothing for us. Anything else: send it again.
    """
    webhook = crm.Webhook(body, dict(request.headers), token)
    outcome = crm.receive(webhook, source, room.now())
    match outcome:
        case crm.Refused():
            log.warning("webhook refused", source=source.name, why=outcome.reason)
            raise Refused(HTTPStatus.UNAUTHORIZED, "the proof is missing or wrong")
        case crm.Ignored():
            response.status_code = HTTPStatus.OK
            return Outcome(outcome="ignored", reason=outcome.reason)
        case crm.Unreadable():
            _keep(room, source, body, outcome.reason)
            return Outcome(outcome="kept", reason=outcome.reason)
        case crm.Accepted():
            request.state.rows = len(outcome.tickets)
            room.publisher.put(outcome.tickets, request_id=request.state.request_id)
            reason = "; ".join(outcome.unread) or None
            if reason:
                _keep(room, source, body, reason)
            return Outcome(
                outcome="accepted" if outcome.tickets else "kept", tickets=len(outcome.tickets), reason=reason
            )


def _keep(room: Room, source: crm.Source, body: bytes, reason: str) -> None:
    bury_webhook(room.database, source.name, body, reason)
    log.error("dead letter", source=source.name, why=reason)
