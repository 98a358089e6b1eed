"""`triagem review`: people label texts; their reviews measure the model and become training data."""

import os
import sys
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Annotated

import typer

from triagem import servers
from triagem.cli.commands.review_results import accuracy, export, import_
from triagem.cli.options import AsJson, ExternalId, FormatOption, JsonFlag, Reviewer, Source
from triagem.cli.output import Format, cell, console, errors, print_answer, print_lines, print_rows
from triagem.cli.review_session import (
    ReviewSession,
    known_labels,
    require_known_label,
    reviewer_name,
    terminal_language,
)
from triagem.contracts.errors import InvalidInput
from triagem.contracts.ticket import identify
from triagem.db import Database
from triagem.db.labels import UNCLEAR, label_name
from triagem.db.reviews import ReviewRejected, ReviewTask, draw_tasks, open_leases, record_review
from triagem.gateway.console.messages import Lang

review = typer.Typer()
review.command()(accuracy)
review.command()(export)
review.command("import")(import_)

_Days = Annotated[int, typer.Option(min=1, max=36_500, help="Only texts received in the last DAYS days.")]
_Share = Annotated[float, typer.Option(min=0, max=1, help="Share of texts drawn at random, whatever the confidence.")]


@review.callback(invoke_without_command=True)
def session(
    context: typer.Context,
    *,
    reviewer: Reviewer = None,
    lang: Annotated[Lang | None, typer.Option(help="`en` or `pt`; default: the terminal's language.")] = None,
    new_label: Annotated[
        list[str] | None,
        typer.Option("--new-label", help="Offer a label that does not exist yet, as a proposal; repeatable."),
    ] = None,
    days: _Days = 30,
    random_share: _Share = 0.2,
) -> None:
    """Review texts one by one on a terminal: the texts with the lowest confidence, and some drawn at random.

    The prediction and the reason for the review are not shown. Each answer is saved at once.

    Example: `triagem review --lang pt`
    """
    if context.invoked_subcommand is not None:
        return
    if not sys.stdin.isatty():
        raise InvalidInput(
            "a review session needs a terminal: programs use `triagem review next` and `triagem review label`"
        )
    name, new_labels = reviewer_name(reviewer), [label_name(new) for new in new_label or ()]
    with servers.database() as database:
        known = known_labels(database)
        ReviewSession(
            database,
            reviewer=name,
            labels=[*dict.fromkeys([*known, *new_labels])],
            proposed={*new_labels} - {*known},
            next_task=lambda: next(iter(_draw_tasks(database, name, 1, days, random_share)), None),
            read_key=typer.getchar,
            screen=console,
            language=lang or terminal_language(os.environ),
        ).run()


@review.command("next")
def next_(
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Maximum number of texts.")] = 1,
    reviewer: Reviewer = None,
    days: _Days = 30,
    random_share: _Share = 0.2,
    as_json: AsJson = False,
) -> None:
    """Assign the next texts to a reviewer. For 15 minutes no other reviewer gets them.

    Example: `triagem review next --limit 10 --reviewer ana --json`
    """
    name = reviewer_name(reviewer)
    with servers.database() as database:
        tasks = _draw_tasks(database, name, limit, days, random_share)
    lines = ((cell(f"{task.source} {task.external_id}", "bold"), task.text + "\n") for task in tasks)
    print_answer(tasks, chain.from_iterable(lines), as_json=as_json)
    if not (tasks or as_json):
        print_lines("no more texts to review", screen=errors)


@review.command("list")
def list_(*, form: FormatOption = Format.TABLE, _json: JsonFlag = False) -> None:
    """List the texts that are assigned to a reviewer and not reviewed yet.

    Example: `triagem review list`
    """
    with servers.database() as database:
        leases = open_leases(database)
    print_rows(leases, ("source", "external_id", "reviewer", "leased_until"), form, empty="no texts are assigned")


@review.command()
def label(
    source: Source,
    external_id: ExternalId,
    label: Annotated[str, typer.Argument(help="The label, or `unclear`.")],
    *,
    reviewer: Reviewer = None,
    new_label: Annotated[
        bool, typer.Option("--new-label", help="Propose a label that does not exist yet; an administrator adds it.")
    ] = False,
    digest: Annotated[
        str | None, typer.Option(help="Digest of the reviewed text, as printed by `next --json`.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Record a review of a ticket. It takes effect at once and takes precedence over later predictions.

    Example: `triagem review label zendesk 4711 suporte --reviewer ana`
    """
    name, identity = reviewer_name(reviewer), identify(source, external_id)
    reviewed_label = None if label == UNCLEAR else label_name(label)
    try:
        text_digest = None if digest is None else bytes.fromhex(digest)
    except ValueError:
        raise InvalidInput("--digest: expected hexadecimal, as printed by `triagem review next --json`") from None
    proposal = None
    with servers.database() as database:
        if reviewed_label is not None and reviewed_label not in (known := known_labels(database)):
            if not new_label:
                require_known_label(reviewed_label, known)
            reviewed_label, proposal = None, reviewed_label
        outcome = record_review(database, identity, reviewed_label, name, digest=text_digest, proposal=proposal)
    if isinstance(outcome, ReviewRejected):
        raise InvalidInput(f"ticket {identity.external_id!r} of {identity.source!r}: {outcome}")
    answer = {**identity._asdict(), "label": reviewed_label, "proposal": proposal, "reviewer": name}
    outcome_text = f"{proposal} (proposed)" if proposal else reviewed_label or UNCLEAR
    print_answer(answer, [f"{identity.source} {identity.external_id}: {outcome_text}"], as_json=as_json)


def _draw_tasks(database: Database, reviewer: str, limit: int, days: int, random_share: float) -> list[ReviewTask]:
    since = datetime.now(UTC) - timedelta(days=days)
    version = servers.registry().current().version
    return draw_tasks(database, reviewer, limit, version=version, since=since, random_share=random_share)
