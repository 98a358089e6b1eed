"""What the gateway is asked, how often, and how its answers are read: without I/O, for both clients.

A conversation is a generator: it yields what to send or how long to pause, is given what came back, and returns the
outcome. `triagem.producer.client` has the two drivers.
"""

import json
import uuid
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import count
from random import uniform
from typing import Any, Final, Literal, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from triagem.contracts.errors import AccessDenied, GatewayAway, InboxFull, InvalidInput, TriagemError
from triagem.contracts.result import Answer, Known, Page
from triagem.contracts.ticket import Lane, Ticket, complaint

T = TypeVar("T")

_MOST_ROWS: Final = 1000  # the gateway takes no more at once
_MOST_BYTES: Final = 4_000_000  # nor bodies of more than 8 MiB
_WAIT: Final = frozenset({429, 502, 503, 504})
_LONGEST_S: Final = 60.0
_ASK_AGAIN_S: Final = 0.5
_JSON: Final = {"Content-Type": "application/json"}


class Receipt(BaseModel):
    """What became of one ticket: accepted, and then it will be classified; or rejected, and why."""

    model_config = ConfigDict(frozen=True)

    status: Literal["accepted", "rejected"]
    entry_id: str | None = None
    field: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """What to send."""

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pause:
    """How long to do nothing."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Lost:
    """Nothing came back, or not all of it."""

    why: str


Talk = Generator[Request | Pause, Reply | Lost | None, T]


class _Receipts(BaseModel):
    receipts: list[Receipt]


class _Problem(BaseModel):
    detail: str


class _Later(BaseModel):
    ask: str


def put(rows: list[bytes | Receipt], lane: Lane, tries: int) -> Talk[list[Receipt]]:
    """Hand in a batch; what was rejected here is not sent. However often it is tried, it is put once.

    A ticket alone may come twice, which is harmless: a key for each would stay in Redis for a day.
    """
    good = [row for row in rows if isinstance(row, bytes)]
    receipts: Iterator[Receipt] = iter(())
    if good:
        headers = {**_JSON, "Idempotency-Key": uuid.uuid4().hex} if len(good) > 1 else _JSON
        body = b"[" + b",".join(good) + b"]"
        reply = yield from _asked(Request("POST", "/v1/tickets", {"lane": lane}, body, headers), tries)
        if reply.status not in (HTTPStatus.ACCEPTED, HTTPStatus.UNPROCESSABLE_ENTITY):
            raise _refusal(reply)
        try:
            receipts = iter(_Receipts.model_validate_json(reply.body).receipts)
        except ValidationError:
            raise _refusal(reply) from None
    return [row if isinstance(row, Receipt) else next(receipts) for row in rows]


def ticket(source: str, external_id: str, tries: int) -> Talk[Known | None]:
    """All that is known of a ticket, or None."""
    reply = yield from _asked(Request("GET", f"/v1/tickets/{_part(source)}/{_part(external_id)}"), tries)
    return None if reply.status == HTTPStatus.NOT_FOUND else _read(TypeAdapter(Known), reply)


def page(filters: Mapping[str, object], after: str | None, tries: int) -> Talk[Page]:
    """One page of results."""
    asked = {"limit": _MOST_ROWS, "after": after, **filters}
    params = {name: str(value) for name, value in asked.items() if value is not None}
    reply = yield from _asked(Request("GET", "/v1/results", params), tries)
    return _read(TypeAdapter(Page), reply)


def predict(text: str, wait_s: float, tries: int) -> Talk[Answer]:
    """A text's class; where it takes longer, asked for again until `wait_s` have passed."""
    body = json.dumps({"text": text}).encode()
    reply = yield from _asked(Request("POST", "/predict", body=body, headers=_JSON), tries)
    if reply.status != HTTPStatus.ACCEPTED:
        return _read(TypeAdapter(Answer), reply)
    where = _read(TypeAdapter(_Later), reply).ask
    for _ in range(int(wait_s / _ASK_AGAIN_S)):
        yield Pause(_ASK_AGAIN_S)
        reply = yield from _asked(Request("GET", where), tries)
        if reply.status != HTTPStatus.NOT_FOUND:
            return _read(TypeAdapter(Answer), reply)
    raise GatewayAway(f"no answer within {wait_s:g} s: it will be at {where}")


def batches(tickets: Iterable[Ticket | Mapping[str, Any]]) -> Iterator[list[bytes | Receipt]]:
    """As many tickets as fit into one request each."""
    batch: list[bytes | Receipt] = []
    size = 0
    for one in tickets:
        row = _encoded(one)
        length = len(row) if isinstance(row, bytes) else 0
        if batch and (len(batch) == _MOST_ROWS or size + length > _MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += length
    if batch:
        yield batch


def _encoded(one: Ticket | Mapping[str, Any]) -> bytes | Receipt:
    if isinstance(one, Ticket):
        return one.model_dump_json().encode()
    try:
        # Without what was not said: the gateway's clock decides when a text without a date was written.
        return Ticket.model_validate(dict(one)).model_dump_json(exclude_unset=True).encode()
    except ValidationError as error:
        where, why = complaint(error)
        return Receipt(status="rejected", field=where or None, reason=why)


def _asked(request: Request, tries: int) -> Talk[Reply]:
    """The reply, after waiting out what passes. Raises what it is when it does not pass."""
    for attempt in count(1):
        reply = yield request
        assert reply is not None
        if isinstance(reply, Reply) and reply.status not in _WAIT:
            return reply
        if attempt >= tries:
            raise _refusal(reply)
        yield Pause(_pause(reply, attempt))
    raise AssertionError


def _pause(reply: Reply | Lost, attempt: int) -> float:
    """What the gateway says, else twice as long each time, by chance so that not all come back at once."""
    said = reply.headers.get("retry-after", "") if isinstance(reply, Reply) else ""
    if said.isdecimal():
        return min(float(said), _LONGEST_S)
    return uniform(0.5, 1.0) * min(2.0 ** (attempt - 1), _LONGEST_S)


def _read(kind: TypeAdapter[T], reply: Reply) -> T:
    if not HTTPStatus.OK <= reply.status < HTTPStatus.MULTIPLE_CHOICES:
        raise _refusal(reply)
    try:
        return kind.validate_json(reply.body)
    except ValidationError:
        raise GatewayAway("what answers there is not Triagem's gateway, or another version of it") from None


def _refusal(reply: Reply | Lost) -> TriagemError:
    if isinstance(reply, Lost):
        return GatewayAway(f"the gateway does not answer ({reply.why})")
    try:
        why = _Problem.model_validate_json(reply.body).detail
    except ValidationError:
        why = f"the gateway answered with status {reply.status}"
    if reply.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return AccessDenied(why)
    if reply.status == HTTPStatus.TOO_MANY_REQUESTS:
        return InboxFull(why)
    return GatewayAway(why) if reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR else InvalidInput(why)


def _part(name: str) -> str:
    """A part of a path. Dots alone would be taken for a way up."""
    return quote(name, safe="", errors="replace") if name.strip(".") else "%2E" * len(name)
