"""`triagem pause` and `triagem resume`: whether workers take tickets. Stored, so it outlives every process."""

import typer

from triagem.cli import servers
from triagem.cli.output import console
from triagem.inbox import desired


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(pause)
    app.command()(resume)


def pause() -> None:
    """All workers finish what is in hand and take no more tickets.

    Example: `triagem pause`
    """
    desired.pause(servers.inbox().redis)
    console.print("paused: tickets wait in the inbox until `triagem resume`", highlight=False)


def resume() -> None:
    """Workers take tickets again.

    Example: `triagem resume`
    """
    desired.resume(servers.inbox().redis)
    console.print("resumed")
