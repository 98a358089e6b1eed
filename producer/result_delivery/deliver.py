"""Delivers the results in the outbox: leases due deliveries, sends them and marks the outcome, per target."""

import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import structlog

from triagem.contracts.errors import InvalidInput
from triagem.db import Database
from triagem.db.deliveries import DeliveryState, LeasedResult, due_targets, lease_result, mark_delivery
from triagem.outgoing import Delivered, Request, Retry, SendResult, Undeliverable
from triagem.outgoing.dispatch import AttemptState, delivery_outcome, dispatch
from triagem.producer.crm import CrmConfig
from triagem.producer.crm.result import CrmResult
from triagem.producer.result_delivery.requests import delivery_requests

log = structlog.get_logger(__name__)

Send = Callable[[Request], SendResult]

_AT_ONCE: Final = 4  # per target


def deliver_due(
    database: Database, crm: CrmConfig, send: Send, *, jitter: Callable[[], float] = random.random
) -> Counter[AttemptState]:
    """Attempt due deliveries for a few seconds; return how many ended in each state.

    Raises:
        DatabaseUnavailable: deliveries that were sent but not marked are sent again with the same id when their
            lease expires.
    """

    def attempt(target: str) -> AttemptState | None:
        if (leased := lease_result(database, target)) is None:
            return None
        outcome = delivery_outcome(_attempt(leased, target, crm, send), leased.attempts, jitter())
        mark_delivery(
            database, leased, DeliveryState(outcome.state), reason=outcome.reason, retry_after_s=outcome.after_s
        )
        if outcome.state == "failed":
            log.warning("delivery_failed", delivery=leased.id, target=target, reason=outcome.reason)
        return outcome.state

    counts = dispatch(due_targets(database), attempt, at_once=_AT_ONCE)
    if counts:
        log.info("results_sent", **{str(state): count for state, count in counts.items()})
    return counts


def _attempt(leased: LeasedResult, target: str, crm: CrmConfig, send: Send) -> SendResult | None:
    """Send the requests of a delivery; return the last result, or None if the delivery was superseded."""
    if leased.superseded:
        return None
    response: bytes | None = None
    steps = delivery_requests(_result(leased), target, crm, leased.previous_labels, datetime.now(UTC))
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
        # A wrong response may come from a proxy on the way, so it is retried; our own data does not change.
        return Undeliverable(str(error)) if response is None else Retry(str(error))


def _result(leased: LeasedResult) -> CrmResult:
    return CrmResult(
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
        review=leased.review_id,
    )
