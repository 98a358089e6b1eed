"""System monitor: checks recent live tickets, workers and the inbox, and opens or resolves system alerts."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import structlog
from pydantic import Field, model_validator
from pydantic_settings import NoDecode

from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.db.outbox.alerts import MONITOR_KINDS
from triagem.db.outbox.monitoring import (
    LiveStats,
    MonitorState,
    live_stats,
    monitor_states,
    save_monitor_state,
    worker_up_since,
)
from triagem.inbox import Inbox
from triagem.inbox.lease import list_workers, paused, worker_memory
from triagem.notify.alert_messages import system_alert_detail
from triagem.settings import Settings

WINDOW: Final = timedelta(minutes=5)
# If the window has fewer tickets, a check evaluates this number of latest tickets instead, of at most this age.
LAST_TICKETS: Final = 50
LOOKBACK: Final = timedelta(days=1)
MIN_TICKETS: Final = 20
# Among fewer tickets, this number of dead letters is an error rate: at a rate of 1%, the probability of 3 among 19 is
# under 0.1% (binomial distribution).
MIN_DEAD_LETTERS: Final = 3
# An alert opens after this number of bad checks among the last ones, and is resolved after good ones in a row.
BAD_CHECKS: Final = 2
LAST_CHECKS: Final = 3
GOOD_CHECKS: Final = 3


class MonitorSettings(Settings, used_by="ops, gateway", env_prefix="TRIAGEM_MONITOR_"):
    """Limits. The first four come from the original specification."""

    unsure_under: float = Field(default=0.7, gt=0, le=1, description="a lower confidence counts as unsure")
    unsure_share: float = Field(
        default=0.2, ge=0, le=1, description="an alert opens above this share of unsure live tickets"
    )
    error_share: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="an alert opens above this share of live tickets that became dead letters",
    )
    latency_s: float = Field(
        default=0.5,
        gt=0,
        description="an alert opens if 5 % of live tickets wait longer for their stored result; a target for GPUs",
    )
    memory_share: float = Field(
        default=0.8,
        gt=0,
        le=1,
        description="an alert opens above this share of a worker's container or machine memory",
    )
    oldest_s: float = Field(default=300, gt=0, description="an alert opens if a live ticket waits longer")
    disabled_kinds: Annotated[frozenset[str], NoDecode] = Field(
        default=frozenset(), description="kinds that are not checked, comma-separated"
    )

    @model_validator(mode="before")
    @classmethod
    def _split(cls, values: dict[str, object]) -> dict[str, object]:
        if isinstance(kinds := values.get("disabled_kinds"), str):
            values["disabled_kinds"] = frozenset(filter(None, map(str.strip, kinds.split(","))))
        return values

    @model_validator(mode="after")
    def _check(self) -> "MonitorSettings":
        if unknown := sorted(self.disabled_kinds - set(MONITOR_KINDS)):
            raise ValueError(f"disabled_kinds: {unknown[0]!r} is not one of {', '.join(MONITOR_KINDS)}")
        return self


@dataclass(frozen=True, slots=True)
class SystemSnapshot:
    """The state of the system at a check.

    `memory` is the highest share of its limit that a worker uses; None if no worker reports it. `without_registry` is
    the number of workers that cannot reach the registry.
    """

    live: LiveStats
    workers: int
    memory: float | None
    oldest_s: float | None
    paused: bool
    without_registry: int = 0


@dataclass(frozen=True, slots=True)
class Measurement:
    """A measured value and its limit."""

    kind: str
    value: float
    limit: float
    bad: bool


def measure(snapshot: SystemSnapshot, settings: MonitorSettings) -> Iterable[Measurement]:
    """Compare the snapshot with the limits. Kinds without enough data are left out and keep their state. Pure."""
    counts = snapshot.live
    values: list[tuple[str, float | None, float]] = [
        ("unsure-share", _share(counts.unsure, counts.tickets), settings.unsure_share),
        ("error-rate", _error_rate(counts), settings.error_share),
        ("latency", counts.p95_s if counts.latency_samples >= MIN_TICKETS else None, settings.latency_s),
        ("memory", snapshot.memory, settings.memory_share),
        # While an operator pauses the workers, it is normal that tickets wait.
        ("oldest-ticket", None if snapshot.paused else snapshot.oldest_s or 0.0, settings.oldest_s),
    ]
    yield Measurement("no-worker", snapshot.workers, 1, bad=snapshot.workers < 1)
    yield Measurement("registry", snapshot.without_registry, 0, bad=snapshot.without_registry > 0)
    for kind, value, limit in values:
        if value is not None:
            yield Measurement(kind, value, limit, bad=value > limit)


def update(
    is_open: bool, recent: tuple[bool, ...], bad: bool, *, good_checks: int = GOOD_CHECKS
) -> tuple[bool, tuple[bool, ...]]:
    """Whether the alert is open after one more check, and the checks to pass as `recent` next time.

    It opens after `BAD_CHECKS` bad checks among the last `LAST_CHECKS`, and is resolved after `good_checks` in a row.

    Args:
        recent: the second value returned after the previous check (`True` is bad); empty at first.
    """
    if is_open:
        streak = () if bad else (*recent, False)
        return (False, ()) if len(streak) >= good_checks else (True, streak)
    checks = (*recent, bad)[-LAST_CHECKS:]
    return (True, ()) if sum(checks) >= BAD_CHECKS else (False, checks)


log = structlog.get_logger(__name__)

_STATES: Final = {"no-worker", "registry"}  # states without noise: one good check resolves them
_START_S: Final = 60.0  # latency counts only tickets that arrived this long after a worker's start


def check_system(database: Database, inbox: Inbox, settings: MonitorSettings, now: datetime) -> list[str]:
    """Check once and raise an alert for each kind that opens or is resolved. Returns the kinds that are open.

    Raises:
        InboxUnavailable, DatabaseUnavailable: a check needs both; nothing was changed.
    """
    states = monitor_states(database)
    for measurement in measure(_take_snapshot(database, inbox, settings, states, now), settings):
        kind, value, limit = measurement.kind, measurement.value, measurement.limit
        if kind in settings.disabled_kinds:
            continue
        before = states.get(kind, MonitorState())
        good_checks = 1 if kind in _STATES else GOOD_CHECKS
        is_open, recent = update(
            before.open_since is not None, before.recent, measurement.bad, good_checks=good_checks
        )
        since = before.open_since or (before.last_bad_at if any(before.recent) else None) or now
        open_since = since if is_open else None
        after = MonitorState(open_since, recent, now, now if measurement.bad else before.last_bad_at)
        key, detail = None, None
        if is_open != (before.open_since is not None):
            state = "open" if is_open else "resolved"
            key = f"{since:%Y-%m-%dT%H:%M:%S.%fZ} {state}"
            detail = system_alert_detail(kind, state, value, limit, since=since, now=now)
            log.warning("system_alert", kind=kind, state=state, value=value, limit=limit)
        save_monitor_state(database, kind, before, after, key=key, detail=detail)
        states[kind] = after
    return [kind for kind, state in states.items() if state.open_since]


def recent_live_stats(
    database: Database, settings: MonitorSettings, now: datetime, *, worker_since: datetime
) -> LiveStats:
    """Statistics of the recent live tickets on which the limits are checked; `worker_since`: as in `live_stats`."""
    return live_stats(
        database,
        since=now - WINDOW,
        last_tickets=LAST_TICKETS,
        not_before=now - LOOKBACK,
        worker_since=worker_since,
        unsure_below=settings.unsure_under,
    )


def _take_snapshot(
    database: Database, inbox: Inbox, settings: MonitorSettings, states: dict[str, MonitorState], now: datetime
) -> SystemSnapshot:
    workers = list_workers(inbox.redis)
    started = min((worker.at_work_since or now.timestamp() for worker in workers), default=0.0) + _START_S
    worker_since = worker_up_since(states.get("no-worker"), LOOKBACK, now)
    worker_since = max(worker_since, datetime.fromtimestamp(started, UTC))
    live = recent_live_stats(database, settings, now, worker_since=worker_since)
    return SystemSnapshot(
        live=live,
        workers=len(workers),
        memory=max(worker_memory(inbox.redis), default=None),
        oldest_s=inbox.depth(Lane.LIVE).oldest_s,
        paused=paused(inbox.redis),
        without_registry=sum(worker.state.startswith("at work: ") for worker in workers),
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole >= MIN_TICKETS else None


def _error_rate(counts: LiveStats) -> float:
    """The share of dead letters; 0 if there are few tickets and few dead letters, so that the alert is resolved."""
    tickets = counts.tickets + counts.dead_letters
    is_known = tickets >= MIN_TICKETS or counts.dead_letters >= MIN_DEAD_LETTERS
    return counts.dead_letters / tickets if is_known else 0.0
