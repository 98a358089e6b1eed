"""Entry point of the `triagem` command: loads the called subcommand, prints an error in one line with status 1."""

import logging
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any, Final

import typer
from pydantic import ValidationError
from rich.text import Text
from typer.core import TyperGroup

from triagem.cli import logs
from triagem.cli.known_settings import describe_unknown, unknown_variables, variables_set
from triagem.cli.logs import format_traceback
from triagem.cli.output import errors, missing_package, printable
from triagem.contracts.errors import CHECK_STORES, DatabaseUnavailable, InboxUnavailable, NoModel, TriagemError
from triagem.contracts.field_errors import explain
from triagem.process import describe_invalid, read_secret_files


def _print_version(requested: bool) -> None:
    if requested:
        print(f"triagem {version('triagem')}")
        raise typer.Exit


def configure_logs(
    context: typer.Context,
    *,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log at debug level.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version, and exit.")
    ] = False,
) -> None:
    """Configure logging of the subcommand, before it runs."""
    # A service logs what it does; a one-off command logs only warnings and errors.
    name = context.invoked_subcommand or "triagem"
    is_service = name in {"worker", "ops", "trainer", "beat", "gateway"}
    level = logging.DEBUG if verbose else logging.INFO if is_service else logging.WARNING
    logs.configure(level, name, send=logs.processors(name) if is_service else ())


class _Commands(TyperGroup):
    """Explains a refused argument in our words: Typer shows pydantic's."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            if isinstance(error.__cause__, ValidationError):
                detail = error.__cause__.errors()[0]
                # The text about a wrong choice names the value.
                value = "" if detail["type"] == "value_error" else f", not {detail['input']!r}"
                error.message = printable(explain(detail)) + value
            raise


# The commands by heading, in the order of `--help`, each with its module in `triagem.cli.commands`.
_COMMANDS: Final = {
    "Try and check": {"demo": "demo", "doctor": "doctor", "env": "up"},
    "Run": {"up": "up", "worker": "run", "ops": "run", "beat": "run", "gateway": "run", "trainer": "run"},
    "Tickets": {
        "enqueue": "enqueue",
        "results": "results",
        "show": "results",
        "review": "review",
        "reclassify": "reclassify",
        "reband": "reband",
    },
    "Models": {
        "preflight": "classify",
        "start": "start",
        "train": "train",
        "retrain": "jobs",
        "jobs": "jobs",
        "classify": "classify",
        "models": "models",
        "labels": "labels",
        "drift": "jobs",
        "due": "jobs",
    },
    "Operate": {
        "status": "status",
        "backlog": "backlog",
        "pause": "backlog",
        "resume": "backlog",
        "dead": "dead",
        "deliveries": "alerts",
        "alerts": "alerts",
        "audit": "access",
    },
    "Administer": {"crm": "crm", "db": "db", "keys": "access"},
}
_NAMES: Final = {name for commands in _COMMANDS.values() for name in commands}


def application(arguments: Sequence[str] = ()) -> typer.Typer:
    """The command `triagem`. It imports only the subcommand in the arguments; for `--help`, all subcommands."""
    app = typer.Typer(
        cls=_Commands,
        no_args_is_help=True,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Triagem classifies customer messages as support or sales, and sends low-confidence ones to a person.",
    )
    app.callback()(configure_logs)
    first = next((argument for argument in arguments if not argument.startswith("-")), "")
    names = {first} & _NAMES or _NAMES
    for heading, modules in _COMMANDS.items():
        for name in (name for name in modules if name in names):
            try:
                command = getattr(import_module(f"triagem.cli.commands.{modules[name]}"), name)
            except ModuleNotFoundError as error:
                if len(names) == 1:
                    raise
                app.command(name, rich_help_panel=heading, help=missing_package(error))(lambda: None)
                continue
            if isinstance(command, typer.Typer):
                app.add_typer(command, name=name, rich_help_panel=heading)
            else:
                app.command(rich_help_panel=heading)(command)
    return app


def run(arguments: list[str] | None = None, *, command: typer.Typer | None = None) -> Any:
    """Run `triagem`, or another `command`. An error ends it with one line on standard error and exit status 1."""
    try:
        for name, nearest in unknown_variables(variables_set()).items():
            _report(describe_unknown(name, nearest), "yellow")
        read_secret_files()
        arguments = sys.argv[1:] if arguments is None else arguments
        return (command or application(arguments))(args=arguments)
    except (InboxUnavailable, DatabaseUnavailable) as error:
        _report(f"{error}; {CHECK_STORES}")
        sys.exit(1)
    except NoModel as error:
        from triagem.cli.checks import without_model

        _report(without_model(str(error)))
        sys.exit(1)
    except TriagemError as error:
        _report(str(error))
        sys.exit(1)
    except ValidationError as error:  # a settings class read an invalid environment variable
        for line in describe_invalid(error):
            _report(line)
        sys.exit(1)
    except ModuleNotFoundError as error:
        _report(missing_package(error))
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - Python's traceback would print the message, which may hold user data
        errors.print(format_traceback(error), markup=False, highlight=False, soft_wrap=True)
        _report(f"{type(error).__name__}: this is a bug in triagem; report it with the traceback above")
        sys.exit(1)


def _report(message: str, color: str = "red") -> None:
    errors.print(Text.assemble(("triagem:", color), " ", message), soft_wrap=True)


if __name__ == "__main__":
    run()
