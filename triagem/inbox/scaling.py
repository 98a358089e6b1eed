"""How many workers there should be. Pure: what is known of the backlog in, a decision out; somebody else starts them.

It has no memory on purpose. What keeps a count from jumping, a stabilisation window and a tolerance, belongs to
whoever starts and ends workers: Kubernetes' autoscaler has both, and a second one here would only make it slower.
"""

from dataclasses import dataclass
from math import ceil
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class ScalingSettings(BaseSettings):
    """`TRIAGEM_SCALE_*`: what is asked of the crew of workers."""

    model_config = SettingsConfigDict(env_prefix="TRIAGEM_SCALE_", env_file=".env", extra="ignore")

    min: int = Field(default=0, ge=0, description="workers that are kept though nothing waits; 0: down to none")
    max: int = Field(default=8, ge=1, description="most workers")
    live_floor: int = Field(default=0, ge=0, description="least workers while the live lane holds anything")
    drain_s: float = Field(default=300, gt=0, description="how soon what waits now should be done")
    cold_start_s: float = Field(default=30, ge=0, description="from the wish for a worker until its model is warm")
    rate: float = Field(
        default=30, gt=0, description="tickets per busy second of a worker, until one has said its own"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.max < max(self.min, self.live_floor):
            raise ValueError("TRIAGEM_SCALE_MAX is less than TRIAGEM_SCALE_MIN or TRIAGEM_SCALE_LIVE_FLOOR")
        # With less, those at work would be done before a new one is warm, and it would have come for nothing.
        if self.drain_s < 2 * self.cold_start_s:
            raise ValueError("TRIAGEM_SCALE_DRAIN_S must be at least twice TRIAGEM_SCALE_COLD_START_S")
        return self


@dataclass(frozen=True, slots=True)
class Sample:
    """What the inbox says at one moment. `rate` is in tickets per busy second of one worker.

    `workers` hold a lease; `warm` are those whose model is loaded, `halted` those of them that wait out an outage.
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
class Desired:
    """So many workers."""

    workers: int
    why: str


@dataclass(frozen=True, slots=True)
class Hold:
    """As many as there are: nobody can tell now what more, or fewer, would do."""

    workers: int
    why: str


@dataclass(frozen=True, slots=True)
class NoSample:
    """Redis does not answer. That is no reason for any number, least of all for zero."""

    why: str


def decide(sample: Sample, settings: ScalingSettings) -> Desired | Hold:
    """The wish of this moment.

    A new worker is at work for what is left of `drain_s` after its cold start, so that this is what the tickets are
    shared over. What is in flight counts: without it, the end of a backlog would look like none, and those who
    hold it would be ended.
    """
    if sample.paused:
        return Hold(sample.workers, "paused: `triagem resume` goes on")
    if sample.warm and sample.warm == sample.halted:
        return Hold(sample.workers, "every worker waits out an outage")
    tickets = sample.waiting + sample.in_flight
    needed = ceil(tickets / (sample.rate * (settings.drain_s - settings.cold_start_s)))
    floor = max(settings.min, settings.live_floor if sample.live else 0)
    if needed > settings.max:
        return Desired(settings.max, f"{needed:,} would do it in {settings.drain_s:g} s: as many as are allowed")
    if needed < floor:
        return Desired(floor, "the least that is kept")
    if not tickets:
        return Desired(0, "nothing waits")
    return Desired(needed, f"{tickets:,} tickets within {settings.drain_s:g} s, {sample.rate:g} a second and worker")
