"""`/console/ticket`: all that is known of one ticket, and correcting its label. Identities hold slashes and more, so
they stand in the query."""

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from triagem.contracts.errors import InvalidInput
from triagem.contracts.result import Known
from triagem.contracts.text import plain
from triagem.contracts.ticket import Identity, identify
from triagem.db.desk import digest_of
from triagem.db.keys import Scope
from triagem.db.queries import show
from triagem.db.reviews import Missed, judge
from triagem.gateway.console.choices import known_labels
from triagem.gateway.console.render import address, go_to, page
from triagem.gateway.console.session import Form, Reader, Reviewer, Visitor
from triagem.gateway.problems import Refused
from triagem.gateway.room import InRoom, Room

router = APIRouter()


@router.get("/ticket")
def ticket(request: Request, room: InRoom, who: Reader, *, source: str, id: str, saved: str = "") -> Response:  # noqa: A002
    """The ticket's page; 404 if there is none, or it was forgotten."""
    said = {"key": "saved", "label": saved} if saved in known_labels(room) else None
    return _page(request, room, who, identify(source, id), said)


@router.post("/ticket")
def correct(request: Request, room: InRoom, who: Reviewer, form: Form) -> Response:
    """A verdict on the text that was shown; no label: "unclear"."""
    whose = identify(form.get("source", ""), form.get("id", ""))
    label = form.get("label") or None
    if label is not None and label not in known_labels(room):
        raise InvalidInput("no such label")
    verdict = judge(room.database, whose, label, who.name, digest=_hex(form.get("digest", "")))
    if isinstance(verdict, Missed):
        return _page(request, room, who, whose, {"key": f"missed_{verdict.name.lower()}"})
    return go_to(address("ticket", source=whose.source, id=whose.external_id, saved=label))


def _page(
    request: Request, room: Room, who: Visitor, whose: Identity, said: dict[str, Any] | None = None
) -> Response:
    digest = digest_of(room.database, whose)  # first: what changes in between is noticed when it is judged
    shown = show(room.database, *whose) if who.may(Scope.READ) else None
    if shown is None or digest is None:
        raise Refused(HTTPStatus.NOT_FOUND, "")
    known = Known.model_validate({**shown.ticket, "history": shown.history, "reviews": shown.reviews})
    return page(
        request, "ticket.html", who, said=said, ticket=known, text=plain(known.text or ""), digest=digest.hex(),
        labels=known_labels(room),
    )  # fmt: skip


def _hex(given: str) -> bytes:
    try:
        return bytes.fromhex(given)
    except ValueError:
        raise InvalidInput("no such text") from None
