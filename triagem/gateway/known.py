"""`/v1/tickets/{source}/{id}`: what is known of one ticket, and forgetting it."""

from http import HTTPStatus
from typing import Annotated, Final
from urllib.parse import unquote

from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel
from starlette.convertors import PathConvertor, register_url_convertor

from triagem.contracts.result import Known
from triagem.contracts.ticket import Identity, identify
from triagem.db.keys import Scope
from triagem.db.queries import show
from triagem.gateway.forget import Forgotten, forget
from triagem.gateway.guard import requires
from triagem.gateway.problems import Refused, answers
from triagem.gateway.room import InRoom

_PATH: Final = "/v1/tickets/"


class _Rest(PathConvertor):
    """The rest of a path, also where it holds line breaks."""

    regex = "(?s:.*)"


register_url_convertor("rest", _Rest())

router = APIRouter(tags=["tickets"])


class Gone(BaseModel):
    """What was deleted of a ticket, by place."""

    source: str
    external_id: str
    forgotten: Forgotten


def _whose(
    request: Request,
    source: Annotated[str, Path(description="the CRM's name", examples=["zendesk"])],
    external_id: Annotated[str, Path(description="the ticket's id there; may hold slashes", examples=["4711"])],
) -> Identity:
    # From the path as it was sent: once decoded, a slash in the source would end it.
    sent = request.scope.get("raw_path", b"").decode("ascii", "replace").partition(_PATH)[2]
    if sent:
        source, _, external_id = (unquote(part) for part in sent.partition("/"))
    return identify(source, external_id)


_Whose = Annotated[Identity, Depends(_whose)]
_PROBLEMS = answers(
    HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.SERVICE_UNAVAILABLE,
)  # fmt: skip


@router.get(
    _PATH + "{source}/{external_id:rest}",
    summary="One ticket",
    responses={**_PROBLEMS, **answers(HTTPStatus.NOT_FOUND)},
    dependencies=[Depends(requires(Scope.READ))],
)
def known(room: InRoom, whose: _Whose) -> Known:
    """Its text, current result, history and reviews, newest first. 404 also until it is classified."""
    shown = show(room.database, *whose)
    if shown is None:
        raise Refused(HTTPStatus.NOT_FOUND, "no such ticket is stored: unknown, not classified yet, or forgotten")
    return Known.model_validate({**shown.ticket, "history": shown.history, "reviews": shown.reviews})


@router.delete(
    _PATH + "{source}/{external_id:rest}",
    summary="Forget one ticket",
    responses=_PROBLEMS,
    dependencies=[Depends(requires(Scope.ADMIN))],
)
def forgotten(room: InRoom, whose: _Whose) -> Gone:
    """Deletes it everywhere and keeps it from coming back, also one that was never stored; as `triagem db forget`.

    Asking again finds what was missed, and is harmless. Its length grows with what waits in the inbox.
    """
    done = forget(room.database, room.inbox, whose)
    return Gone(source=whose.source, external_id=whose.external_id, forgotten=done)
