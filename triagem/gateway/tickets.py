"""`POST /v1/tickets`: submits one ticket or a list; answers with a receipt per ticket after Redis has stored all."""

import json
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import BaseModel, Field

from triagem.contracts.errors import InvalidInput, InvalidTicket
from triagem.contracts.ticket import MESSAGE_FIELDS, Author, Lane, OnReply, Ticket, accept
from triagem.db.auth import ApiKey, Scope
from triagem.gateway.admission import LargeBody
from triagem.gateway.authentication import require_scope
from triagem.gateway.problems import NEEDS_KEY, ProblemError, problem_responses
from triagem.gateway.services import ServicesDep
from triagem.inbox import Idempotency
from triagem.producer.crm.payload import parse

MAX_TICKETS: Final = 1000

router = APIRouter(tags=["tickets"])


class TicketReceipt(BaseModel):
    """The receipt of one ticket. An accepted ticket will be classified; a rejected one has a reason."""

    status: Literal["accepted", "rejected"] = Field(description="whether it is accepted", examples=["accepted"])
    entry_id: str | None = Field(default=None, description="its id in the lane", examples=["1793622600000-0"])
    field: str | None = Field(default=None, description="the first field that is wrong")
    reason: str | None = Field(default=None, description="why it was rejected")


class TicketReceipts(BaseModel):
    """Receipts in the order of the tickets."""

    accepted: int = Field(description="number of accepted tickets", examples=[1])
    rejected: int = Field(description="number of rejected tickets", examples=[0])
    receipts: list[TicketReceipt] = Field(description="one per ticket, in their order")


_EXAMPLE: Final = {
    "source": "shop",
    "external_id": "4711",
    "text": "Fatura em dobro\nFui cobrado duas vezes este mês",
    "revised_at": "2026-11-02T09:30:00-03:00",
}
_MESSAGE_EXAMPLE: Final = {
    **_EXAMPLE,
    "external_id": "c-17",
    "text": "Quanto custa o plano anual?",
    "message_id": "m-1",
    "author": "customer",
}


def _ticket_schema() -> dict[str, Any]:
    """The schema with all definitions inlined, because references to them would break in the OpenAPI document."""
    schema = Ticket.model_json_schema()
    message = schema.pop("$defs")["Message"]
    for name, values in (("author", Author), ("on_reply", OnReply)):
        message["properties"][name] |= {"type": "string", "enum": [*values]}
        del message["properties"][name]["$ref"]
    for name, field in MESSAGE_FIELDS.items():
        short = {"title": name, "description": f"short for `message.{field}`"}
        schema["properties"][name] = message["properties"][field] | short
    schema["properties"]["message"] = schema["properties"]["message"] | {"anyOf": [message, {"type": "null"}]}
    schema["properties"]["metadata"]["additionalProperties"] = True
    return schema


_TICKET_SCHEMA: Final = _ticket_schema()
_REQUEST_BODY: Final = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "oneOf": [
                    _TICKET_SCHEMA,
                    {"type": "array", "items": _TICKET_SCHEMA, "minItems": 1, "maxItems": MAX_TICKETS},
                ]
            },
            "examples": {
                "single": {"summary": "one ticket", "value": _EXAMPLE},
                "list": {"summary": "a list of tickets", "value": [_EXAMPLE, {**_EXAMPLE, "external_id": "4712"}]},
                "message": {"summary": "a message of a conversation", "value": _MESSAGE_EXAMPLE},
            },
        }
    },
}


@router.post(
    "/v1/tickets",
    status_code=HTTPStatus.ACCEPTED,
    response_model=TicketReceipts,
    summary="Submit tickets",
    openapi_extra={"requestBody": _REQUEST_BODY},
    responses=problem_responses(*NEEDS_KEY, 408, 413, 422),
)
def enqueue_tickets(
    request: Request,
    services: ServicesDep,
    key: Annotated[ApiKey, Depends(require_scope(Scope.ENQUEUE))],
    body: LargeBody,
    *,
    lane: Annotated[
        Lane, Query(description="`live` for customers who are waiting, `bulk` for everything else")
    ] = Lane.LIVE,
    idempotency_key: Annotated[
        str | None,
        Header(min_length=1, max_length=255, description="a repeated key with the same body gets the same receipts"),
    ] = None,
) -> Response:
    """Submit one ticket or up to 1,000. With 202, Redis has stored each ticket whose receipt says `accepted`.

    An invalid ticket does not affect the others. If none is accepted, the response is 422 with the receipts.
    Submitting a ticket twice is harmless: it is stored once, and an unchanged text is not classified again.
    """
    rows = _rows(body)
    request.state.rows = len(rows)
    parsed = [_parse_ticket(row, services.now(), key) for row in rows]
    tickets = [ticket for ticket in parsed if isinstance(ticket, Ticket)]
    errors = {index: error for index, error in enumerate(parsed) if isinstance(error, InvalidTicket)}
    rejections = {index: (error.field, error.reason) for index, error in errors.items()}
    if not tickets:
        receipts = _receipts([], rejections).model_dump(exclude_none=True)["receipts"]
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY, f"no ticket was accepted: {errors[0]}", more={"receipts": receipts}
        )
    request_id = request.state.request_id
    if idempotency_key is None:
        accepted = services.publisher.put(tickets, lane=lane, request_id=request_id)
        return _accepted(_receipts([receipt.entry_id for receipt in accepted], rejections))
    idempotency = Idempotency(
        key=f"{key.id}:{sha256(idempotency_key.encode()).hexdigest()}",
        fingerprint=sha256(f"{lane}\n".encode() + body).digest(),
        content=json.dumps(list(rejections.items())).encode(),
        ttl_s=services.settings.idempotency_s,
    )
    stored = services.publisher.put_once(tickets, idempotency, lane=lane, request_id=request_id)
    if stored.fingerprint != idempotency.fingerprint:
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY, "this Idempotency-Key was already used with another body or lane"
        )
    return _accepted(_receipts([entry_id.decode() for entry_id in stored.ids], dict(json.loads(stored.content))))


def _accepted(receipts: TicketReceipts) -> Response:
    """The response as JSON. FastAPI's own serialization would validate it again: a third of a request's time."""
    return Response(receipts.model_dump_json(exclude_none=True), HTTPStatus.ACCEPTED, media_type="application/json")


def _rows(body: bytes) -> list[object]:
    document = parse(body)
    if isinstance(document, dict):
        return [document]
    if not isinstance(document, list) or not document:
        raise InvalidInput("body: expected a ticket, or a list of tickets")
    if len(document) > MAX_TICKETS:
        raise ProblemError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"{len(document):,} tickets: a request may have at most {MAX_TICKETS:,}",
        )
    return document


def _parse_ticket(row: object, now: datetime, key: ApiKey) -> Ticket | InvalidTicket:
    if not isinstance(row, dict):
        return InvalidTicket("", "is not an object with a ticket's fields")
    try:
        ticket = accept(row, now=now)
    except InvalidTicket as error:
        return error
    if key.source not in {None, ticket.source}:
        return InvalidTicket("source", f"this key may submit tickets of {key.source!r} only")
    return ticket


def _receipts(ids: Sequence[str], rejections: dict[int, Any]) -> TicketReceipts:
    """Receipts in order: `rejections` maps indexes to field and reason, `ids` fill the other positions."""
    accepted = iter(ids)
    receipts = []
    for index in range(len(ids) + len(rejections)):
        if index in rejections:
            field, reason = rejections[index]
            receipts.append(TicketReceipt(status="rejected", field=field or None, reason=reason))
        else:
            receipts.append(TicketReceipt(status="accepted", entry_id=next(accepted)))
    return TicketReceipts(accepted=len(ids), rejected=len(rejections), receipts=receipts)
