"""`/console/start`: from no labels to a first model. Name the labels, upload messages, and label them by keyboard."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from triagem.contracts.errors import InboxFull, InvalidInput
from triagem.contracts.text import plain
from triagem.contracts.ticket import identify
from triagem.db.auth import Scope
from triagem.db.labels import accept_proposal, change_label, list_labels, list_proposals
from triagem.db.reviews import ReviewRejected, last_review, record_review, undo_review
from triagem.db.reviews.labelling import QuestionKind, labelling_state, next_question
from triagem.db.training_jobs import newest_jobs
from triagem.gateway.console.overview import current_model
from triagem.gateway.console.render import address, redirect, render_page
from triagem.gateway.console.review import MAX_SKIPPED, Skipped, dotted_ids, label_from_form
from triagem.gateway.console.session import Form, Reviewer, require_visitor
from triagem.gateway.console.shortcuts import KeyboardShortcuts, ReviewAction
from triagem.gateway.console.tickets import label_context
from triagem.gateway.console.upload import Upload, enqueue_upload, read_upload
from triagem.gateway.services import ServicesDep
from triagem.ops.labelling import answers_to_version, newest_version_answers, request_due_jobs

_FLASH_KEYS: Final = {"undone", "nothing_to_undo", "rejected_changed", "rejected_gone", "label_added"}
_SOURCE: Final = "upload"

router = APIRouter()


@router.get("/start")
def start(
    request: Request,
    services: ServicesDep,
    visitor: Reviewer,
    *,
    skipped: Skipped = "",
    message: str = "",
    accepted: int | None = None,
    rejected: int = 0,
    again: bool = False,
) -> Response:
    """The next text to label, or what is missing: labels or messages. `again`: suspicious answers."""
    context = label_context(services)
    labels, state = context["labels"], labelling_state(services.database)
    ready = len(labels) > 1
    question = None
    if ready:
        question = next_question(services.database, visitor.name, skipped=dotted_ids(skipped), suspicious=again)
        request_due_jobs(services.database, state, visitor.name)
    flash: dict[str, Any] | None = {"key": message} if message in _FLASH_KEYS else None
    if message.startswith("saved:") and (label := message.removeprefix("saved:")) in labels:
        flash = {"key": "saved", "label": label}
    if accepted is not None:
        flash = {"key": "uploaded", "accepted": accepted, "rejected": rejected}
    shortcuts = KeyboardShortcuts(labels)
    shown_actions = (ReviewAction.UNCLEAR, ReviewAction.SKIP, ReviewAction.UNDO)
    return render_page(
        request,
        "start.html",
        visitor,
        flash=flash,
        question=question,
        text=plain(question.text) if question else "",
        again=again,
        skipped=skipped,
        state=state,
        ready=ready,
        proposals=list_proposals(services.database),
        model=current_model(services),
        jobs=[job for job in newest_jobs(services.database, limit=5) if job.active],
        to_version=answers_to_version(state.answers, newest_version_answers(services.database)),
        keys={label: shortcuts.labels[label].split("/") for label in labels},
        actions={action.value: shortcuts.actions[action] for action in shown_actions},
        **context,
    )


@router.post("/start")
def answer(services: ServicesDep, visitor: Reviewer, form: Form) -> Response:
    """Store an answer, skip, or undo; then show the next text."""
    skipped, action, again = form.get("skipped", ""), form.get("action", ""), form.get("again", "")
    if action == ReviewAction.UNDO:
        review = last_review(services.database, visitor.name)
        undone = review is not None and undo_review(services.database, review)
        message = "undone" if undone else "nothing_to_undo"
        return redirect(address("start", skipped=skipped, message=message, again=again))
    if action == ReviewAction.SKIP:
        ids = [*dotted_ids(skipped), *dotted_ids(form.get("ticket_id", ""))][-MAX_SKIPPED:]
        return redirect(address("start", skipped=".".join(map(str, ids)), again=again))
    label = None if action == ReviewAction.UNCLEAR else form.get("label", "")
    if label is not None and label not in label_context(services)["labels"]:
        raise InvalidInput("no such label")
    if (kind := form.get("kind", "")) not in set(QuestionKind):
        raise InvalidInput("no such question")
    try:
        digest = bytes.fromhex(form.get("digest", ""))
    except ValueError:
        raise InvalidInput("no such text") from None
    identity = identify(form.get("source", ""), form.get("id", ""))
    outcome = record_review(services.database, identity, label, visitor.name, digest=digest, kind=kind)
    rejected = isinstance(outcome, ReviewRejected)
    message = f"rejected_{outcome.name.lower()}" if isinstance(outcome, ReviewRejected) else f"saved:{label}"
    return redirect(address("start", skipped=skipped, message=message if label or rejected else "", again=again))


@router.post("/start/label", dependencies=[Depends(require_visitor(Scope.ADMIN))])
def name_label(services: ServicesDep, form: Form) -> Response:
    """Add a label, or change its description. Reviews that proposed the label get it."""
    label = label_from_form(form.get("name", ""))
    known = {word: stored.label for stored in list_labels(services.database) for word in (stored.name, stored.label)}
    change_label(
        services.database, known.get(label, label), description=form.get("description", "").strip() or label, new=True
    )
    accept_proposal(services.database, label)
    return redirect(address("start", message="label_added"))


@router.post("/start/upload", dependencies=[Depends(require_visitor(Scope.ADMIN))])
def upload_file(services: ServicesDep, upload: Annotated[Upload, Depends(read_upload)]) -> Response:
    """Put the rows of a file into the inbox."""
    try:
        summary = enqueue_upload(upload, services.publisher, _SOURCE)
    except InboxFull as error:
        raise InvalidInput(f"{error}; a part of the file was accepted, and uploading it again is harmless") from None
    return redirect(address("start", accepted=summary.accepted, rejected=len(summary.rejected)))
