"""`triagem review`: people say what texts are; what they said measures the model and teaches the next one."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from triagem.cli import servers
from triagem.cli.asking.langs import Lang, spoken
from triagem.cli.asking.names import UNCLEAR, check, label_name, reviewer_name
from triagem.cli.commands.reviewed import accuracy, export
from triagem.cli.output import Format, as_mapping, console, errors, print_json, print_rows, visible
from triagem.contracts.errors import InvalidInput
from triagem.contracts.ticket import identify
from triagem.registry import Registry, RegistrySettings

if TYPE_CHECKING:
    from triagem.db import Database
    from triagem.db.reviews import Drawn

review = typer.Typer()

_Reviewer = Annotated[str | None, typer.Option(help="Who says so; default: the login name.")]
_Days = Annotated[int, typer.Option(min=1, max=36_500, help="Ask about texts received in so many last days.")]
_Share = Annotated[float, typer.Option(min=0, max=1, help="The share of texts drawn by lot, sure ones among them.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    review.command()(accuracy)
    review.command()(export)
    app.add_typer(review, name="review")


@review.callback(invoke_without_command=True)
def session(
    context: typer.Context,
    *,
    reviewer: _Reviewer = None,
    lang: Annotated[Lang | None, typer.Option(help="`en` or `pt`; default: the terminal's language.")] = None,
    also: Annotated[list[str] | None, typer.Option(help="One more label, that nobody has given yet.")] = None,
    days: _Days = 30,
    random_share: _Share = 0.2,
) -> None:
    """Review texts one by one on a terminal: the least sure, and some drawn by lot.

    You see the text, and never what the model said or why you are asked. Each answer holds at once.

    Example: `triagem review --lang pt`
    """
    if context.invoked_subcommand is not None:
        return
    if not sys.stdin.isatty():
        raise InvalidInput(
            "a session needs a terminal; programs use `triagem review next` and `triagem review label`"
        )
    who, new = reviewer_name(reviewer), [label_name(one) for one in also or ()]
    with servers.database() as database:
        from triagem.cli.asking.session import Session

        known = _known(database)
        Session(
            database,
            reviewer=who,
            labels=[*known, *(one for one in dict.fromkeys(new) if one not in known)],
            draw=lambda: next(iter(_drawn(database, who, 1, days, random_share)), None),
            read=typer.getchar,
            screen=console,
            lang=lang or spoken(os.environ),
        ).run()


@review.command("next")
def next_(
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Most texts.")] = 1,
    reviewer: _Reviewer = None,
    days: _Days = 30,
    random_share: _Share = 0.2,
    as_json: _Json = False,
) -> None:
    """Hand out the next texts to review. For 15 minutes nobody else gets them.

    Example: `triagem review next --limit 10 --reviewer ana --json`
    """
    who = reviewer_name(reviewer)
    with servers.database() as database:
        drawn = _drawn(database, who, limit, days, random_share)
    if as_json:
        print_json([as_mapping(one) for one in drawn])
        return
    for one in drawn:
        console.print(visible(f"{one.source} {one.external_id}"), style="bold", markup=False, highlight=False)
        console.print(visible(one.text) + "\n", markup=False, highlight=False, soft_wrap=True)
    if not drawn:
        errors.print("no more texts to review now", highlight=False)


@review.command("list")
def list_(*, form: Annotated[Format, typer.Option("--format", help="How to print.")] = Format.TABLE) -> None:
    """List the texts that people have in hand: handed out and not judged yet.

    Example: `triagem review list`
    """
    with servers.database() as database:
        from triagem.db.reviews import holding

        held = holding(database)
    print_rows([as_mapping(one) for one in held], ("source", "external_id", "reviewer", "leased_until"), form)
    if form is Format.TABLE and not held:
        errors.print("nobody has a text in hand", highlight=False)


@review.command()
def label(
    source: Annotated[str, typer.Argument(help="The CRM's name.")],
    external_id: Annotated[str, typer.Argument(help="The ticket's id in that CRM.")],
    label: Annotated[str, typer.Argument(help="The label, or `unclear`.")],
    *,
    reviewer: _Reviewer = None,
    new_label: Annotated[bool, typer.Option("--new-label", help="It is a label that nobody has given yet.")] = False,
    digest: Annotated[str | None, typer.Option(help="Of the text that was seen, as `next --json` has it.")] = None,
    as_json: _Json = False,
) -> None:
    """Say what a ticket is. It holds at once, whatever the model says later.

    Example: `triagem review label zendesk 4711 suporte --reviewer ana`
    """
    who, whose = reviewer_name(reviewer), identify(source, external_id)
    said = None if label == UNCLEAR else label_name(label)
    try:
        seen = None if digest is None else bytes.fromhex(digest)
    except ValueError:
        raise InvalidInput("--digest: expected hexadecimal, as `triagem review next --json` has it") from None
    with servers.database() as database:
        from triagem.db.reviews import Missed, judge

        if said is not None and not new_label:
            check(said, _known(database))
        verdict = judge(database, whose, said, who, digest=seen)
    if isinstance(verdict, Missed):
        raise InvalidInput(f"ticket {whose.external_id!r} of {whose.source!r}: {verdict}")
    if as_json:
        print_json({**whose._asdict(), "label": said, "reviewer": who})
    else:
        console.print(f"{whose.source} {whose.external_id}: {said or UNCLEAR}", markup=False, highlight=False)


def _registry() -> Registry:
    return Registry(RegistrySettings().registry_url)


def _drawn(database: Database, who: str, most: int, days: int, random_share: float) -> list[Drawn]:
    from triagem.db.reviews import draw

    since = datetime.now(UTC) - timedelta(days=days)
    return draw(database, who, most, version=_registry().current().version, since=since, random_share=random_share)


def _known(database: Database) -> list[str]:
    """The current model's labels, then those that people added."""
    from triagem.db.reviews import labels

    registry = _registry()
    return [*dict.fromkeys([*registry.manifest(registry.current().version).labels, *labels(database)])]
