"""Sends what is due in the outbox: results to CRMs, and digests of new alerts to channels. Runs in the ops worker.

Both use one loop that runs for a few seconds: lease, send, mark the outcome. Targets are independent.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, TypeVar

import structlog

from triagem.contracts.errors import InvalidInput
from triagem.db import Database
from triagem.db.outbox.alerts import AlertDigest, create_digests, lease_digest
from triagem.db.outbox.deliveries import (
    DeliveryState,
    LeasedDelivery,
    LeasedResult,
    due_targets,
    lease_result,
    mark_delivery,
)
from triagem.notify.alert_rendering import build_message
from triagem.notify.alert_rules import AlertRules, AlertSettings
from triagem.notify.channels import SendMessage
from triagem.notify.crm import CrmTarget, delivery_requests
from triagem.notify.request import Delivered, Request, Retry, SendResult, Undeliverable, backoff

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


Send = Callable[[Request], SendResult]

_AT_ONCE: Final = 4  # per target


def deliver_due(
    database: Database,
    targets: Mapping[str, CrmTarget],
    send: Send,
    *,
    jitter: Callable[[], float] = random.random,
) -> Counter[DeliveryState]:
    """Attempt due deliveries for a few seconds; return how many ended in each state. Raises as `send_due`.

    Args:
        targets: the settings of each target, by its table's name in the CRM file, such as `shop.callback`.
    """

    def send_result(target: str, leased: LeasedResult) -> SendResult:
        return Delivered() if leased.unchanged else _send(leased, target, targets.get(target), send)

    return send_due(database, "result", lease_result, send_result, at_once=_AT_ONCE, jitter=jitter)


def _send(leased: LeasedResult, name: str, target: CrmTarget | None, send: Send) -> SendResult:
    """Send a delivery's requests in order, each built from the previous response; return the last result."""
    if target is None:
        return Undeliverable(f"TRIAGEM_CRM_FILE has no table [{name}]")
    response: bytes | None = None
    steps = delivery_requests(leased, target, datetime.now(UTC))
    try:
        request = next(steps)
        while True:
            result = send(request)
            if not isinstance(result, Delivered):
                return result
            response = result.body
            request = steps.send(response)
    except StopIteration:
        return Delivered()
    except InvalidInput as error:
        # Retry after an invalid response, which may come from a proxy; invalid stored data would fail again.
        return Undeliverable(str(error)) if response is None else Retry(str(error))


def send_due_alerts(
    database: Database,
    rules: AlertRules,
    send: SendMessage,
    *,
    jitter: Callable[[], float] = random.random,
) -> Counter[DeliveryState]:
    """Create digests of new alerts and try to deliver those that are due, for a few seconds. Returns the outcomes.

    Raises as `send_due`.
    """
    settings = AlertSettings()
    if rules.targets:  # without rules, alerts wait until there are rules
        create_digests(database, rules.subscriptions)

    def deliver(_: str, digest: AlertDigest) -> SendResult | None:
        if digest.empty:
            return None
        if (target := rules.targets.get(digest.target)) is None:
            return Undeliverable(f"TRIAGEM_ALERTS_FILE has no rule and channel {digest.target}")
        return send(target.channel, build_message(digest, target.language, settings))

    return send_due(database, "alert", lease_digest, deliver, at_once=1, jitter=jitter)
