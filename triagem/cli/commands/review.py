"""`triagem review`: people label texts; their reviews measure the model and become training data."""

from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Annotated

import typer

from triagem import servers
from triagem.cli.commands.access import command_actor
from triagem.cli.commands.review_results import (
    accuracy,
    export,
    import_,
    known_labels,
    require_known_label,
    reviewer_name,
)
from triagem.cli.options import AsJson, ExternalId, Reviewer, Source
from triagem.cli.output import cell, errors, print_answer, print_lines
from triagem.contracts.errors import InvalidInput
from triagem.contracts.ticket import identify
from triagem.db import Database
from triagem.db.labels import UNCLEAR, label_name, stored_label
from triagem.db.reviews import ReviewRejected, ReviewTask, draw_tasks, record_review
from triagem.ops.labelling import request_due_version

review = typer.Typer(no_args_is_help=True, help="Reviews: next, label, accuracy, export, import.")
review.command()(accuracy)
review.command()(export)
review.command("import")(import_)

_Days = Annotated[int, typer.Option(min=1, max=36_500, help="Only texts received in the last DAYS days.")]
_Share = Annotated[float, typer.Option(min=0, max=1, help="Share of texts drawn at random, whatever the confidence.")]


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
    if not tasks:
        version = servers.registry().current().version
        print_lines(
            f"no more texts to review; random ones are results of {version}, the current version", screen=errors
        )


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
                require_known_label(reviewed_label, known, "--new-label proposes it to an administrator")
            meant = stored_label(database, reviewed_label, known)
            reviewed_label, proposal = (meant, None) if meant in known else (None, meant)
        outcome = record_review(database, identity, reviewed_label, name, digest=text_digest, proposal=proposal)
        if reviewed_label is not None:
            request_due_version(database, servers.registry(), name, command_actor())
    if isinstance(outcome, ReviewRejected):
        raise InvalidInput(f"ticket {identity.external_id!r} of {identity.source!r}: {outcome}")
    answer = {**identity._asdict(), "label": reviewed_label, "proposal": proposal, "reviewer": name}
    outcome_text = f"{proposal} (proposed)" if proposal else reviewed_label or UNCLEAR
    print_answer(answer, [f"{identity.source} {identity.external_id}: {outcome_text}"], as_json=as_json)


def _draw_tasks(database: Database, reviewer: str, limit: int, days: int, random_share: float) -> list[ReviewTask]:
    since = datetime.now(UTC) - timedelta(days=days)
    version = servers.registry().current().version
    return draw_tasks(database, reviewer, limit, version=version, since=since, random_share=random_share)
