"""Builds the scaling signal: backlog and workers as Redis shows them, and the resulting worker count."""

from dataclasses import dataclass
from typing import Annotated, cast

from pydantic import Field

from triagem.contracts.errors import InboxUnavailable
from triagem.contracts.ticket import Lane
from triagem.inbox.client import redis_errors
from triagem.inbox.desired import paused
from triagem.inbox.lease import LAST_RATE, WARMING_UP, list_workers
from triagem.inbox.scaling import BacklogSample, Hold, NoSignal, ScalingSettings, decide
from triagem.inbox.stream import Inbox


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
    drain_s: Annotated[float | None, Field(description="time that the warm workers still need; null without one")]


def scaling_signal(inbox: Inbox, settings: ScalingSettings) -> ScalingSignal | NoSignal:
    """The signal at this moment. Raises AccessDenied."""
    try:
        return _signal(inbox, settings)
    except InboxUnavailable as error:
        return NoSignal(str(error))


def _signal(inbox: Inbox, settings: ScalingSettings) -> ScalingSignal:
    depths = {lane: inbox.depth(lane) for lane in Lane}
    workers = list_workers(inbox.redis)
    rates = [worker.rate for worker in workers if worker.rate]
    warm = [worker for worker in workers if worker.state != WARMING_UP]
    sample = BacklogSample(
        waiting=sum(depth.waiting for depth in depths.values()),
        in_flight=sum(depth.in_flight for depth in depths.values()),
        live=depths[Lane.LIVE].entries,
        workers=len(workers),
        warm=len(warm),
        halted=sum(worker.state.startswith("waiting") for worker in warm),
        rate=sum(rates) / len(rates) if rates else _last_rate(inbox) or settings.rate,
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
        drain_s=(sample.waiting + sample.in_flight) / (sample.rate * len(warm)) if warm else None,
    )


@redis_errors()
def _last_rate(inbox: Inbox) -> float | None:
    """The last reported rate, which is better than any guess after a scale-down to zero."""
    rate = cast("bytes | None", inbox.redis.get(LAST_RATE))
    return float(rate) if rate else None
