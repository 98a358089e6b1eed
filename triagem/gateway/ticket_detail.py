"""`/v1/tickets/{source}/{id}`: read one ticket, or forget it."""

from http import HTTPStatus
from typing import Annotated, Final
from urllib.parse import unquote

from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel, Field
from starlette.convertors import PathConvertor, register_url_convertor

from triagem.contracts.result import TicketDetail
from triagem.contracts.ticket import Identity, identify
from triagem.db.audit import Action, record
from triagem.db.auth import ApiKey, Scope
from triagem.db.tickets.queries import find_ticket_with_history
from triagem.gateway.authentication import actor_of, require_scope
from triagem.gateway.problems import ProblemError, problem_responses
from triagem.gateway.services import ServicesDep
from triagem.ops.forget import DeletedData, forget

_PATH: Final = "/v1/tickets/"


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
    # Parsed from the raw path: after decoding, a slash in the source would look like the separator.
    sent = request.scope.get("raw_path", b"").decode("ascii", "replace").partition(_PATH)[2]
    if sent:
        source, _, external_id = (unquote(part) for part in sent.partition("/"))
    return identify(source, external_id)


_TicketIdentity = Annotated[Identity, Depends(_identity)]
_PROBLEMS = problem_responses(
    HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.SERVICE_UNAVAILABLE,
)  # fmt: skip


@router.get(
    _PATH + "{source}/{external_id:rest}",
    summary="Get one ticket",
    responses={**_PROBLEMS, **problem_responses(HTTPStatus.NOT_FOUND)},
    dependencies=[Depends(require_scope(Scope.READ))],
)
def get_ticket(services: ServicesDep, identity: _TicketIdentity) -> TicketDetail:
    """Text, current result if it has one, history and reviews, newest first. 404 until it is stored."""
    shown = find_ticket_with_history(services.database, *identity)
    if shown is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "no such ticket: unknown, not stored yet, or forgotten")
    return TicketDetail.model_validate({**shown.ticket, "history": shown.history, "reviews": shown.reviews})


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
    """Delete it everywhere and prevent its return, even if it was never stored. Same as `triagem db forget`.

    Repeating the request is harmless and deletes what was missed. It takes longer the more entries wait in the inbox.
    """
    deleted = forget(services.database, services.inbox, identity, crm=services.crm)
    record(services.database, actor_of(request, key), Action.FORGET, "/".join(identity))
    return ForgetReceipt(source=identity.source, external_id=identity.external_id, forgotten=deleted)
