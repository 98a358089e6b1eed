"""Sends due deliveries of the outbox for a few seconds: lease, send, mark the outcome. Targets are independent.

Results for CRMs and alert digests use the same loop, with different functions `lease` and `send`.
"""

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

import structlog

from triagem.db import Database
from triagem.db.outbox.deliveries import DeliveryState, LeasedDelivery, due_targets, mark_delivery
from triagem.notify.request import Delivered, Retry, SendResult, Undeliverable, backoff

log = structlog.get_logger(__name__)
Leased = TypeVar("Leased", bound=LeasedDelivery)

# Attempts last about a day: the pause doubles from 5 s to an hour, then stays an hour.
MAX_ATTEMPTS: Final = 30
_BUDGET_S: Final = 5.0
_EVENTS: Final = {"result": "results_sent", "alert": "alerts_sent"}


@dataclass(frozen=True, slots=True)
class DeliveryOutcome:
    """The state to store after an attempt. A delivery in state `waiting` is due again in `after_s` seconds."""

    state: DeliveryState
    reason: str | None = None
    after_s: float = 0.0


def delivery_outcome(result: SendResult | None, attempts: int, jitter: float) -> DeliveryOutcome:
    """The outcome after this number of attempts. `result` is None if a newer delivery superseded this one."""
    match result:
        case None:
            return DeliveryOutcome(DeliveryState.SUPERSEDED)
        case Delivered():
            return DeliveryOutcome(DeliveryState.DELIVERED)
        case Retry(reason) if attempts >= MAX_ATTEMPTS:
            return DeliveryOutcome(DeliveryState.FAILED, f"{reason}, after {attempts} attempts")
        case Retry(reason, retry_after_s):
            return DeliveryOutcome(DeliveryState.WAITING, reason, backoff(attempts, retry_after_s, jitter))
        case Undeliverable(reason):
            return DeliveryOutcome(DeliveryState.FAILED, reason)


def send_due(
    database: Database,
    kind: Literal["result", "alert"],
    lease: Callable[[Database, str], Leased | None],
    send: Callable[[str, Leased], SendResult | None],
    *,
    at_once: int,
    jitter: Callable[[], float],
) -> Counter[DeliveryState]:
    """Attempt due deliveries; return how many ended in each state.

    After a failed attempt, the target's other deliveries wait for the next round, because they would fail as well.
    When the time is up, running attempts finish and all other deliveries wait for the next round.

    Args:
        lease: leases one delivery of a target; returns None if nothing is due.
        send: sends a delivery; returns None if a newer one superseded it, so that it was not sent.
        at_once: number of concurrent attempts per target.
        jitter: returns a random number from 0 to 1.

    Raises:
        DatabaseUnavailable: a delivery that was sent but not marked is sent again, with the same id, when its lease
            expires.
    """
    deadline = time.monotonic() + _BUDGET_S

    def attempt(target: str) -> DeliveryState | None:
        if (leased := lease(database, target)) is None:
            return None
        outcome = delivery_outcome(send(target, leased), leased.attempts, jitter())
        mark_delivery(database, leased, outcome.state, reason=outcome.reason, retry_after_s=outcome.after_s)
        if outcome.state is DeliveryState.FAILED:
            log.warning("delivery_failed", delivery=leased.id, target=target, reason=outcome.reason)
        return outcome.state

    def drain(target: str) -> Counter[DeliveryState]:
        counts = Counter[DeliveryState]()
        while time.monotonic() < deadline and (state := attempt(target)):
            counts[state] += 1
            if state is DeliveryState.WAITING:
                break
        return counts

    targets = due_targets(database, kind)
    with ThreadPoolExecutor(at_once * len(targets) or 1, thread_name_prefix="dispatch") as pool:
        counts = sum(pool.map(drain, targets * at_once), Counter[DeliveryState]())
    if counts:
        log.info(_EVENTS[kind], **{str(state): count for state, count in counts.items()})
    return counts
