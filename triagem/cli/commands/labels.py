"""`triagem labels`: lists the labels, and changes how they are displayed."""

from shlex import quote
from typing import Annotated

import typer

from triagem import servers
from triagem.cli.commands.access import record_action
from triagem.cli.options import FormatOption, JsonFlag
from triagem.cli.output import Format, errors, print_lines, print_rows
from triagem.db.labels import Colour, Label, change_label, label_name, list_labels, list_proposals

_NO_LABELS = "no labels: models and reviews add them, or name them on the page that `triagem start` shows"

labels = typer.Typer(
    no_args_is_help=True, help="Labels: list them; with `set`, add, rename, group, describe or retire one."
)


@labels.command("list")
def list_(*, form: FormatOption = Format.TABLE, _json: JsonFlag = False) -> None:
    """List the labels that a model predicted, a reviewer gave or a person added, and those that reviewers propose.

    Example: `triagem labels list`
    """
    with servers.database() as database:
        stored, proposals = list_labels(database), list_proposals(database)
    columns = ("label", "name", "parent", "description", "colour", "retired_at")
    print_rows(stored, columns, form, empty=_NO_LABELS, types=[Label])
    lines = (
        f"proposed: {proposal.label} (texts: {proposal.texts:,}, reviewers: {proposal.reviewers:,}); "
        f"`triagem labels set {quote(proposal.label)} --new-label` adds it"
        for proposal in proposals
    )
    print_lines(*lines, screen=errors)


@labels.command("set")
def set_(
    label: Annotated[str, typer.Argument(help="The label as models and reviews store it; it never changes.")],
    *,
    name: Annotated[str | None, typer.Option(help="The name that the console shows.")] = None,
    parent: Annotated[str | None, typer.Option(help="The label under which to group it; '' for none.")] = None,
    description: Annotated[str | None, typer.Option(help="A guideline for reviewers, in one sentence.")] = None,
    colour: Annotated[
        Colour | None, typer.Option(help="The label's colour in the console; default: chosen by its position.")
    ] = None,
    retired: Annotated[
        bool | None, typer.Option("--retire/--restore", help="Stop or resume offering the label to reviewers.")
    ] = None,
    new_label: Annotated[
        bool, typer.Option("--new-label", help="Add a proposed label; the reviews that proposed it then have it.")
    ] = False,
) -> None:
    """Change a label's name, group, description or state. No stored result changes.

    Example: `triagem labels set suporte --name Atendimento`
    """
    label = label_name(label)
    with servers.database() as database:
        change_label(
            database,
            label,
            name=None if name is None else label_name(name),
            parent=parent,
            description=description,
            colour=colour,
            retired=retired,
            new=new_label,
        )
        record_action(database, "label.set", label)
    print_lines(f"{label}: saved")
