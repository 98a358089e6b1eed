"""`/console/review`: blind review of one text at a time with keyboard shortcuts. A text is leased to one reviewer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from enum import StrEnum
from functools import partial
from pathlib import Path
from string import ascii_lowercase
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from markdown_it import MarkdownIt
from markupsafe import Markup
from pydantic import Field

from triagem.contracts.errors import InvalidInput
from triagem.contracts.text import plain
from triagem.contracts.ticket import Identity, identify
from triagem.db.labels import label_name, stored_label
from triagem.db.reviews import (
    MAX_COMMENT_CHARS,
    MAX_COUNTED,
    QueueFilters,
    ReviewRejected,
    ReviewTask,
    assigned_task,
    draw_tasks,
    lease_disputed_task,
    queue_length,
    record_review,
    release_task,
    undo_review,
)
from triagem.db.tickets.messages import Thread, read_thread
from triagem.gateway.console.render import address, page_zone, redirect, render_page
from triagem.gateway.console.session import Form, Reviewer, Visitor, row_id
from triagem.gateway.console.tickets import crm_link, label_context
from triagem.gateway.results import FilterText
from triagem.gateway.services import Services, ServicesDep
from triagem.ops.labelling import request_due_version
from triagem.settings import Settings


class ReviewAction(StrEnum):
    """An action on a text other than choosing a label."""

    UNCLEAR = "unclear"
    SKIP = "skip"
    UNDO = "undo"


# Per action: a letter, used unless a label starts with it, and the key used then.
_ACTION_KEYS: Final = {
    ReviewAction.UNCLEAR: ("u", "0"),
    ReviewAction.SKIP: ("s", " "),
    ReviewAction.UNDO: ("b", "\x7f"),
}
_PROPOSE: Final = "propose"
_MARKDOWN: Final = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
_MAX_AGE: Final = timedelta(days=30)
_MAX_IDS: Final = 50


router = APIRouter()


class ReviewSettings(Settings, used_by="gateway"):
    """Settings of the review page."""

    guidelines_file: Path | None = Field(default=None, description="Markdown that reviewers see next to a text")


# The tickets that were skipped and the reviews that were given during this visit of the page. They are stored in the
# URL only: a new visit shows skipped tickets again, and undoes nothing of an earlier one.
DottedIds = Annotated[str, Query(max_length=1000)]


def _queue(source: FilterText = "", language: FilterText = "", label: FilterText = "") -> QueueFilters:
    return QueueFilters(source.strip() or None, language.strip().lower() or None, label or None)


_Queue = Annotated[QueueFilters, Depends(_queue)]


@router.get("/review")
def review(
    request: Request,
    services: ServicesDep,
    visitor: Reviewer,
    queue: _Queue,
    *,
    skipped: DottedIds = "",
    given: DottedIds = "",
) -> Response:
    """The text leased to this reviewer, or the next one of the queue."""
    excluded = dotted_ids(skipped)
    if (version := services.current_version()) is None:
        return redirect(address("start"))
    task = assigned_task(services.database, visitor.name, filters=queue, exclude=excluded)
    task = task or _next(services, visitor.name, version, queue, excluded)
    since, zone = services.now() - _MAX_AGE, page_zone().key
    today, waiting = queue_length(services.database, visitor.name, queue, since=since, zone=zone)
    context = label_context(services)
    labels = context["labels"]
    thread = Thread([], 0)
    guidelines, guidelines_problem, path = None, None, ReviewSettings().guidelines_file
    if task and path:
        try:
            guidelines = _as_html(read_guidelines(path))
        except InvalidInput as error:
            guidelines_problem = str(error)
    if task:
        with services.database.autocommit() as connection:
            thread = read_thread(connection, task.ticket_id)
    return render_page(
        request,
        "review.html",
        visitor,
        known=labels,
        task=task,
        text=plain(task.text) if task else "",
        messages=thread.messages,
        older_messages=thread.not_shown,
        plain=plain,
        skipped=skipped,
        given=given,
        queue=asdict(queue),
        today=today,
        waiting=waiting,
        max_counted=MAX_COUNTED,
        guidelines=guidelines,
        guidelines_problem=guidelines_problem,
        crm_link=crm_link(services, Identity(task.source, task.external_id)) if task else None,
        max_comment=MAX_COMMENT_CHARS,
        **context,
        **shortcut_context(labels),
    )


@router.post("/review")
def submit_review(services: ServicesDep, visitor: Reviewer, queue: _Queue, form: Form) -> Response:
    """Store a label, "unclear" or a proposal, skip, or undo; then show the next text of the queue."""
    return store_answer(services, visitor, form, partial(address, "review", **asdict(queue)))


def store_answer(
    services: Services,
    visitor: Visitor,
    form: Mapping[str, str],
    page_address: Callable[..., str],
    kind: str | None = None,
) -> Response:
    """Store, skip or undo, as the form says, and show the page again. `kind`: see `record_review`."""
    reviewer, action = visitor.name, form.get("action", "")
    skipped, given = dotted_ids(form.get("skipped", "")), dotted_ids(form.get("given", ""))
    if action == ReviewAction.UNDO:
        undone = bool(given) and undo_review(services.database, given.pop(), reviewer)
        message = "undone" if undone else "nothing_to_undo"
        return redirect(page_address(skipped=_dotted(skipped), given=_dotted(given), message=message))
    if action == ReviewAction.SKIP:
        for ticket_id in dotted_ids(form.get("ticket_id", "")):
            release_task(services.database, reviewer, ticket_id)
            skipped.append(ticket_id)
        return redirect(page_address(skipped=_dotted(skipped), given=_dotted(given)))
    known = services.known_labels()
    label = None if action == ReviewAction.UNCLEAR else form.get("label", "")
    proposal, saved = None, "saved" if label else "saved_unclear"
    if action == _PROPOSE:
        label, saved = stored_label(services.database, label_name(form.get("proposal", "")), known), "saved_existing"
        if label not in known:
            label, proposal, saved = None, label, "proposed"
    elif label is not None and label not in known:
        raise InvalidInput("no such label")
    identity = identify(form.get("source", ""), form.get("id", ""))
    try:
        digest = bytes.fromhex(form.get("digest", ""))
    except ValueError:
        raise InvalidInput("no such text") from None
    outcome = record_review(
        services.database, identity, label, reviewer, digest=digest, kind=kind,
        comment=form.get("comment", ""), proposal=proposal,
    )  # fmt: skip
    if isinstance(outcome, ReviewRejected):
        for ticket_id in dotted_ids(form.get("ticket_id", "")):
            release_task(services.database, reviewer, ticket_id)  # else nobody gets the changed text for 15 minutes
        # The page of a ticket shows its changed text; the others show the next text.
        changed_before = outcome is ReviewRejected.CHANGED and "given" in form
        message = "changed_before" if changed_before else f"rejected_{outcome.name.lower()}"
        return redirect(page_address(skipped=_dotted(skipped), given=_dotted(given), message=message))
    request_due_version(services.database, services.registry, reviewer, visitor.actor)
    given = [*given, outcome] if "given" in form else []  # the page of a ticket has no undo
    return redirect(page_address(skipped=_dotted(skipped), given=_dotted(given), message=saved, about=label))


def shortcut_context(labels: Sequence[str]) -> dict[str, Any]:
    """The keys of labels and actions, for templates. Raises InvalidInput if there are too many labels.

    A letter belongs to the first label that starts with it: later labels do not change earlier shortcuts.
    """
    first = [label[0].lower() for label in labels]
    own = set(first) & set(ascii_lowercase)
    letters = {letter for letter, _ in _ACTION_KEYS.values()}
    numbers = "123456789" + "".join(letter for letter in ascii_lowercase if letter not in own | letters)
    if len(labels) > len(numbers):
        raise InvalidInput(f"{len(labels)} labels are too many for keyboard shortcuts: use `triagem review label`")
    keys = {}
    for index, (number, letter, label) in enumerate(zip(numbers, first, labels, strict=False)):
        has_letter = letter in own and letter not in first[:index]
        keys[label] = [number, letter] if has_letter else [number]
    actions = {action.value: other if letter in own else letter for action, (letter, other) in _ACTION_KEYS.items()}
    return {"keys": keys, "actions": actions}


def read_guidelines(path: Path) -> str:
    """The reviewers' guidelines in Markdown. Raises InvalidInput if the file cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"{path.name}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidInput(f"{path.name}: not UTF-8") from None


def _as_html(markdown: str) -> Markup:
    """Markdown as HTML, with escaped markup and links."""
    tokens = _MARKDOWN.parse(markdown)
    for token in tokens:
        if token.type in {"heading_open", "heading_close"}:  # they are below the page's own two levels
            token.tag = f"h{min(6, int(token.tag[1]) + 2)}"
    return Markup(_MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {}))  # noqa: S704


def _next(
    services: Services, reviewer: str, version: str, queue: QueueFilters, excluded: list[int]
) -> ReviewTask | None:
    since = services.now() - _MAX_AGE
    if disputed := lease_disputed_task(services.database, reviewer, since=since, filters=queue, exclude=excluded):
        return disputed
    tasks = draw_tasks(services.database, reviewer, 1, version=version, since=since, filters=queue, exclude=excluded)
    return next(iter(tasks), None)


def dotted_ids(dotted: str) -> list[int]:
    """The ids of a query parameter such as `4.17`; another part of it is ignored."""
    return [row for part in dotted.split(".") if (row := row_id(part)) is not None]


def _dotted(ids: Sequence[int]) -> str:
    """The newest ids as a query parameter."""
    return ".".join(map(str, ids[-_MAX_IDS:]))
