"""`/v1/tickets/{source}/{id}`: read one ticket, or forget it."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Final
from urllib.parse import unquote

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel, Field
from starlette.convertors import PathConvertor, register_url_convertor

from triagem.contracts.result import TicketDetail
from triagem.contracts.ticket import Identity, identify
from triagem.db import Database
from triagem.db.audit import record
from triagem.db.auth import ApiKey, Scope
from triagem.db.tickets.dead_letters import find_ticket_dead_letter
from triagem.db.tickets.queries import find_ticket_with_history
from triagem.gateway.authentication import actor_of, require_scope
from triagem.gateway.problems import NEEDS_KEY, ProblemError, problem_responses
from triagem.gateway.services import Services, ServicesDep
from triagem.inbox.erase import find_entry
from triagem.ops.forget import DeletedData, forget

_PATH: Final = "/v1/tickets/"


_PARTS: Final = ("history", "reviews", "messages", "older_history", "older_reviews", "older_messages")
# Leaves out the newest messages, to read the older ones page by page.
_NOT_FOUND: Final = "no such ticket: it is unknown or forgotten, or was just submitted and thousands wait before it"
SkippedMessages = Annotated[int, Query(ge=0, le=2**31 - 1, description="leave out this number of newest messages")]


def find_detail(database: Database, identity: Identity, *, skip: int = 0) -> TicketDetail | None:
    """A stored ticket with its history, reviews and messages; None if it is not stored."""
    stored = find_ticket_with_history(database, *identity, skip=skip)
    return (
        TicketDetail.model_validate({**stored.ticket, **{name: getattr(stored, name) for name in _PARTS}})
        if stored
        else None
    )


class _RestOfPath(PathConvertor):
    """The rest of a path, including line breaks."""

    regex = "(?s:.*)"


register_url_convertor("rest", _RestOfPath())

router = APIRouter(tags=["tickets"])


class ForgetReceipt(BaseModel):
    """The data of a ticket that was deleted, per store."""

    source: str = Field(description="the CRM")
    external_id: str = Field(description="the ticket's id in the CRM")
    forgotten: DeletedData = Field(description="what was deleted")


def _identity(
    request: Request,
    source: Annotated[str, Path(description="the CRM's name", examples=["zendesk"])],
    external_id: Annotated[
        str, Path(description="the ticket's id in the CRM; may contain slashes", examples=["4711"])
    ],
) -> Identity:
    # Split the raw path: in the decoded path, a slash in the source would look like the separator.
    sent = request.scope.get("raw_path", b"").decode("ascii", "replace").partition(_PATH)[2]
    if sent:
        source, _, external_id = (unquote(part) for part in sent.partition("/"))
    return identify(source, external_id)


_TicketIdentity = Annotated[Identity, Depends(_identity)]
_PROBLEMS = problem_responses(*NEEDS_KEY, 422)


@router.get(
    _PATH + "{source}/{external_id:rest}",
    summary="Get one ticket",
    responses={**_PROBLEMS, **problem_responses(404)},
    dependencies=[Depends(require_scope(Scope.READ))],
)
def get_ticket(services: ServicesDep, identity: _TicketIdentity, *, skip: SkippedMessages = 0) -> TicketDetail:
    """Return the text, the current result if there is one, and history and reviews, newest first.

    At most 200 messages, predictions and reviews each are returned. `older_messages` is the number of messages that
    are left out; `skip=200` returns the next page of them.

    A ticket that is not stored yet is returned without its text: with the state `waiting` if it is among the newest
    2,000 entries of its lane, or `failed` if it is among the newest 1,000 dead letters.
    """
    if detail := find_detail(services.database, identity, skip=skip) or find_unstored(services, identity):
        return detail
    raise ProblemError(HTTPStatus.NOT_FOUND, _NOT_FOUND)


def find_unstored(services: Services, identity: Identity) -> TicketDetail | None:
    """A ticket without a row, which waits or failed; None if it is not among the newest of these."""
    if entry := find_entry(services.inbox, identity):
        return _unstored(identity, "waiting", datetime.fromtimestamp(entry.put_at, UTC))
    if letter := find_ticket_dead_letter(services.database, identity):
        return _unstored(identity, "failed", letter.died_at)
    return None


def _unstored(identity: Identity, state: str, since: datetime) -> TicketDetail:
    """The detail of a ticket without a row, without the text, because the ticket may just have been forgotten."""
    nothing = {name: None for name, field in TicketDetail.model_fields.items() if field.is_required()}
    times = {"received_at": since, "revised_at": since}
    rest = {"metadata": {}, "language": "und", "revision": 0, "history": (), "reviews": (), "messages": ()}
    return TicketDetail.model_validate({**nothing, **identity._asdict(), **times, **rest, "state": state})


@router.delete(
    _PATH + "{source}/{external_id:rest}",
    summary="Forget one ticket",
    responses=_PROBLEMS,
)
def forget_ticket(
    request: Request,
    services: ServicesDep,
    identity: _TicketIdentity,
    key: Annotated[ApiKey, Depends(require_scope(Scope.ADMIN))],
) -> ForgetReceipt:
    """Delete a ticket everywhere and refuse it from now on, even if it was never stored. See `triagem db forget`.

    Repeating the request is harmless and deletes what an earlier one missed. Its duration grows with the inbox.
    """
    deleted = forget(services.database, services.inbox, identity, crm=services.crm)
    record(services.database, actor_of(request, key), "ticket.forget", "/".join(identity))
    return ForgetReceipt(source=identity.source, external_id=identity.external_id, forgotten=deleted)
