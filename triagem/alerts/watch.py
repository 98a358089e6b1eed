"""Window alerts: a look at the live tickets of the last minutes, at workers and inbox, and what it comes to."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

import structlog
from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from triagem.alerts.patience import Patience, look
from triagem.alerts.words import state_of
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.db.alerts import WATCHED
from triagem.db.watch import Live, Watch, live, note, since_a_worker, watches
from triagem.inbox import Inbox
from triagem.inbox.desired import paused
from triagem.inbox.lease import memory, workers

log = structlog.get_logger(__name__)


class WatchSettings(BaseSettings):
    """What is too much, and how patient we are. The first four limits are the seed document's."""

    model_config = SettingsConfigDict(env_prefix="TRIAGEM_WATCH_", env_file=".env", extra="ignore")

    unsure_under: float = Field(default=0.7, gt=0, le=1, description="a confidence below it is unsure")
    unsure_share: float = Field(default=0.2, ge=0, le=1, description="of live tickets")
    error_share: float = Field(default=0.01, ge=0, le=1, description="dead letters among live tickets")
    latency_s: float = Field(default=0.5, gt=0, description="95 of 100 live tickets from put to row; a GPU's figure")
    memory_share: float = Field(default=0.8, gt=0, le=1, description="of a worker's container or machine")
    oldest_s: float = Field(default=300, gt=0, description="how long a live ticket may wait")
    window_s: float = Field(default=300, ge=10, description="the minutes that a look is about")
    least: int = Field(default=20, ge=1, description="fewer live tickets in a window prove nothing")
    bad: int = Field(default=2, ge=1, description="so many bad looks among the last `of` raise the alert")
    of: int = Field(default=3, ge=1)
    good: int = Field(default=3, ge=1, description="so many good looks in a row resolve it")
    off: Annotated[frozenset[str], NoDecode] = Field(default=frozenset(), description="kinds, by commas")

    @model_validator(mode="before")
    @classmethod
    def _split(cls, values: dict[str, object]) -> dict[str, object]:
        if isinstance(off := values.get("off"), str):
            values["off"] = frozenset(filter(None, map(str.strip, off.split(","))))
        return values

    @model_validator(mode="after")
    def _check(self) -> "WatchSettings":
        if self.bad > self.of:
            raise ValueError("bad: there are only `of` looks")
        if unknown := sorted(self.off - set(WATCHED)):
            raise ValueError(f"off: {unknown[0]!r} is none of {', '.join(WATCHED)}")
        return self


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look finds. `memory`: the highest share of a worker's limit; None where nobody says one."""

    live: Live
    workers: int
    memory: float | None
    oldest_s: float | None
    paused: bool


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure beside its limit."""

    kind: str
    value: float
    limit: float
    bad: bool


def measures(seen: Seen, settings: WatchSettings) -> Iterable[Measure]:
    """What can be said; a kind is left out where too little is known, and stays as it was. Pure."""
    found, ended = seen.live, seen.live.tickets + seen.live.dead
    figures: list[tuple[str, float | None, float]] = [
        ("unsure-share", _share(found.unsure, found.tickets, settings.least), settings.unsure_share),
        ("error-rate", _share(found.dead, ended, settings.least), settings.error_share),
        ("latency", found.p95_s if found.timed >= settings.least else None, settings.latency_s),
        ("memory", seen.memory, settings.memory_share),
        # While it is paused tickets wait because somebody wants them to.
        ("oldest-ticket", None if seen.paused else seen.oldest_s or 0.0, settings.oldest_s),
    ]
    yield Measure("no-worker", seen.workers, 1, bad=seen.workers < 1)
    for kind, value, limit in figures:
        if value is not None:
            yield Measure(kind, value, limit, bad=value > limit)


def watch(database: Database, inbox: Inbox, settings: WatchSettings, now: datetime) -> list[str]:
    """Look once, and raise what opens or is resolved by it: an alert each. What is open then.

    Raises InboxAway, DatabaseAway: without both there is no look, and nothing changes.
    """
    patience = Patience(settings.bad, settings.of, settings.good)
    known = watches(database)
    for found in measures(_see(database, inbox, settings, known, now), settings):
        if found.kind in settings.off:
            continue
        was = known.get(found.kind, Watch())
        is_open, recent = look(was.open_since is not None, was.recent, found.bad, patience)
        open_since = (was.open_since or now) if is_open else None
        after = Watch(open_since, recent, now, now if found.bad else was.bad_at)
        key, detail = None, None
        if is_open != (was.open_since is not None):
            state = "open" if is_open else "resolved"
            key = f"{open_since or was.open_since:%Y-%m-%dT%H:%M:%S.%fZ} {state}"
            detail = state_of(found.kind, state, found.value, found.limit)
            log.warning("window alert", kind=found.kind, state=state, value=found.value, limit=found.limit)
        note(database, found.kind, was, after, key=key, detail=detail)
        known[found.kind] = after
    return [kind for kind, one in known.items() if one.open_since]


def _see(database: Database, inbox: Inbox, settings: WatchSettings, known: dict[str, Watch], now: datetime) -> Seen:
    window = timedelta(seconds=settings.window_s)
    worker_since = since_a_worker(known.get("no-worker"), window, now)
    return Seen(
        live=live(database, since=now - window, worker_since=worker_since, under=settings.unsure_under),
        workers=len(workers(inbox.redis)),
        memory=max(memory(inbox.redis), default=None),
        oldest_s=inbox.depth(Lane.LIVE).oldest_s,
        paused=paused(inbox.redis),
    )


def _share(part: int, whole: int, least: int) -> float | None:
    return part / whole if whole >= least else None
