"""`triagem pause` and `triagem resume`: stop and start fetching tickets. The state is stored in Redis."""

import typer

from triagem.cli import servers
from triagem.cli.output import console
from triagem.inbox import desired


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(pause)
    app.command()(resume)


def pause() -> None:
    """Make all workers finish their current window and fetch no more tickets.

    Example: `triagem pause`
    """
    desired.pause(servers.inbox().redis)
    console.print("paused: tickets stay in the inbox until `triagem resume`", highlight=False)


def resume() -> None:
    """Let workers fetch tickets again.

    Example: `triagem resume`
    """
    desired.resume(servers.inbox().redis)
    console.print("resumed")
