"""The commands of `triagem` and of `python -m bench`, with every argument and option."""

from collections.abc import Iterator
from enum import Enum
from typing import Any

import typer
from tables import paragraphs, required, table


def commands_section(app: typer.Typer, program: str) -> str:
    """A list of the commands, then a section for each."""
    root = typer.main.get_command(app)
    listed = "".join(
        f"- [`{program} {name}`](#{anchor(f'{program} {name}')}): {first_sentence(command)}\n"
        for name, command in commands(root)
    )
    return f"{listed}\n{''.join(sections(root, program, 3))}".rstrip() + "\n"


def anchor(heading: str) -> str:
    """The anchor of a command's heading."""
    return heading.replace(" ", "-").replace(".", "")


def commands(group: Any) -> Iterator[tuple[str, Any]]:
    """Subcommands by name; none for a command without."""
    yield from getattr(group, "commands", {}).items()


def first_sentence(command: Any) -> str:
    """The first sentence of a command's help."""
    return " ".join((command.help or "").split("\n\n")[0].split()).partition(". ")[0].removesuffix(".")


def sections(group: Any, path: str, level: int) -> Iterator[str]:
    """A section for each subcommand, followed by those of its own subcommands."""
    for name, command in commands(group):
        full = f"{path} {name}"
        required(command.help, full)
        yield f"{'#' * level} {full}\n\n{paragraphs(command.help)}\n\n"
        if rows := [parameter_row(full, parameter) for parameter in command.params if not parameter.hidden]:
            yield table(("argument or option", "default", "meaning"), rows) + "\n"
        yield from sections(command, full, level + 1)


def parameter_row(command: str, parameter: Any) -> tuple[str, str, str]:
    """Name, default and help of an argument or option."""
    name = parameter.name.upper()
    if parameter.param_type_name == "option":
        name = "`, `".join([*parameter.opts, *parameter.secondary_opts]) + ("" if parameter.is_flag else f" {name}")
    return f"`{name}`", default(parameter), required(parameter.help, f"{command} {name}")


def default(parameter: Any) -> str:
    """The default of a parameter; an enumeration also shows its other values."""
    value = parameter.default
    if parameter.required:
        return "required"
    if isinstance(value, Enum):
        others = [f"`{option.value}`" for option in type(value) if option is not value]
        return f"`{value.value}` (or {', '.join(others)})"
    return "" if value in (None, False, (), [], "") or callable(value) else f"`{value}`"
