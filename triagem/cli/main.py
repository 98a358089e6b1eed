"""The command's entry: the list of commands, and errors as one line with exit status 1."""

import importlib
import logging
import sys
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from triagem.cli import logs
from triagem.cli.output import errors
from triagem.cli.secret_files import read_secret_files
from triagem.cli.tracebacks import told
from triagem.contracts.errors import TriagemError

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Triagem classifies customers' messages as support or sales, and shows a person the doubtful ones.",
)


@app.callback()
def main(
    context: typer.Context, *, verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False
) -> None:
    # A process that serves tells what it does; a command that answers speaks up only when something is wrong.
    usual = logging.INFO if context.invoked_subcommand in {"worker", "ops", "beat", "gateway"} else logging.WARNING
    logs.configure(logging.DEBUG if verbose else usual)


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
    "rejudge",
    "dead",
    "deliveries",
    "db",
    "doctor",
    "bench",
    "scale",
):
    importlib.import_module(f"triagem.cli.commands.{_name}").register(app)


def run(arguments: list[str] | None = None) -> Any:
    """Run the command line; a user's mistake is one line on standard error and exit status 1."""
    try:
        read_secret_files()
        return app(args=arguments)
    except TriagemError as error:
        errors.print(f"[red]triagem:[/red] {_escaped(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(1)
    except ValidationError as error:  # the environment, read by a settings class
        for one in error.errors(include_url=False, include_input=False):
            name = _prefix(error.title) + "_".join(str(part) for part in one["loc"]).upper()
            errors.print(f"[red]triagem:[/red] {name}: {_escaped(one['msg'])}", highlight=False, soft_wrap=True)
        sys.exit(1)
    except ModuleNotFoundError as error:
        missing = f"this command needs the package {error.name}: pip install 'triagem\\[demo]' has everything"
        errors.print(f"[red]triagem:[/red] {missing}", highlight=False, soft_wrap=True)
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - Python's own traceback would show its message, and what it holds
        errors.print(told(error), markup=False, highlight=False, soft_wrap=True)
        fault = f"{type(error).__name__}, a fault of ours: please report it with the lines above"
        errors.print(f"[red]triagem:[/red] {fault}", highlight=False, soft_wrap=True)
        sys.exit(1)


def _prefix(settings: str) -> str:
    """What the variables of a settings class begin with."""
    from pydantic_settings import BaseSettings

    prefixes = {one.__name__: one.model_config.get("env_prefix") for one in BaseSettings.__subclasses__()}
    return prefixes.get(settings) or "TRIAGEM_"


def _escaped(text: str) -> str:
    return text.replace("[", r"\[")


if __name__ == "__main__":
    run()
