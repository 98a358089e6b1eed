"""Empty the outbox: what is due is leased, sent, settled; one target's slowness is no other's."""

import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import structlog

from triagem.contracts.errors import InvalidInput
from triagem.db import Database
from triagem.db.deliveries import Leased, State, due, lease, settle
from triagem.outgoing import Again, Delivered, GiveUp, Request, Verdict
from triagem.outgoing.turn import Became, outcome, turn
from triagem.producer.back.requests import requests
from triagem.producer.crm import Crm
from triagem.producer.crm.result import Result

log = structlog.get_logger(__name__)

Send = Callable[[Request], Verdict]

_AT_ONCE: Final = 4  # of one target


def tell(database: Database, crm: Crm, send: Send, *, jitter: Callable[[], float] = random.random) -> Counter[Became]:
    """Try what is due, for a few seconds; how many became what.

    Raises:
        DatabaseAway: what was sent and not noted is sent again, with the same id, when its lease has ended.
    """

    def attempt(target: str) -> Became | None:
        if (leased := lease(database, target)) is None:
            return None
        found = outcome(_attempt(leased, target, crm, send), leased.attempts, jitter())
        settle(database, leased, State(found.state), reason=found.reason, after_s=found.after_s)
        if found.state == "gave-up":
            log.warning("given up", delivery=leased.id, target=target, reason=found.reason)
        return found.state

    done = turn(due(database), attempt, at_once=_AT_ONCE)
    if done:
        log.info("told", **{str(state): count for state, count in done.items()})
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
