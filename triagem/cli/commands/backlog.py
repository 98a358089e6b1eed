"""`triagem backlog`, `pause` and `resume`: the state of the inbox and its workers, and stopping them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated

import typer

from triagem import servers
from triagem.cli.output import console, print_json
from triagem.contracts.errors import InboxUnavailable
from triagem.contracts.ticket import Lane
from triagem.inbox import Depth, InboxSettings, desired
from triagem.inbox.desired import paused
from triagem.inbox.lease import worker_states
from triagem.inbox.scaling import NoSignal, ScalingSettings
from triagem.inbox.scaling_signal import scaling_signal


def backlog(*, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show queue depth, workers, the desired number of workers and a one-line diagnosis.

    Example: `triagem backlog --json`
    """
    inbox = servers.inbox()
    scaling = scaling_signal(inbox, ScalingSettings())
    if isinstance(scaling, NoSignal):
        raise InboxUnavailable(scaling.reason)
    depths = {lane: inbox.depth(lane) for lane in Lane}
    states, is_paused = worker_states(inbox.redis), paused(inbox.redis)
    quarantined = inbox.quarantined()
    diagnosis = diagnose(
        depths, states, inbox.settings, paused=is_paused, quarantined=quarantined, memory_used=inbox.memory_used()
    )
    if as_json:
        print_json(
            {
                **asdict(scaling),
                "lanes": {lane.value: depth for lane, depth in depths.items()},
                "states": states,
                "paused": is_paused,
                "quarantined": quarantined,
                "diagnosis": diagnosis,
            }
        )
        return
    for lane, depth in depths.items():
        age = "" if depth.oldest_s is None else f", oldest {depth.oldest_s:.0f} s"
        console.print(f"{lane}: {depth.waiting:,} waiting, {depth.in_flight:,} in flight{age}", highlight=False)
    counts = ", ".join(f"{number} {state}" for state, number in Counter(states.values()).most_common())
    console.print(
        f"{len(states)} worker{'' if len(states) == 1 else 's'}" + (f": {counts}" if counts else ""),
        markup=False,
        highlight=False,
    )
    drain = "" if scaling.drain_s is None else f", drained in {scaling.drain_s:.0f} s"
    console.print(
        f"{scaling.rate:,.4g} tickets per busy second per worker{drain};"
        f" desired workers: {scaling.desired} ({scaling.reason})",
        markup=False,
        highlight=False,
    )
    console.print(diagnosis, markup=False, highlight=False)


def diagnose(
    depths: Mapping[Lane, Depth],
    states: Mapping[str, str],
    settings: InboxSettings,
    *,
    paused: bool,
    quarantined: int,
    memory_used: float,
) -> str:
    """The most important fact for an operator, in one line. Pure."""
    entries = {lane: depth.waiting + depth.in_flight for lane, depth in depths.items()}
    total = sum(entries.values())
    waiting = [state for state in states.values() if state.startswith("waiting")]
    degraded = [reason for state in states.values() if (reason := state.partition("at work: ")[2])]
    full = [str(lane) for lane, number in entries.items() if number >= settings.high_water(lane)]
    # In order of importance: the first condition that holds is reported.
    diagnoses = {
        "paused: run `triagem resume` to let workers fetch tickets again": paused,
        "no worker is running: start one with `triagem worker`": total and not states,
        f"no ticket is lost, workers are {next(iter(waiting), '')}": waiting,
        f"Redis uses {memory_used:.0%} of its memory: producers must wait until workers drain the inbox": (
            memory_used > settings.memory_share
        ),
        f"the {' and the '.join(full)} lane is full: producers must wait": full,
        f"a worker crashed: {quarantined} entries are quarantined and run alone": quarantined,
        f"workers keep their model: {next(iter(degraded), '')}": degraded,
        "draining": total,
    }
    return next((text for text, holds in diagnoses.items() if holds), "idle: no tickets in the inbox")


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
