"""`/console/ticket`: one ticket with its history, and a form to correct its label.

The identity is in the query string because it may contain slashes.
"""

from functools import partial
from http import HTTPStatus

from fastapi import APIRouter, Request
from fastapi.responses import Response

from triagem.contracts.text import Part, plain, segments
from triagem.contracts.ticket import identify
from triagem.db.reviews import MAX_COMMENT_CHARS
from triagem.db.tickets.forgetting import find_ticket
from triagem.db.tickets.messages import MAX_SHOWN
from triagem.gateway.console.render import address, redirect, render_page
from triagem.gateway.console.review import store_answer
from triagem.gateway.console.session import Form, Reader, Reviewer
from triagem.gateway.console.tickets import crm_link, label_context
from triagem.gateway.problems import ProblemError
from triagem.gateway.services import ServicesDep
from triagem.gateway.ticket_detail import SkippedMessages, find_detail, find_unstored

router = APIRouter()


@router.get("/ticket")
def ticket(
    request: Request,
    services: ServicesDep,
    visitor: Reader,
    *,
    source: str = "",
    id: str = "",  # noqa: A002
    skip: SkippedMessages = 0,
) -> Response:
    """Show the ticket; 404 if it is unknown or was forgotten. Without a source, search for the id."""
    if not source:
        return redirect(address("tickets", q=id))
    identity = identify(source, id)
    # Read the digest first: if the text changes before the next query, the submitted form is refused.
    stored = find_ticket(services.database, identity)
    detail = find_detail(services.database, identity, skip=skip)
    if detail is None or stored is None:
        if unstored := find_unstored(services, identity):
            return render_page(request, "unstored.html", visitor, ticket=unstored)
        raise ProblemError(HTTPStatus.NOT_FOUND, "error_404_ticket")
    parts, context = segments(detail.text or ""), label_context(services)
    return render_page(
        request, "ticket.html", visitor, known=context["labels"], ticket=detail, segments=parts,
        older=address("ticket", source=source, id=id, skip=skip + MAX_SHOWN) if detail.older_messages else None,
        text="\n".join(part.text for part in parts), own=Part.OWN, digest=stored.digest.hex(), plain=plain,
        crm_link=crm_link(services, identity, detail.metadata), max_comment=MAX_COMMENT_CHARS, **context,
    )  # fmt: skip


@router.post("/ticket")
def correct(services: ServicesDep, visitor: Reviewer, form: Form) -> Response:
    """Store a review of the text that was shown, and show the ticket again."""
    page_address = partial(address, "ticket", source=form.get("source", ""), id=form.get("id", ""))
    return store_answer(services, visitor, form, page_address)
