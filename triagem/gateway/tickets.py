"""`POST /v1/tickets`: submits one ticket or a list; answers with a receipt per ticket after Redis has stored all."""

import json
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from http import HTTPStatus
from typing import Annotated, Any, Final, TypeVar

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from triagem.contracts.errors import InvalidInput, InvalidTicket, TriagemError
from triagem.contracts.field_errors import explain
from triagem.contracts.result import TicketReceipt
from triagem.contracts.ticket import MESSAGE_FIELDS, Author, Lane, OnReply, Ticket, accept
from triagem.contracts.wire import encode
from triagem.db import auth
from triagem.db.auth import ApiKey
from triagem.gateway.admission import LargeBody, read_body
from triagem.gateway.authentication import BEARER, require_scope
from triagem.gateway.intake import Intake
from triagem.gateway.problems import NEEDS_KEY, ProblemError, error_response, problem_responses
from triagem.gateway.services import Services
from triagem.inbox import Batch, Idempotency
from triagem.producer.crm.payload import parse

PATH: Final = "/v1/tickets"
MAX_TICKETS: Final = 1000
_MAX_INLINE: Final = 16_384  # bytes; a larger body is parsed in a thread, so that the event loop goes on
_KEY: Final = require_scope(auth.Scope.ENQUEUE)

Rejections = dict[int, tuple[str, str]]  # field and reason, by index
T = TypeVar("T")

LaneParameter = Annotated[Lane, Query(description="`live` for customers who are waiting, `bulk` for everything else")]
IdempotencyKey = Annotated[
    str | None,
    Header(min_length=1, max_length=255, description="a repeated key with the same body gets the same receipts"),
]
_LANE: Final = TypeAdapter[Lane](LaneParameter)
_IDEMPOTENCY_KEY: Final = TypeAdapter[str | None](IdempotencyKey)

router = APIRouter(tags=["tickets"])


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
        described = {key: message["properties"][name].get(key) for key in ("default", "description")}
        message["properties"][name] = {key: value for key, value in described.items() if value is not None}
        message["properties"][name] |= {"type": "string", "enum": [*values]}
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
    PATH,
    status_code=HTTPStatus.ACCEPTED,
    response_model=TicketReceipts,
    summary="Submit tickets",
    openapi_extra={"requestBody": _REQUEST_BODY},
    responses=problem_responses(*NEEDS_KEY, 408, 413, 422),
)
async def enqueue_tickets(
    request: Request,
    key: Annotated[ApiKey, Depends(_KEY)],
    body: LargeBody,
    *,
    lane: LaneParameter = Lane.LIVE,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Submit one ticket or up to 1,000. With 202, Redis has stored each ticket whose receipt says `accepted`.

    An invalid ticket does not affect the others. If none is accepted, the response is 422 with the receipts.
    Submitting a ticket twice is harmless: it is stored once, and an unchanged text is not classified again.
    """
    services: Services = request.app.state.services
    now = services.now()
    if len(body) <= _MAX_INLINE:
        payloads, rejections = _read(body, now, key)
    else:  # it would block the event loop
        payloads, rejections = await run_in_threadpool(_read, body, now, key)
    request.state.rows = len(payloads) + len(rejections)
    if not payloads:
        reason, more = ": ".join(filter(None, rejections[0])), {"receipts": _receipts([], rejections)}
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, f"no ticket was accepted: {reason}", more=more)
    idempotency = None
    if idempotency_key is not None:
        idempotency = Idempotency(
            key=f"{key.id}:{sha256(idempotency_key.encode()).hexdigest()}",
            fingerprint=sha256(f"{lane}\n".encode() + body).digest(),
            content=json.dumps(list(rejections.items())).encode(),
            ttl_s=services.settings.idempotency_s,
        )
    intake: Intake = request.app.state.intake
    record = await intake.put(lane, Batch(payloads, request.state.request_id, idempotency))
    if idempotency is None:
        return _accepted(record.ids, rejections)
    if record.fingerprint != idempotency.fingerprint:
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY, "this Idempotency-Key was already used with another body or lane"
        )
    return _accepted(record.ids, dict(json.loads(record.content)))


class DirectTickets:
    """Middleware that answers `POST /v1/tickets`: FastAPI's routing and resolution took most of a request's time.

    It calls `enqueue_tickets` with the arguments that FastAPI would resolve, in its order. The route describes it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] != PATH:
            await self._app(scope, receive, send)
            return
        scope["route"] = router.routes[0]
        try:
            response = await _enqueue(Request(scope, receive))
        except (TriagemError, HTTPException) as error:
            response = error_response(error)
        await response(scope, receive, send)


async def _enqueue(request: Request) -> Response:
    key = await _KEY(request, await BEARER(request))
    services: Services = request.app.state.services
    body = await read_body(request, services.settings.max_body_bytes)
    lane = request.query_params.get("lane") if request.scope["query_string"] else None
    return await enqueue_tickets(
        request,
        key,
        body,
        lane=Lane.LIVE if lane is None else _parameter("query.lane", _LANE, lane),
        idempotency_key=_parameter(
            "header.idempotency-key", _IDEMPOTENCY_KEY, request.headers.get("idempotency-key")
        ),
    )


def _parameter(name: str, adapter: TypeAdapter[T], value: str | None) -> T:
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, f"{name}: {explain(error.errors()[0])}") from None


def _accepted(ids: Sequence[bytes], rejections: Rejections) -> Response:
    """The response, with the fields of TicketReceipts. Creating that object took a twentieth of a request's time."""
    receipts = _receipts(ids, rejections)
    body = to_json({"accepted": len(ids), "rejected": len(rejections), "receipts": receipts})
    return Response(body, HTTPStatus.ACCEPTED, media_type="application/json")


def _rows(body: bytes) -> list[object]:
    document = parse(body)
    if isinstance(document, dict):
        return [document]
    if not isinstance(document, list):
        raise InvalidInput("body: expected a ticket, or a list of tickets")
    if not document:
        raise InvalidInput("body: the list is empty: send at least one ticket")
    if len(document) > MAX_TICKETS:
        raise ProblemError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"{len(document):,} tickets: a request may have at most {MAX_TICKETS:,}",
        )
    return document


def _read(body: bytes, now: datetime, key: ApiKey) -> tuple[list[bytes], Rejections]:
    """The payloads of a body's valid tickets, and the errors of the others."""
    payloads, rejections = list[bytes](), Rejections()
    for index, row in enumerate(_rows(body)):
        try:
            payloads.append(encode(_accept(row, now, key)))
        except InvalidTicket as error:
            rejections[index] = error.field, error.reason
    return payloads, rejections


def _accept(row: object, now: datetime, key: ApiKey) -> Ticket:
    if not isinstance(row, dict):
        raise InvalidTicket("", "is not an object with a ticket's fields")
    ticket = accept(row, now=now)
    if key.source not in {None, ticket.source}:
        raise InvalidTicket("source", f"this key may submit tickets of {key.source!r} only")
    return ticket


def _receipts(ids: Sequence[bytes], rejections: Rejections) -> list[dict[str, str]]:
    """The fields of TicketReceipts: `rejections` maps indexes to field and reason, `ids` fill the other positions."""
    accepted = iter(ids)
    receipts = []
    for index in range(len(ids) + len(rejections)):
        if index in rejections:
            field, reason = rejections[index]
            receipts.append({"status": "rejected", **({"field": field} if field else {}), "reason": reason})
        else:
            receipts.append({"status": "accepted", "entry_id": next(accepted).decode()})
    return receipts
