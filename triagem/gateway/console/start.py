"""`/console/start`: helps to a first model. A person names labels, uploads messages and labels them by keyboard."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from triagem.contracts.errors import InboxFull, InvalidInput
from triagem.contracts.text import plain
from triagem.db.audit import record
from triagem.db.labels import change_label, label_name, list_labels, list_proposals, reject_proposal, stored_label
from triagem.db.model_versions import had_model
from triagem.db.reviews.labelling import QuestionKind, labelling_state, next_question
from triagem.gateway.admission import LargeBody
from triagem.gateway.console.render import address, page_zone, redirect, render_page
from triagem.gateway.console.review import (
    DottedIds,
    dotted_ids,
    shortcut_context,
    store_answer,
)
from triagem.gateway.console.session import Admin, Form, Reviewer, Visitor
from triagem.gateway.console.tickets import label_context
from triagem.gateway.console.upload import enqueue_upload, parse_upload
from triagem.gateway.services import Services, ServicesDep
from triagem.ops.labelling import request_due_questions, request_due_version, version_state
from triagem.producer.load import LoadSummary

_SOURCE: Final = "upload"

router = APIRouter()


@router.get("/start")
@router.get("/start/upload")  # the answer to an upload has this address; a language may be chosen there
def start(
    request: Request,
    services: ServicesDep,
    visitor: Reviewer,
    *,
    skipped: DottedIds = "",
    given: DottedIds = "",
    again: bool = False,
) -> Response:
    """Show the next text to label, or ask for labels or messages first. `again`: show suspicious answers instead."""
    return _page(request, services, visitor, skipped=skipped, given=given, again=again)


def _page(
    request: Request,
    services: Services,
    visitor: Visitor,
    *,
    skipped: str = "",
    given: str = "",
    again: bool = False,
    loaded: LoadSummary | None = None,
    notes: Sequence[str] = (),
) -> Response:
    """The page, with the outcome of an upload and notes about the file."""
    context = label_context(services)
    labels, state = context["labels"], labelling_state(services.database, visitor.name)
    ready = len(labels) > 1
    question = None
    if ready:
        question = next_question(services.database, visitor.name, skipped=dotted_ids(skipped), suspicious=again)
        request_due_version(services.database, services.registry, visitor.name, visitor.actor)
        request_due_questions(services.database, state, visitor.name)
    versions = version_state(services.database, services.registry, state.answers)
    return render_page(
        request,
        "start.html",
        visitor,
        known=labels,
        question=question,
        text=plain(question.text) if question else "",
        again=again,
        skipped=skipped,
        given=given,
        state=state,
        few=state.left_out(labels),
        ready=ready,
        proposals=list_proposals(services.database),
        versions=versions,
        lost=versions.model is None and had_model(services.database),
        loaded=loaded,
        notes=notes,
        **context,
        **shortcut_context(labels),
    )


@router.post("/start")
def answer(services: ServicesDep, visitor: Reviewer, form: Form) -> Response:
    """Store an answer, skip, or undo; then show the next text."""
    page_address = partial(address, "start", again=form.get("again", ""))
    if (kind := form.get("kind", "")) not in set(QuestionKind):
        raise InvalidInput("no such question")
    return store_answer(services, visitor, form, page_address, kind)


@router.post("/start/label")
def name_label(services: ServicesDep, visitor: Admin, form: Form) -> Response:
    """Add a label or change its description. Reviews that proposed it get it, unless the proposal is rejected."""
    label = label_name(form.get("name", ""))
    if form.get("action") == "reject":
        rejected = reject_proposal(services.database, label)
        record(services.database, visitor.actor, "label.reject", label, "done" if rejected else "not found")
        return redirect(address("start", message="label_rejected"))
    choices = services.known_labels()
    details = {label.label: label for label in list_labels(services.database)}
    stored = stored_label(services.database, label, choices)
    known = stored in details or stored in choices
    description = form.get("description", "").strip() or None
    change_label(services.database, stored, description=description, retired=False, new=True)
    before = details.get(stored)
    if not known or (before and (before.retired_at or description not in {None, before.description})):
        record(services.database, visitor.actor, "label.set", stored, "changed" if known else "added")
    if not known:
        return redirect(address("start", message="label_added"))
    replaced = description and stored in details and details[stored].description not in {"", description}
    return redirect(address("start", message="label_described" if replaced else "label_exists", about=stored))


@router.post("/start/upload")
def upload_file(request: Request, services: ServicesDep, visitor: Admin, body: LargeBody) -> Response:
    """Put the rows of a file into the inbox, and show what was rejected and why."""
    upload = parse_upload(request.headers.get("content-type", ""), body)
    try:
        loaded, notes = enqueue_upload(upload, services.publisher, _SOURCE, page_zone().key)
    except InboxFull as error:
        raise InvalidInput(f"{error}; a part of the file was accepted, and uploading it again is harmless") from None
    return _page(request, services, visitor, loaded=loaded, notes=notes)
