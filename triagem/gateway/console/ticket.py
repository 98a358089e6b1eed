"""`/console/ticket`: one ticket with its history, and a form to correct its label.

The identity is in the query string because it may contain slashes.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from triagem.contracts.errors import InvalidInput
from triagem.contracts.result import TicketDetail
from triagem.contracts.text import Part, plain, segments
from triagem.contracts.ticket import Identity, identify
from triagem.db.auth import Scope
from triagem.db.reviews import ReviewRejected, record_review
from triagem.db.tickets.queries import current_digest, find_ticket_with_history
from triagem.gateway.console.render import address, redirect, render_page
from triagem.gateway.console.session import Form, Reader, Reviewer, Visitor
from triagem.gateway.console.tickets import known_labels, label_context
from triagem.gateway.problems import ProblemError
from triagem.gateway.services import Services, ServicesDep

router = APIRouter()


@router.get("/ticket")
def ticket(
    request: Request,
    services: ServicesDep,
    visitor: Reader,
    *,
    source: str = "",
    id: str = "",  # noqa: A002
    saved: str = "",
) -> Response:
    """The ticket's page; 404 if it does not exist or was forgotten. Without a source, a search for the id."""
    if not source:
        return redirect(address("tickets", q=id))
    flash = {"key": "saved", "label": saved} if saved in known_labels(services) else None
    return _ticket_page(request, services, visitor, identify(source, id), flash)


@router.post("/ticket")
def correct(request: Request, services: ServicesDep, visitor: Reviewer, form: Form) -> Response:
    """Store a review of the text that was stored. No label means "unclear"."""
    identity = identify(form.get("source", ""), form.get("id", ""))
    label = form.get("label") or None
    if label is not None and label not in known_labels(services):
        raise InvalidInput("no such label")
    outcome = record_review(
        services.database, identity, label, visitor.name, digest=_from_hex(form.get("digest", "")),
        comment=form.get("comment", ""),
    )  # fmt: skip
    if isinstance(outcome, ReviewRejected):
        return _ticket_page(request, services, visitor, identity, {"key": f"rejected_{outcome.name.lower()}"})
    return redirect(address("ticket", source=identity.source, id=identity.external_id, saved=label))


def _ticket_page(
    request: Request, services: Services, visitor: Visitor, identity: Identity, flash: dict[str, Any] | None = None
) -> Response:
    # The digest is read first, so that a change in between is detected on submit.
    digest = current_digest(services.database, identity)
    stored = find_ticket_with_history(services.database, *identity) if visitor.may(Scope.READ) else None
    if stored is None or digest is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "")
    detail = TicketDetail.model_validate(
        {**stored.ticket, "history": stored.history, "reviews": stored.reviews, "messages": stored.messages}
    )
    parts = segments(detail.text or "")
    return render_page(
        request, "ticket.html", visitor, flash=flash, ticket=detail, segments=parts,
        text="\n".join(part.text for part in parts), own=Part.OWN, digest=digest.hex(),
        plain=plain, crm_link=crm_link(services, identity, detail.metadata), **label_context(services),
    )  # fmt: skip


def crm_link(services: Services, ticket: Identity, metadata: Mapping[str, Any] | None = None) -> str | None:
    """The ticket's page in the CRM: the metadata's `url`, else as TRIAGEM_CRM_FILE says; None if neither is known."""
    url = str((metadata or {}).get("url", ""))
    if url.startswith(("https://", "http://")):
        return url
    source = services.crm.sources.get(ticket.source)
    return source.link(ticket.external_id) if source else None


def _from_hex(value: str) -> bytes:
    try:
        return bytes.fromhex(value)
    except ValueError:
        raise InvalidInput("no such text") from None
