"""The scaling signal: what Redis knows of the backlog and of who works on it, and the wish that follows."""

from dataclasses import dataclass
from typing import cast

from triagem.contracts.errors import InboxAway
from triagem.contracts.ticket import Lane
from triagem.inbox.client import redis_errors
from triagem.inbox.desired import paused
from triagem.inbox.lease import LAST_RATE, WARMING_UP, crew
from triagem.inbox.scaling import Hold, NoSample, Sample, ScalingSettings, decide
from triagem.inbox.stream import Depth, Inbox


@dataclass(frozen=True, slots=True)
class Signal:
    """What `GET /autoscale` and `triagem backlog --json` say. Tickets, seconds, tickets a second.

    `rate` is one worker's; `drain_s` how long those that are warm have still to do, None without one. `hold`:
    `desired` is the present count, because nothing can be said now.
    """

    desired: int
    hold: bool
    why: str
    waiting: int
    in_flight: int
    oldest_s: float | None
    workers: int
    rate: float
    drain_s: float | None


def signal(inbox: Inbox, settings: ScalingSettings) -> Signal | NoSample:
    """The signal of this moment. Raises AccessDenied."""
    try:
        return _signal(inbox, settings)
    except InboxAway as error:
        return NoSample(str(error))


def _signal(inbox: Inbox, settings: ScalingSettings) -> Signal:
    depths = {lane: inbox.depth(lane) for lane in Lane}
    members = crew(inbox.redis)
    said = [one.rate for one in members if one.rate]
    warm = [one for one in members if one.state != WARMING_UP]
    sample = Sample(
        waiting=sum(depth.waiting for depth in depths.values()),
        in_flight=sum(depth.in_flight for depth in depths.values()),
        live=_entries(depths[Lane.LIVE]),
        workers=len(members),
        warm=len(warm),
        halted=sum(one.state.startswith("waiting") for one in warm),
        rate=sum(said) / len(said) if said else _last_rate(inbox) or settings.rate,
        paused=paused(inbox.redis),
    )
    decision = decide(sample, settings)
    return Signal(
        desired=decision.workers,
        hold=isinstance(decision, Hold),
        why=decision.why,
        waiting=sample.waiting,
        in_flight=sample.in_flight,
        oldest_s=max((depth.oldest_s for depth in depths.values() if depth.oldest_s is not None), default=None),
        workers=sample.workers,
        rate=sample.rate,
        drain_s=(sample.waiting + sample.in_flight) / (sample.rate * len(warm)) if warm else None,
    )


def _entries(depth: Depth) -> int:
    return depth.waiting + depth.in_flight


def _last_rate(inbox: Inbox) -> float | None:
    """What the last worker that spoke said: after a scale down to none, better than any guess."""
    with redis_errors():
        said = cast("bytes | None", inbox.redis.get(LAST_RATE))
    return float(said) if said else None
