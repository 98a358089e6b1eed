"""`triagem backlog`: what waits, what is in flight, how old the oldest is, who works on it."""

from typing import Annotated

import typer

from cli import servers
from cli.output import console, print_json
from contracts.ticket import Lane
from inbox.desired import paused
from inbox.lease import alive


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(backlog)


def backlog(*, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show what waits in the inbox.

    Example: `triagem backlog --json`
    """
    inbox = servers.inbox()
    depths = {lane: inbox.depth(lane) for lane in Lane}
    workers, held = alive(inbox.redis), paused(inbox.redis)
    if as_json:
        lanes = {lane.value: depth for lane, depth in depths.items()}
        print_json({"lanes": lanes, "workers": workers, "paused": held})
        return
    for lane, depth in depths.items():
        age = "" if depth.oldest_s is None else f", the oldest for {depth.oldest_s:.0f} s"
        console.print(f"{lane}: {depth.waiting:,} waiting, {depth.in_flight:,} in flight{age}", highlight=False)
    console.print(f"{workers} workers" + (", paused" if held else ""), highlight=False)
