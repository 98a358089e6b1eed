"""Empty the outbox: what is due is leased, sent, settled; one target's slowness is no other's."""

import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Final

import structlog

from contracts.errors import InvalidInput
from db import Database
from db.deliveries import Leased, State, due, lease, settle
from outgoing import Again, Delivered, GiveUp, Request, Verdict
from outgoing.verdict import backoff
from producer.back.requests import requests
from producer.crm import Crm
from producer.crm.result import Result

log = structlog.get_logger(__name__)

Send = Callable[[Request], Verdict]

# About a day: doubled from 5 s to an hour, then hourly.
MOST_ATTEMPTS: Final = 30
_AT_ONCE: Final = 4  # of one target
_BUDGET_S: Final = 5.0


def tell(database: Database, crm: Crm, send: Send, *, jitter: Callable[[], float] = random.random) -> Counter[State]:
    """Try what is due, for a few seconds; how many became what.

    Nobody is waited for longer than a delivery takes: what is left is due at the next run.

    Raises:
        DatabaseAway: what was sent and not noted is sent again, with the same id, when its lease has ended.
    """
    until = time.monotonic() + _BUDGET_S

    def empty(target: str) -> Counter[State]:
        done = Counter[State]()
        while time.monotonic() < until and (leased := lease(database, target)):
            verdict = _attempt(leased, target, crm, send)
            done[_note(database, leased, target, verdict, jitter())] += 1
            if isinstance(verdict, Again):
                break  # it is away: its others would wait as long, in this run
        return done

    targets = due(database)
    with ThreadPoolExecutor(_AT_ONCE * len(targets) or 1, thread_name_prefix="tell") as pool:
        done = sum(pool.map(empty, targets * _AT_ONCE), Counter[State]())
    if done:
        log.info("told", **{state.name.lower(): done[state] for state in State})
    return done


def _attempt(leased: Leased, target: str, crm: Crm, send: Send) -> Verdict | None:
    """The verdict on the last request that was sent; None if there is nothing to tell any more."""
    if leased.overtaken:
        return None
    answered: bytes | None = None
    steps = requests(_result(leased), target, crm, leased.former, datetime.now(UTC))
    try:
        request = next(steps)
        while True:
            verdict = send(request)
            if not isinstance(verdict, Delivered):
                return verdict
            answered = verdict.answer
            request = steps.send(answered)
    except StopIteration:
        return Delivered()
    except InvalidInput as error:
        # What was answered may be a page of somebody on the way; what we hold stays as it is.
        return GiveUp(str(error)) if answered is None else Again(str(error))


def _note(database: Database, leased: Leased, target: str, verdict: Verdict | None, jitter: float) -> State:
    if isinstance(verdict, Again) and leased.attempts >= MOST_ATTEMPTS:
        verdict = GiveUp(f"{verdict.reason}, after {leased.attempts} attempts")
    match verdict:
        case None:
            settle(database, leased, State.OVERTAKEN)
            return State.OVERTAKEN
        case Delivered():
            settle(database, leased, State.DELIVERED)
            return State.DELIVERED
        case Again(reason, after):
            pause = backoff(leased.attempts, after, jitter)
            settle(database, leased, State.WAITING, reason=reason, after_s=pause)
            return State.WAITING
        case GiveUp(reason):
            settle(database, leased, State.GAVE_UP, reason=reason)
            log.warning("given up", delivery=leased.id, target=target, reason=reason)
            return State.GAVE_UP


def _result(leased: Leased) -> Result:
    return Result(
        source=leased.source,
        external_id=leased.external_id,
        digest=leased.digest,
        revised_at=leased.revised_at,
        label=leased.label,
        confidence=leased.confidence,
        band=leased.band,
        model_version=leased.model_version,
        classified_at=leased.classified_at,
        reviewed=leased.reviewed,
        review=leased.review,
    )
