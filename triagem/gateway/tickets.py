"""`POST /v1/tickets`: one ticket or many, a receipt for each once Redis has them."""

import json
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import BaseModel, Field

from triagem.contracts.errors import InvalidInput, InvalidTicket
from triagem.contracts.ticket import Lane, Ticket, accept
from triagem.db.keys import ApiKey, Scope
from triagem.gateway.bodies import RawBody
from triagem.gateway.guard import requires
from triagem.gateway.problems import Refused, answers
from triagem.gateway.room import InRoom
from triagem.inbox import Once
from triagem.producer.crm.payload import parse

MOST_ROWS: Final = 1000

router = APIRouter(tags=["tickets"])


class Receipt(BaseModel):
    """What became of one ticket: accepted, and then it will be classified; or rejected, and why."""

    status: Literal["accepted", "rejected"] = Field(examples=["accepted"])
    entry_id: str | None = Field(default=None, description="its place in the lane", examples=["1793622600000-0"])
    field: str | None = Field(default=None, description="the first field that is wrong")
    reason: str | None = None


class Receipts(BaseModel):
    """A receipt for each ticket, in their order."""

    accepted: int = Field(examples=[1])
    rejected: int = Field(examples=[0])
    receipts: list[Receipt]


_EXAMPLE: Final = {
    "source": "shop",
    "external_id": "4711",
    "text": "Fatura em dobro\nFui cobrado duas vezes este mês",
    "revised_at": "2026-11-02T09:30:00-03:00",
}
# Without the definition of "any JSON": where the schema stands in OpenAPI's, a reference to it leads nowhere.
_ONE: Final = Ticket.model_json_schema()
del _ONE["$defs"]
_ONE["properties"]["metadata"]["additionalProperties"] = True
_BODY: Final = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"oneOf": [_ONE, {"type": "array", "items": _ONE, "minItems": 1, "maxItems": MOST_ROWS}]},
            "examples": {
                "one": {"summary": "one ticket", "value": _EXAMPLE},
                "many": {"summary": "a list", "value": [_EXAMPLE, {**_EXAMPLE, "external_id": "4712"}]},
            },
        }
    },
}


@router.post(
    "/v1/tickets",
    status_code=HTTPStatus.ACCEPTED,
    response_model=Receipts,
    openapi_extra={"requestBody": _BODY},
    responses=answers(
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ),
)
def put_tickets(
    request: Request,
    room: InRoom,
    key: Annotated[ApiKey, Depends(requires(Scope.ENQUEUE))],
    body: RawBody,
    *,
    lane: Annotated[
        Lane, Query(description="`live` for customers who wait now, `bulk` for everything else")
    ] = Lane.LIVE,
    idempotency_key: Annotated[
        str | None,
        Header(min_length=1, max_length=255, description="the same key with the same body gets the same receipts"),
    ] = None,
) -> Response:
    """Hand in one ticket, or up to 1,000 in a list. 202 means that Redis has every ticket whose receipt says so.

    One bad ticket never sinks the others. Where none is accepted the answer is 422, with the receipts. Handing in
    the same ticket twice is harmless: it is stored once, and an unchanged text is not classified again.
    """
    rows = _rows(body)
    request.state.rows = len(rows)
    read = [_read(row, room.now()) for row in rows]
    good = [one for one in read if isinstance(one, Ticket)]
    wrong = {place: one for place, one in enumerate(read) if isinstance(one, InvalidTicket)}
    if not good:
        receipts = _receipts([], {place: (one.field, one.reason) for place, one in wrong.items()})
        told = receipts.model_dump(exclude_none=True)["receipts"]
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, f"no ticket was accepted: {wrong[0]}", more={"receipts": told})
    rejections = {place: (one.field, one.reason) for place, one in wrong.items()}
    request_id = request.state.request_id
    if idempotency_key is None:
        put = room.publisher.put(good, lane=lane, request_id=request_id)
        return _accepted(_receipts([one.entry_id for one in put], rejections))
    once = Once(
        key=f"{key.id}:{sha256(idempotency_key.encode()).hexdigest()}",
        fingerprint=sha256(f"{lane}\n".encode() + body).digest(),
        content=json.dumps(list(rejections.items())).encode(),
        keep_s=room.settings.idempotency_s,
    )
    noted = room.publisher.put_once(good, once, lane=lane, request_id=request_id)
    if noted.fingerprint != once.fingerprint:
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, "this Idempotency-Key came before, with another body or lane")
    return _accepted(_receipts([one.decode() for one in noted.ids], dict(json.loads(noted.content))))


def _accepted(receipts: Receipts) -> Response:
    """Written here: FastAPI would check the answer once more, in a thread of its own, a third of a request's time."""
    return Response(receipts.model_dump_json(exclude_none=True), HTTPStatus.ACCEPTED, media_type="application/json")


def _rows(body: bytes) -> list[object]:
    found = parse(body)
    if isinstance(found, dict):
        return [found]
    if not isinstance(found, list) or not found:
        raise InvalidInput("body: expected a ticket, or a list of tickets")
    if len(found) > MOST_ROWS:
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{len(found):,} tickets: at most {MOST_ROWS:,} a request")
    return found


def _read(row: object, now: datetime) -> Ticket | InvalidTicket:
    if not isinstance(row, dict):
        return InvalidTicket("", "is no object with a ticket's fields")
    try:
        return accept(row, now=now)
    except InvalidTicket as error:
        return error


def _receipts(ids: Sequence[str], rejections: dict[int, Any]) -> Receipts:
    """Rejections stand at their places, field and reason each; the ids fill the others, in order."""
    accepted = iter(ids)
    receipts = []
    for place in range(len(ids) + len(rejections)):
        if place in rejections:
            field, reason = rejections[place]
            receipts.append(Receipt(status="rejected", field=field or None, reason=reason))
        else:
            receipts.append(Receipt(status="accepted", entry_id=next(accepted)))
    return Receipts(accepted=len(ids), rejected=len(rejections), receipts=receipts)
