"""`/console/start`: helps to a first model. A person names labels, uploads messages and labels them by keyboard.

`/console/preflight` estimates from an uploaded export what could be automated. A trainer does the work.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from triagem.contracts.errors import InboxFull, InvalidInput
from triagem.contracts.text import plain
from triagem.db.auth import record
from triagem.db.labels import accept_proposal, change_label, label_name, list_labels, list_proposals, reject_proposal
from triagem.db.reviews.labelling import QuestionKind, labelling_state, next_question
from triagem.db.training_jobs import JobKind, cancel, find_active, newest_job, newest_jobs, request
from triagem.db.uploads import delete_upload, find_upload, store_upload
from triagem.gateway.admission import LargeBody
from triagem.gateway.console.render import address, redirect, render_page
from triagem.gateway.console.review import (
    Skipped,
    dotted_ids,
    shortcut_context,
    store_answer,
)
from triagem.gateway.console.session import Admin, Form, Reviewer, Visitor
from triagem.gateway.console.tickets import label_context
from triagem.gateway.console.upload import enqueue_upload, parse_upload
from triagem.gateway.services import Services, ServicesDep
from triagem.ops.labelling import answers_to_version, newest_version_answers, request_due_jobs
from triagem.process import TimezoneSettings
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
    skipped: Skipped = "",
    again: bool = False,
) -> Response:
    """Show the next text to label, or ask for labels or messages first. `again`: show suspicious answers instead."""
    return _page(request, services, visitor, skipped=skipped, again=again)


def _page(
    request: Request,
    services: Services,
    visitor: Visitor,
    *,
    skipped: str = "",
    again: bool = False,
    loaded: LoadSummary | None = None,
    notes: Sequence[str] = (),
) -> Response:
    """The page, with the outcome of an upload and notes about the file."""
    context = label_context(services)
    labels, state = context["labels"], labelling_state(services.database)
    ready = len(labels) > 1
    question = None
    if ready:
        question = next_question(services.database, visitor.name, skipped=dotted_ids(skipped), suspicious=again)
        request_due_jobs(services.database, state, visitor.name, visitor.actor)
    return render_page(
        request,
        "start.html",
        visitor,
        known=labels,
        question=question,
        text=plain(question.text) if question else "",
        again=again,
        skipped=skipped,
        state=state,
        ready=ready,
        proposals=list_proposals(services.database),
        model=services.current_manifest(),
        jobs=[job for job in newest_jobs(services.database, limit=5) if job.active],
        to_version=answers_to_version(state.answers, newest_version_answers(services.database)),
        loaded=loaded,
        notes=notes,
        **context,
        **shortcut_context(labels),
    )


@router.post("/start")
def answer(services: ServicesDep, visitor: Reviewer, form: Form) -> Response:
    """Store an answer, skip, or undo; then show the next text."""
    here = partial(address, "start", again=form.get("again", ""))
    if (kind := form.get("kind", "")) not in set(QuestionKind):
        raise InvalidInput("no such question")
    return store_answer(services, visitor.name, form, here, kind)


@router.post("/start/label")
def name_label(services: ServicesDep, visitor: Admin, form: Form) -> Response:
    """Add a label or change its description. Reviews that proposed it get it, unless the proposal is rejected."""
    label = label_name(form.get("name", ""))
    if form.get("action") == "reject":
        rejected = reject_proposal(services.database, label)
        record(services.database, visitor.actor, "label.reject", label, "done" if rejected else "not found")
        return redirect(address("start", message="label_rejected"))
    known = {word: other.label for other in list_labels(services.database) for word in (other.name, other.label)}
    stored = known.get(label, label)
    change_label(services.database, stored, description=form.get("description", "").strip() or label, new=True)
    accept_proposal(services.database, label)
    record(services.database, visitor.actor, "label.set", stored, "changed" if label in known else "added")
    return redirect(address("start", message="label_added"))


@router.post("/start/upload")
def upload_file(request: Request, services: ServicesDep, visitor: Admin, body: LargeBody) -> Response:
    """Put the rows of a file into the inbox, and show what was rejected and why."""
    upload = parse_upload(request.headers.get("content-type", ""), body)
    try:
        loaded, notes = enqueue_upload(upload, services.publisher, _SOURCE, TimezoneSettings().timezone)
    except InboxFull as error:
        raise InvalidInput(f"{error}; a part of the file was accepted, and uploading it again is harmless") from None
    return _page(request, services, visitor, loaded=loaded, notes=notes)


_OPTIONS: Final = ("label_column", "label_map", "by")


@router.get("/preflight")
def preflight(request: Request, services: ServicesDep, visitor: Admin) -> Response:
    """Show the form, the newest job, and its figures while they are kept."""
    job = newest_job(services.database, JobKind.PREFLIGHT)
    upload = find_upload(services.database, int(job.parameters["upload"])) if job else None
    return render_page(request, "preflight.html", visitor, job=job, figures=upload and upload.result)


@router.post("/preflight/upload")
def rate_file(http: Request, services: ServicesDep, visitor: Admin, body: LargeBody) -> Response:
    """Store the file, and request the job that rates and deletes it."""
    upload = parse_upload(http.headers.get("content-type", ""), body)
    if not upload.content:
        raise InvalidInput("the file is empty")
    if find_active(services.database, JobKind.PREFLIGHT):
        return redirect(address("preflight", message="preflight_active"))
    _delete_newest(services)
    upload_id = store_upload(services.database, upload.name, upload.content)
    options = {name: upload.fields.get(name, "").strip() for name in _OPTIONS}
    _, is_new = request(
        services.database, JobKind.PREFLIGHT, requested_by=visitor.name, parameters={"upload": upload_id, **options},
        actor=visitor.actor,
    )  # fmt: skip
    if not is_new:
        delete_upload(services.database, upload_id)
    return redirect(address("preflight", message=None if is_new else "preflight_active"))


@router.post("/preflight")
def delete(services: ServicesDep, visitor: Admin, form: Form) -> Response:  # noqa: ARG001 - checks scope and token
    """Cancel the job if it is active, and delete the file and the figures."""
    if job := find_active(services.database, JobKind.PREFLIGHT):
        cancel(services.database, job.id)
    _delete_newest(services)
    return redirect(address("preflight", message="preflight_deleted"))


def _delete_newest(services: Services) -> None:
    if job := newest_job(services.database, JobKind.PREFLIGHT):
        delete_upload(services.database, int(job.parameters["upload"]))
