"""Requests, retries and responses of the gateway's clients, without I/O.

An exchange is a generator: it yields the next request or pause, is sent the reply, and returns the result.
`triagem.producer.client` has the drivers, one with and one without asyncio.
"""

from __future__ import annotations

import json
import uuid
import warnings
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from itertools import count
from random import uniform
from typing import TYPE_CHECKING, Any, Final, NotRequired, TypedDict, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, JsonValue, TypeAdapter, ValidationError

from triagem.contracts.errors import (
    AccessDenied,
    GatewayUnavailable,
    InboxFull,
    InvalidInput,
    InvalidTicket,
    TriagemError,
)
from triagem.contracts.field_errors import REASONS, first_error
from triagem.contracts.result import ChangePage, PredictResponse, ResultPage, TicketDetail, TicketReceipt
from triagem.contracts.ticket import Lane, Message, Ticket

if TYPE_CHECKING:
    import httpx2

T = TypeVar("T")

_MAX_ROWS: Final = 1000  # the gateway's limit per request
_MAX_BYTES: Final = 4_000_000  # the gateway's limit is 8 MiB
_RETRYABLE: Final = frozenset({429, 502, 503, 504})
_MAX_PAUSE_S: Final = 60.0
_POLL_S: Final = 0.5
_JSON: Final = {"Content-Type": "application/json"}


class TicketFields(TypedDict):
    """The fields of `triagem.Ticket`. Without `revised_at`, the text counts as written now."""

    source: str
    external_id: str
    text: str
    revised_at: NotRequired[datetime | None]
    metadata: NotRequired[Mapping[str, JsonValue] | None]
    message: NotRequired[Message | None]


class Unsent:
    """Warns if it is dropped before `is_sent` is true: no ticket was sent, because nobody read the receipts."""

    is_sent = False

    def __del__(self) -> None:
        if not self.is_sent:
            warnings.warn(
                "publish_many sends tickets as its receipts are read: iterate over it", RuntimeWarning, stacklevel=2
            )


def ticket_data(fields: Ticket | TicketFields) -> dict[str, Any]:
    """The fields as `Ticket` validates them: with metadata as a dict. Raises InvalidTicket if it has no fields."""
    if not isinstance(fields, Ticket | Mapping):
        raise InvalidTicket("", REASONS["model_"])
    data: dict[str, Any] = dict(fields)
    metadata = data.get("metadata")
    if isinstance(metadata, Mapping) and not isinstance(metadata, dict):
        data["metadata"] = dict(metadata)
    return data


class Receipt(TicketReceipt):
    """The gateway's answer for one ticket: accepted, so it will be classified; or rejected, with field and reason."""


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """A request to send."""

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait before the next step."""

    seconds: float


Exchange = Generator[ApiRequest | Pause, "httpx2.Response | httpx2.TransportError | None", T]


class _Receipts(BaseModel):
    receipts: list[Receipt]


class _Problem(BaseModel):
    detail: str


class _Pending(BaseModel):
    ask: str


def put(rows: list[bytes | Receipt], lane: Lane, tries: int) -> Exchange[list[Receipt]]:
    """Publish a batch. Rows rejected here (receipts) are not sent. A batch is put once, however often it is sent.

    A single ticket has no idempotency key, which would stay in Redis for a day: putting it twice is harmless.
    """
    valid = [row for row in rows if isinstance(row, bytes)]
    receipts: Iterator[Receipt] = iter(())
    if valid:
        headers = {**_JSON, "Idempotency-Key": uuid.uuid4().hex} if len(valid) > 1 else _JSON
        body = b"[" + b",".join(valid) + b"]"
        reply = yield from _send(ApiRequest("POST", "/v1/tickets", {"lane": lane}, body, headers), tries)
        if reply.status_code not in (HTTPStatus.ACCEPTED, HTTPStatus.UNPROCESSABLE_ENTITY):
            raise _error(reply)
        try:
            receipts = iter(_Receipts.model_validate_json(reply.content).receipts)
        except ValidationError:
            raise _error(reply) from None
    return [row if isinstance(row, Receipt) else next(receipts) for row in rows]


def ticket(source: str, external_id: str, tries: int) -> Exchange[TicketDetail | None]:
    """A ticket with its result and history, or None."""
    path = f"/v1/tickets/{_path_segment(source)}/{_path_segment(external_id)}"
    reply = yield from _send(ApiRequest("GET", path), tries)
    return None if reply.status_code == HTTPStatus.NOT_FOUND else _parse(TypeAdapter(TicketDetail), reply)


def page(filters: Mapping[str, object], after: str | None, tries: int) -> Exchange[ResultPage]:
    """One page of results."""
    query = {"limit": _MAX_ROWS, "after": after, **filters}
    params = {name: str(value) for name, value in query.items() if value is not None}
    reply = yield from _send(ApiRequest("GET", "/v1/results", params), tries)
    return _parse(TypeAdapter(ResultPage), reply)


def changes(after: str | None, tries: int) -> Exchange[ChangePage]:
    """One page of changes."""
    params = {"limit": str(_MAX_ROWS), **({} if after is None else {"after": after})}
    reply = yield from _send(ApiRequest("GET", "/v1/changes", params), tries)
    return _parse(TypeAdapter(ChangePage), reply)


def predict(text: str, wait_s: float, tries: int) -> Exchange[PredictResponse]:
    """The class of a text. If the gateway answers 202, poll for the result until `wait_s` have passed."""
    body = json.dumps({"text": text}).encode()
    reply = yield from _send(ApiRequest("POST", "/predict", body=body, headers=_JSON), tries)
    if reply.status_code != HTTPStatus.ACCEPTED:
        return _parse(TypeAdapter(PredictResponse), reply)
    path = _parse(TypeAdapter(_Pending), reply).ask
    for _ in range(int(wait_s / _POLL_S)):
        yield Pause(_POLL_S)
        reply = yield from _send(ApiRequest("GET", path), tries)
        if reply.status_code != HTTPStatus.NOT_FOUND:
            return _parse(TypeAdapter(PredictResponse), reply)
    raise GatewayUnavailable(f"no answer within {wait_s:g} s: it will be at {path}")


def batches(tickets: Iterable[Ticket | TicketFields]) -> Iterator[list[bytes | Receipt]]:
    """Group tickets into batches that fit into one request each."""
    batch: list[bytes | Receipt] = []
    size = 0
    for fields in tickets:
        row = _encode(fields)
        length = len(row) if isinstance(row, bytes) else 0
        if batch and (len(batch) == _MAX_ROWS or size + length > _MAX_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += length
    if batch:
        yield batch


def _encode(fields: Ticket | TicketFields) -> bytes | Receipt:
    if isinstance(fields, Ticket):
        return fields.model_dump_json().encode()
    try:
        # Only the given fields: the gateway's clock dates a text without `revised_at`.
        return Ticket.model_validate(ticket_data(fields)).model_dump_json(exclude_unset=True).encode()
    except ValidationError as error:
        name, reason = first_error(error)
    except InvalidTicket as error:
        name, reason = error.field, error.reason
    return Receipt(status="rejected", field=name or None, reason=reason)


def _send(request: ApiRequest, tries: int) -> Exchange[httpx2.Response]:
    """Send with retries of temporary failures. Raises the error that remains after the last try."""
    for attempt in count(1):
        reply = yield request
        assert reply is not None
        if not isinstance(reply, Exception) and reply.status_code not in _RETRYABLE:
            return reply
        if attempt >= tries:
            raise _error(reply)
        yield Pause(_pause_s(reply, attempt))
    raise AssertionError


def _pause_s(reply: httpx2.Response | httpx2.TransportError, attempt: int) -> float:
    """The gateway's `Retry-After`, else exponential backoff with jitter, so that clients do not return in step."""
    retry_after = "" if isinstance(reply, Exception) else reply.headers.get("retry-after", "")
    if retry_after.isdecimal():
        return min(float(retry_after), _MAX_PAUSE_S)
    return uniform(0.5, 1.0) * min(2.0 ** (attempt - 1), _MAX_PAUSE_S)


def _parse(adapter: TypeAdapter[T], reply: httpx2.Response) -> T:
    if not reply.is_success:
        raise _error(reply)
    try:
        return adapter.validate_json(reply.content)
    except ValidationError:
        raise GatewayUnavailable(
            "the server is not Triagem's gateway, or another version of it: check the URL"
        ) from None


def _error(reply: httpx2.Response | httpx2.TransportError) -> TriagemError:
    if isinstance(reply, Exception):
        url = reply.request.url.copy_with(userinfo=b"", raw_path=b"/")
        return GatewayUnavailable(f"the gateway at {url} does not answer ({type(reply).__name__}): is it running?")
    try:
        reason = _Problem.model_validate_json(reply.content).detail
    except ValidationError:
        reason = f"the gateway answered with status {reply.status_code}"
    if reply.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return AccessDenied(reason)
    if reply.status_code == HTTPStatus.TOO_MANY_REQUESTS:
        return InboxFull(reason)
    return GatewayUnavailable(reason) if reply.is_server_error else InvalidInput(reason)


def _path_segment(name: str) -> str:
    """A name as a segment of a path. A name of dots only would be read as a parent folder."""
    return quote(name, safe="", errors="replace") if name.strip(".") else "%2E" * len(name)
