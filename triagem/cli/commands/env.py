"""`triagem env`: prints the settings of the running local stack, for a shell."""

import shlex
from typing import Annotated

import typer

from triagem import servers
from triagem.cli.output import print_json
from triagem.contracts.errors import NotConfigured


def env(*, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Print the URLs of the running local stack as `export` lines. They contain passwords.

    With them, programs in other folders use this stack.

    Example: `eval "$(triagem env)"`
    """
    stack = servers.local_stack()
    if stack is None:
        raise NotConfigured("no local stack is running here: start one with `triagem up`")
    if as_json:
        print_json(stack.settings)
        return
    for name, value in stack.settings.items():
        typer.echo(f"export {name}={shlex.quote(value)}")
