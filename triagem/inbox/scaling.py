"""Decides how many workers there should be, from a sample of the backlog. Pure: another component starts workers.

It keeps no state on purpose. Damping (a stabilisation window, a tolerance) belongs to the component that starts and
stops workers: Kubernetes' autoscaler has both, and more damping here would only make it slower.
"""

from dataclasses import dataclass
from math import ceil
from typing import Self

from pydantic import Field, model_validator

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


@dataclass(frozen=True, slots=True)
class NoSignal:
    """Redis does not answer, so the number is unknown. It must not be read as zero."""

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
