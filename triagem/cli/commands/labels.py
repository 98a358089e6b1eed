"""`triagem labels`: lists the labels, and changes what people read instead of them."""

from enum import StrEnum
from typing import Annotated

import typer

from triagem import servers
from triagem.cli.output import Format, FormatOption, JsonFlag, console, print_rows
from triagem.cli.review_session.names import label_name


class Colour(StrEnum):
    """A colour of the console, readable on light and dark pages."""

    BLUE = "blue"
    BROWN = "brown"
    PURPLE = "purple"
    GREEN = "green"
    PINK = "pink"
    GREY = "grey"


labels = typer.Typer(no_args_is_help=True, help="Labels: list, rename, group, describe, retire.")


@labels.command("list")
def list_(*, form: FormatOption = Format.TABLE, _json: JsonFlag = False) -> None:
    """List the labels that a model predicted, a reviewer gave or a person added.

    Example: `triagem labels list`
    """
    with servers.database() as database:
        from triagem.db.labels import list_labels

        stored = list_labels(database)
    columns = ("label", "name", "parent", "description", "colour", "retired_at")
    print_rows([{name: getattr(label, name) for name in columns} for label in stored], columns, form)


@labels.command("set")
def set_(
    label: Annotated[str, typer.Argument(help="The label as models and reviews store it; it never changes.")],
    *,
    name: Annotated[str | None, typer.Option(help="The name that the console shows.")] = None,
    parent: Annotated[str | None, typer.Option(help="The label of its group; '' for none.")] = None,
    description: Annotated[str | None, typer.Option(help="A guideline for reviewers, in one sentence.")] = None,
    colour: Annotated[
        Colour | None, typer.Option(help="In the console; default: chosen by the label's position.")
    ] = None,
    retired: Annotated[
        bool | None, typer.Option("--retire/--restore", help="Do not offer it to reviewers · offer it again.")
    ] = None,
    new_label: Annotated[bool, typer.Option("--new-label", help="Add the label if it does not exist.")] = False,
) -> None:
    """Change a label's name, group, description or state. No stored result changes.

    Example: `triagem labels set suporte --name Atendimento`
    """
    label = label_name(label)
    with servers.database() as database:
        from triagem.db.labels import change_label

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
    console.print(f"{label}: saved", markup=False, highlight=False)
