"""Decides how many workers there should be, from backlog and workers in Redis. Another component starts them.

It keeps no state on purpose. Damping (a stabilisation window, a tolerance) belongs to the component that starts and
stops workers: Kubernetes' autoscaler has both, and more damping here would only make it slower.
"""

from dataclasses import dataclass
from math import ceil
from typing import Annotated, Self, cast

from pydantic import Field, model_validator

from triagem.contracts.ticket import Lane
from triagem.inbox.client import redis_errors
from triagem.inbox.lease import LAST_RATE, WARMING_UP, list_workers, paused
from triagem.inbox.stream import Inbox
from triagem.settings import Settings


class ScalingSettings(Settings, used_by="gateway, `triagem backlog`", env_prefix="TRIAGEM_SCALE_"):
    """`TRIAGEM_SCALE_*`: limits and goals of the worker count."""

    min: int = Field(default=0, ge=0, description="minimum workers, even if no ticket waits; 0 allows none")
    max: int = Field(default=8, ge=1, description="maximum workers")
    live_min: int = Field(default=0, ge=0, description="minimum workers while the live lane has entries")
    drain_s: float = Field(default=300, gt=0, description="seconds in which the present backlog should be classified")
    cold_start_s: float = Field(default=30, ge=0, description="seconds from the request for a worker to a warm model")
    rate: float = Field(
        default=30, gt=0, description="tickets per busy second of a worker, until a worker reports its own"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.max < max(self.min, self.live_min):
            raise ValueError("TRIAGEM_SCALE_MAX is less than TRIAGEM_SCALE_MIN or TRIAGEM_SCALE_LIVE_MIN")
        # With a shorter time, the present workers would finish before a new one is warm.
        if self.drain_s < 2 * self.cold_start_s:
            raise ValueError("TRIAGEM_SCALE_DRAIN_S must be at least twice TRIAGEM_SCALE_COLD_START_S")
        return self


@dataclass(frozen=True, slots=True)
class BacklogSample:
    """The backlog and the workers at one moment. `rate` is in tickets per busy second of one worker.

    `workers` hold a lease, `warm` ones have a loaded model, and `halted` ones are warm but waiting out an outage.
    """

    waiting: int
    in_flight: int
    live: int
    workers: int
    warm: int
    halted: int
    rate: float
    paused: bool


@dataclass(frozen=True, slots=True)
class ScaleTo:
    """Run this number of workers."""

    workers: int
    reason: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Keep the present number of workers: the effect of more or fewer cannot be predicted now."""

    workers: int
    reason: str


def decide(sample: BacklogSample, settings: ScalingSettings) -> ScaleTo | Hold:
    """The number of workers for this sample.

    A new worker is productive for the part of `drain_s` after its cold start, so tickets are divided by that time.
    Entries in flight count: without them, a backlog whose last entries are in flight would look empty, and the
    workers that hold these entries would be stopped.
    """
    if sample.paused:
        return Hold(sample.workers, "paused: `triagem resume` continues")
    if sample.warm and sample.warm == sample.halted:
        return Hold(sample.workers, "every worker is waiting out an outage")
    tickets = sample.waiting + sample.in_flight
    needed = ceil(tickets / (sample.rate * (settings.drain_s - settings.cold_start_s)))
    least = max(settings.min, settings.live_min if sample.live else 0)
    if needed > settings.max:
        return ScaleTo(settings.max, f"the maximum; {needed:,} would be needed to drain it in {settings.drain_s:g} s")
    if needed < least:
        return ScaleTo(least, "the minimum")
    if not tickets:
        return ScaleTo(0, "nothing waits")
    return ScaleTo(needed, f"{tickets:,} tickets in {settings.drain_s:g} s at {sample.rate:g} tickets/s per worker")


@dataclass(frozen=True, slots=True)
class ScalingSignal:
    """The answer of `GET /autoscale` and `triagem backlog --json`. Units: tickets, seconds, tickets per second.

    `rate` is the rate of one worker. `drain_s` is the time that the warm workers still need, None without a warm one.
    With `hold`, `desired` is the present count, because no better number can be given now.
    """

    desired: Annotated[int, Field(description="the number of workers to run")]
    hold: Annotated[bool, Field(description="whether `desired` is the present count")]
    reason: Annotated[str, Field(description="how `desired` was computed")]
    waiting: Annotated[int, Field(description="entries that wait")]
    in_flight: Annotated[int, Field(description="entries that workers have fetched")]
    oldest_s: Annotated[float | None, Field(description="age of the oldest entry; null if there is none")]
    workers: Annotated[int, Field(description="workers that hold a lease")]
    rate: Annotated[float, Field(description="tickets per busy second of one worker")]
    rate_measured: Annotated[bool, Field(description="whether a worker has reported `rate`; else it is assumed")]
    drain_s: Annotated[float | None, Field(description="time that the warm workers still need; null without one")]


def scaling_signal(inbox: Inbox, settings: ScalingSettings) -> ScalingSignal:
    """The signal at this moment. Raises InboxUnavailable: then the number is unknown, which must not be read as 0."""
    depths = {lane: inbox.depth(lane) for lane in Lane}
    workers = list_workers(inbox.redis)
    rates = [worker.rate for worker in workers if worker.rate]
    measured = sum(rates) / len(rates) if rates else last_rate(inbox)
    warm = [worker for worker in workers if worker.state != WARMING_UP]
    sample = BacklogSample(
        waiting=sum(depth.waiting for depth in depths.values()),
        in_flight=sum(depth.in_flight for depth in depths.values()),
        live=depths[Lane.LIVE].entries,
        workers=len(workers),
        warm=len(warm),
        halted=sum(worker.state.startswith("waiting") for worker in warm),
        rate=measured or settings.rate,
        paused=paused(inbox.redis),
    )
    decision = decide(sample, settings)
    return ScalingSignal(
        desired=decision.workers,
        hold=isinstance(decision, Hold),
        reason=decision.reason,
        waiting=sample.waiting,
        in_flight=sample.in_flight,
        oldest_s=max((depth.oldest_s for depth in depths.values() if depth.oldest_s is not None), default=None),
        workers=sample.workers,
        rate=sample.rate,
        rate_measured=bool(measured),
        drain_s=(sample.waiting + sample.in_flight) / (sample.rate * len(warm)) if warm else None,
    )


@redis_errors()
def last_rate(inbox: Inbox) -> float | None:
    """The last reported rate, which is better than any guess after a scale-down to zero."""
    rate = cast("bytes | None", inbox.redis.get(LAST_RATE))
    return float(rate) if rate else None
