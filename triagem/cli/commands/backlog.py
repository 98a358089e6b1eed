"""`triagem backlog`, `pause` and `resume`: the state of the inbox and its workers."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from triagem import servers
from triagem.cli.options import AsJson
from triagem.cli.output import print_answer
from triagem.cli.stores import answering, postgres_problem
from triagem.contracts.ticket import Lane
from triagem.inbox import Depth, Inbox, InboxSettings, lease
from triagem.inbox.lease import AT_WORK, SILENT, WARMING_UP
from triagem.inbox.scaling import ScalingSettings, scaling_signal
from triagem.inbox.stream import full_lanes


def backlog(*, as_json: AsJson = False) -> None:
    """Show queue depth, workers, the desired number of workers and a one-line diagnosis.

    Example: `triagem backlog --json`
    """
    with answering(servers.redis_url(), "TRIAGEM_REDIS_URL"):
        state = read_state(servers.inbox())
    # A worker reports an outage when its statement has timed out, after about half a minute.
    if state["diagnosis"].startswith(("draining", "idle")) and (problem := postgres_problem()):
        state |= {"drain_s": None, "diagnosis": problem}
    print_answer(state, describe(state), as_json=as_json)


def read_state(inbox: Inbox) -> dict[str, Any]:
    """The state of the inbox and its workers, as `triagem backlog --json` prints it. Raises InboxUnavailable."""
    scaling = scaling_signal(inbox, ScalingSettings())
    depths = {lane: inbox.depth(lane) for lane in Lane}
    states, is_paused = lease.observed_states(inbox.redis), lease.paused(inbox.redis)
    quarantined = inbox.quarantined()
    return {
        **asdict(scaling),
        "lanes": {lane.value: depth for lane, depth in depths.items()},
        "states": states,
        "paused": is_paused,
        "quarantined": quarantined,
        "diagnosis": diagnose(
            depths,
            states,
            inbox.settings,
            paused=is_paused,
            quarantined=quarantined,
            memory_used=inbox.memory_used(),
            no_worker="" if states else servers.no_worker(),
        ),
    }


def describe(state: Mapping[str, Any]) -> Iterator[str]:
    """The lines of `triagem backlog`."""
    for lane, depth in state["lanes"].items():
        age = "" if depth.oldest_s is None else f", oldest {depth.oldest_s:.0f} s"
        yield f"{lane}: {depth.waiting:,} waiting, {depth.in_flight:,} in flight{age}"
    states = {
        name: "paused" if state["paused"] and reported == AT_WORK else reported
        for name, reported in state["states"].items()
    }
    counts = ", ".join(f"{number:,} {name}" for name, number in Counter(states.values()).most_common())
    yield f"{len(states)} worker{'' if len(states) == 1 else 's'}" + (f": {counts}" if counts else "")
    drain = "" if state["drain_s"] is None or state["paused"] else f", drained in {state['drain_s']:.0f} s"
    assumed = "" if state["rate_measured"] else " (assumed until a worker reports its rate)"
    yield (
        f"{state['rate']:,.4g} tickets per busy second per worker{assumed}{drain};"
        f" desired workers: {state['desired']} ({state['reason']})"
    )
    yield state["diagnosis"]


def diagnose(
    depths: Mapping[Lane, Depth],
    states: Mapping[str, str],
    settings: InboxSettings,
    *,
    paused: bool,
    quarantined: int,
    memory_used: float,
    no_worker: str = servers.NO_WORKER,
) -> str:
    """The most important fact for an operator, in one line. Pure."""
    total = sum(depth.entries for depth in depths.values())
    waiting = [state for state in states.values() if state.startswith("waiting")]
    degraded = [reason for state in states.values() if (reason := state.partition("at work: ")[2])]
    full, memory = full_lanes(depths, settings), f"Redis uses {memory_used:.0%} of its memory"
    refusing = [memory] * (memory_used > settings.memory_share) + full
    refused = f", and {' and '.join(refusing)}, so producers must wait" if refusing else ""
    # In order of importance: the first condition that holds is reported.
    diagnoses = {
        f"paused{refused}: run `triagem resume` to let workers fetch tickets again": paused,
        no_worker: total and not states,
        "no worker gives a sign of life: see the workers' logs; other workers, if any, take over their tickets": (
            states and all(state.startswith(SILENT) for state in states.values())
        ),
        f"no ticket is lost, workers are {next(iter(waiting), '')}": waiting,
        f"{memory}: producers must wait until workers drain the inbox": memory in refusing,
        f"{' and '.join(full)}: producers must wait until workers drain it; start more workers": full,
        f"a worker crashed: {quarantined} entries are quarantined and run alone": quarantined,
        f"workers keep their model: {next(iter(degraded), '')}": degraded,
        "tickets wait until a worker has loaded the model": total and set(states.values()) == {WARMING_UP},
        "draining": total,
    }
    return next((text for text, holds in diagnoses.items() if holds), "idle: no tickets in the inbox")


def pause(*, as_json: AsJson = False) -> None:
    """Make all workers finish their current window and fetch no more tickets.

    Example: `triagem pause`
    """
    lease.pause(servers.inbox().redis)
    line = "paused: workers finish what they have fetched, other tickets stay in the inbox until `triagem resume`"
    print_answer({"paused": True}, [line], as_json=as_json)


def resume(*, as_json: AsJson = False) -> None:
    """Let workers fetch tickets again.

    Example: `triagem resume`
    """
    lease.resume(servers.inbox().redis)
    print_answer({"paused": False}, ["resumed"], as_json=as_json)
