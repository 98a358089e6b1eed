"""`/console/review`: blind review of one text at a time with keyboard shortcuts. A text is leased to one reviewer."""

from datetime import datetime, timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from triagem.contracts.errors import InvalidInput
from triagem.contracts.text import plain
from triagem.contracts.ticket import identify
from triagem.db.reviews import (
    ReviewRejected,
    ReviewTask,
    assigned_task,
    draw_tasks,
    last_review,
    lease_disputed_task,
    record_review,
    undo_review,
)
from triagem.db.tickets.thread import find_thread
from triagem.gateway.console.overview import current_model
from triagem.gateway.console.render import address, redirect, render_page
from triagem.gateway.console.session import Form, Reviewer, row_id
from triagem.gateway.console.shortcuts import KeyboardShortcuts, ReviewAction
from triagem.gateway.console.tickets import known_labels, label_context
from triagem.gateway.services import Services, ServicesDep

_MAX_AGE: Final = timedelta(days=30)
MAX_SKIPPED: Final = 50

_FLASH_KEYS: Final = {"undone", "nothing_to_undo", "rejected_changed", "rejected_gone"}

router = APIRouter()

# Skipped tickets are kept in the URL only, so they come again in a new session.
Skipped = Annotated[str, Query(max_length=1000, pattern=r"^([0-9]{1,18}(\.[0-9]{1,18})*)?$")]


@router.get("/review")
def review(
    request: Request, services: ServicesDep, visitor: Reviewer, skipped: Skipped = "", message: str = ""
) -> Response:
    """The text leased to this reviewer, or the next one."""
    excluded = dotted_ids(skipped)
    if current_model(services) is None:
        return redirect(address("start"))
    task = assigned_task(services.database, visitor.name, exclude=excluded)
    task = task or _next(services, visitor.name, excluded)
    context = label_context(services)
    labels = context["labels"]
    shortcuts = KeyboardShortcuts(labels)
    flash = {"key": message} if message in _FLASH_KEYS else None
    if message.startswith("saved:") and (label := message.removeprefix("saved:")) in labels:
        flash = {"key": "saved", "label": label}
    shown_actions = (ReviewAction.UNCLEAR, ReviewAction.SKIP, ReviewAction.UNDO)
    return render_page(
        request,
        "review.html",
        visitor,
        flash=flash,
        task=task,
        text=plain(task.text) if task else "",
        messages=find_thread(services.database, task.ticket_id) if task else [],
        plain=plain,
        skipped=skipped,
        keys={label: shortcuts.labels[label].split("/") for label in labels},
        **context,
        actions={action.value: shortcuts.actions[action] for action in shown_actions},
    )


@router.post("/review")
def submit_review(services: ServicesDep, visitor: Reviewer, form: Form) -> Response:
    """Store a label or "unclear", skip, or undo; then show the next text."""
    skipped, action = form.get("skipped", ""), form.get("action", "")
    if action == ReviewAction.UNDO:
        review = last_review(services.database, visitor.name)
        undone = review is not None and undo_review(services.database, review)
        return redirect(address("review", skipped=skipped, message="undone" if undone else "nothing_to_undo"))
    if action == ReviewAction.SKIP:
        ids = [*dotted_ids(skipped), *dotted_ids(form.get("ticket_id", ""))][-MAX_SKIPPED:]
        return redirect(address("review", skipped=".".join(map(str, ids))))
    label = None if action == ReviewAction.UNCLEAR else form.get("label", "")
    if label is not None and label not in known_labels(services):
        raise InvalidInput("no such label")
    identity = identify(form.get("source", ""), form.get("id", ""))
    try:
        digest = bytes.fromhex(form.get("digest", ""))
    except ValueError:
        raise InvalidInput("no such text") from None
    outcome = record_review(services.database, identity, label, visitor.name, digest=digest)
    if isinstance(outcome, ReviewRejected):
        message = f"rejected_{outcome.name.lower()}"
    else:
        message = f"saved:{label}" if label else ""
    return redirect(address("review", skipped=skipped, message=message))


def _next(services: Services, reviewer: str, excluded: list[int]) -> ReviewTask | None:
    since: datetime = services.now() - _MAX_AGE
    version = services.registry.current().version
    if disputed := lease_disputed_task(services.database, reviewer, since=since):
        return disputed
    tasks = draw_tasks(services.database, reviewer, 1, version=version, since=since)
    return next((task for task in tasks if task.ticket_id not in excluded), None)


def dotted_ids(dotted: str) -> list[int]:
    """The ticket ids of a query parameter such as `4.17`."""
    return [ticket_id for part in dotted.split(".") if (ticket_id := row_id(part)) is not None][-MAX_SKIPPED:]
