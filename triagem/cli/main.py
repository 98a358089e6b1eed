"""Entry point of the `triagem` command: registers all commands, and prints errors in one line with exit status 1."""

import importlib
import logging
import sys
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from triagem.cli import logs
from triagem.cli.output import errors
from triagem.cli.secret_files import read_secret_files
from triagem.cli.tracebacks import format_traceback
from triagem.contracts.errors import TriagemError

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Triagem classifies customer messages as support or sales, and sends low-confidence ones to a person.",
)


@app.callback()
def main(
    context: typer.Context,
    *,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log at debug level.")] = False,
) -> None:
    # A service logs what it does; a one-off command logs only warnings and errors.
    level = logging.INFO if context.invoked_subcommand in {"worker", "ops", "beat", "gateway"} else logging.WARNING
    logs.configure(logging.DEBUG if verbose else level)


for _name in (
    "demo",
    "up",
    "enqueue",
    "worker",
    "ops",
    "beat",
    "gateway",
    "keys",
    "results",
    "show",
    "review",
    "pause",
    "classify",
    "train",
    "models",
    "drift",
    "due",
    "alerts",
    "backlog",
    "reclassify",
    "reband",
    "dead",
    "deliveries",
    "db",
    "doctor",
    "bench",
    "scale",
):
    importlib.import_module(f"triagem.cli.commands.{_name}").register(app)


def run(arguments: list[str] | None = None) -> Any:
    """Run the command line. An error is one line on standard error and exit status 1."""
    try:
        read_secret_files()
        return app(args=arguments)
    except TriagemError as error:
        errors.print(f"[red]triagem:[/red] {_escaped(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(1)
    except ValidationError as error:  # a settings class read an invalid environment variable
        for detail in error.errors(include_url=False, include_input=False):
            name = _env_prefix(error.title) + "_".join(str(part) for part in detail["loc"]).upper()
            errors.print(f"[red]triagem:[/red] {name}: {_escaped(detail['msg'])}", highlight=False, soft_wrap=True)
        sys.exit(1)
    except ModuleNotFoundError as error:
        missing = f"the package {error.name} is not installed: run pip install 'triagem\\[demo]'"
        errors.print(f"[red]triagem:[/red] {missing}", highlight=False, soft_wrap=True)
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - Python's traceback would print the message, which may hold user data
        errors.print(format_traceback(error), markup=False, highlight=False, soft_wrap=True)
        bug = f"{type(error).__name__}: this is a bug in triagem; report it with the traceback above"
        errors.print(f"[red]triagem:[/red] {bug}", highlight=False, soft_wrap=True)
        sys.exit(1)


def _env_prefix(settings_class: str) -> str:
    """The prefix of a settings class's environment variables."""
    from pydantic_settings import BaseSettings

    prefixes = {known.__name__: known.model_config.get("env_prefix") for known in BaseSettings.__subclasses__()}
    return prefixes.get(settings_class) or "TRIAGEM_"


def _escaped(text: str) -> str:
    return text.replace("[", r"\[")


if __name__ == "__main__":
    run()
