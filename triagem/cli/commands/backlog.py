"""`triagem backlog`: what waits, what is in flight, how old the oldest is, who works on it, what is the matter."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated

import typer

from triagem.cli import servers
from triagem.cli.output import console, print_json
from triagem.contracts.errors import InboxAway
from triagem.contracts.ticket import Lane
from triagem.inbox import Depth, InboxSettings
from triagem.inbox.desired import paused
from triagem.inbox.lease import workers
from triagem.inbox.scaling import NoSample, ScalingSettings
from triagem.inbox.signal import signal


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(backlog)


def backlog(*, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show what waits, who works on it, how many workers it asks for, and in one line what is the matter.

    Example: `triagem backlog --json`
    """
    inbox = servers.inbox()
    scaling = signal(inbox, ScalingSettings())
    if isinstance(scaling, NoSample):
        raise InboxAway(scaling.why)
    depths = {lane: inbox.depth(lane) for lane in Lane}
    states, held = workers(inbox.redis), paused(inbox.redis)
    suspects = inbox.suspects()
    matter = situation(
        depths, states, inbox.settings, paused=held, suspects=suspects, memory_used=inbox.memory_used()
    )
    if as_json:
        print_json(
            {
                **asdict(scaling),
                "lanes": {lane.value: depth for lane, depth in depths.items()},
                "states": states,
                "paused": held,
                "suspects": suspects,
                "situation": matter,
            }
        )
        return
    for lane, depth in depths.items():
        age = "" if depth.oldest_s is None else f", the oldest for {depth.oldest_s:.0f} s"
        console.print(f"{lane}: {depth.waiting:,} waiting, {depth.in_flight:,} in flight{age}", highlight=False)
    said = ", ".join(f"{number} {state}" for state, number in Counter(states.values()).most_common())
    console.print(
        f"{len(states)} worker{'' if len(states) == 1 else 's'}" + (f": {said}" if said else ""),
        markup=False,
        highlight=False,
    )
    drain = "" if scaling.drain_s is None else f", done in {scaling.drain_s:.0f} s"
    console.print(
        f"{scaling.rate:,.4g} tickets per busy second a worker{drain}; desired: {scaling.desired} ({scaling.why})",
        markup=False,
        highlight=False,
    )
    console.print(matter, markup=False, highlight=False)


def situation(
    depths: Mapping[Lane, Depth],
    states: Mapping[str, str],
    settings: InboxSettings,
    *,
    paused: bool,
    suspects: int,
    memory_used: float,
) -> str:
    """What an operator should know first, in one line. Pure."""
    entries = {lane: depth.waiting + depth.in_flight for lane, depth in depths.items()}
    total = sum(entries.values())
    waiting = [state for state in states.values() if state.startswith("waiting")]
    full = [str(lane) for lane, number in entries.items() if number >= settings.mark(lane)]
    matters = {
        "paused: `triagem resume` lets workers take tickets again": paused,
        "nobody is at work: start `triagem worker`": total and not states,
        f"nothing is lost, workers are {next(iter(waiting), '')}": waiting,
        f"Redis uses {memory_used:.0%} of its memory: producers are told to wait until workers have drained it": (
            memory_used > settings.memory_share
        ),
        f"the {' and the '.join(full)} lane is full: producers are told to wait": full,
        f"a worker died while {suspects} of these were at work: each runs alone now": suspects,
        "draining": total,
    }
    return next((matter for matter, holds in matters.items() if holds), "nothing waits")
