"""`triagem backlog` and `status`: the state of the inbox and of the whole system; `pause` and `resume` of workers."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import typer

from triagem import servers
from triagem.cli.checks import (
    CheckFailed,
    CheckResult,
    CheckWarned,
    current_model,
    print_result,
    require_answer,
    run_check,
)
from triagem.cli.output import as_mapping, console, print_json
from triagem.contracts.errors import InboxUnavailable, TriagemError
from triagem.contracts.ticket import Lane
from triagem.inbox import Depth, Inbox, InboxSettings, desired
from triagem.inbox.desired import paused
from triagem.inbox.lease import worker_states
from triagem.inbox.scaling import NoSignal, ScalingSettings
from triagem.inbox.scaling_signal import scaling_signal

_WATCH_S: Final = 2.0


def backlog(*, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show queue depth, workers, the desired number of workers and a one-line diagnosis.

    Example: `triagem backlog --json`
    """
    state = read_state(servers.inbox())
    if as_json:
        print_json(state)
        return
    for line in describe(state):
        console.print(line, markup=False, highlight=False)


def read_state(inbox: Inbox) -> dict[str, Any]:
    """The state of the inbox and its workers, as `triagem backlog --json` prints it. Raises InboxUnavailable."""
    scaling = scaling_signal(inbox, ScalingSettings())
    if isinstance(scaling, NoSignal):
        raise InboxUnavailable(scaling.reason)
    depths = {lane: inbox.depth(lane) for lane in Lane}
    states, is_paused = worker_states(inbox.redis), paused(inbox.redis)
    quarantined = inbox.quarantined()
    return {
        **asdict(scaling),
        "lanes": {lane.value: depth for lane, depth in depths.items()},
        "states": states,
        "paused": is_paused,
        "quarantined": quarantined,
        "diagnosis": diagnose(
            depths, states, inbox.settings, paused=is_paused, quarantined=quarantined, memory_used=inbox.memory_used()
        ),
    }


def describe(state: Mapping[str, Any]) -> Iterator[str]:
    """The lines of `triagem backlog`."""
    for lane, depth in state["lanes"].items():
        age = "" if depth.oldest_s is None else f", oldest {depth.oldest_s:.0f} s"
        yield f"{lane}: {depth.waiting:,} waiting, {depth.in_flight:,} in flight{age}"
    states = state["states"]
    counts = ", ".join(f"{number} {name}" for name, number in Counter(states.values()).most_common())
    yield f"{len(states)} worker{'' if len(states) == 1 else 's'}" + (f": {counts}" if counts else "")
    drain = "" if state["drain_s"] is None else f", drained in {state['drain_s']:.0f} s"
    yield (
        f"{state['rate']:,.4g} tickets per busy second per worker{drain};"
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


def run_status() -> Iterator[CheckResult]:
    """The rows of `triagem status`. What needs Postgres is one row while it does not answer."""
    yield run_check("queue, workers", _queue)
    yield run_check("model", lambda: current_model()[1].version)
    try:
        yield from _stored()
    except TriagemError as error:
        yield CheckResult("Postgres", problem=str(error))


def _queue() -> str:
    require_answer(servers.redis_url(), 6379, "TRIAGEM_REDIS_URL")
    state = read_state(servers.inbox())
    *lines, diagnosis = describe(state)
    text = "\n".join((diagnosis, *lines))
    if not state["states"]:
        raise CheckFailed(f"no worker is running: start `triagem up` or `triagem worker`; no ticket is lost\n{text}")
    if not diagnosis.startswith(("idle", "draining")):
        raise CheckWarned(text)
    return text


def _stored() -> Iterator[CheckResult]:
    require_answer(servers.database_url(), 5432, "TRIAGEM_DATABASE_URL")
    from triagem.db import Database, DatabaseSettings
    from triagem.db.outbox.monitoring import live_stats, monitor_states, table_stats
    from triagem.notify.alert_messages import duration, phrase
    from triagem.notify.monitor import MonitorSettings

    settings = MonitorSettings()
    since = datetime.now(UTC) - timedelta(seconds=settings.window_s)
    limits = DatabaseSettings(statement_timeout_s=5, lock_timeout_s=1)
    with Database(servers.database_url(), limits) as database:
        live = live_stats(
            database, since=since, last_tickets=1, not_before=since, worker_since=since,
            unsure_below=settings.unsure_under,
        )  # fmt: skip
        stats, states = table_stats(database), monitor_states(database)
    speed = "" if live.p95_s is None else f", 95% of them within {live.p95_s:.3g} s"
    count = f"live tickets in {duration(settings.window_s)}: {live.tickets:,}"
    yield CheckResult("results", f"{count}{speed}, with low confidence: {live.unsure:,}")
    alerts = [
        f"{phrase('en', kind)} since {state.open_since:%Y-%m-%d %H:%M} UTC"
        for kind, state in sorted(states.items())
        if state.open_since
    ]
    yield CheckResult("alerts", "none open", warning="\n".join(alerts) or None)
    dead = sum(stats.dead_letters.values())
    failed = sum(number for (_, state), number in stats.deliveries.items() if state == "failed")
    counts = {
        f"messages not processed: {dead:,} (`triagem dead list`)": dead,
        f"deliveries failed: {failed:,} (`triagem deliveries list --state failed`)": failed,
    }
    yield CheckResult("to do", "nothing", warning="\n".join(line for line, count in counts.items() if count) or None)


def status(
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again every two seconds, until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show queue, workers, model, recent results, open alerts and failures on one screen. Exit status 1 on a problem.

    Example: `triagem status --watch`
    """
    while True:
        results = list(run_status())
        if as_json:
            print_json([as_mapping(result) for result in results])
        else:
            if watch:
                console.clear()
                console.print(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC", highlight=False)
            for result in results:
                print_result(result)
        if not watch:
            break
        time.sleep(_WATCH_S)
    if any(result.problem for result in results):
        raise typer.Exit(1)


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
