"""Sends what is due in the outbox: results to CRMs, and digests of new alerts to channels. Runs in the ops worker."""

import random
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from triagem.contracts.errors import InvalidInput
from triagem.db import Database
from triagem.db.outbox.alert_digests import AlertDigest, create_digests, lease_digest, match_alerts
from triagem.db.outbox.deliveries import DeliveryState, LeasedResult, lease_result
from triagem.notify.alert_rendering import build_message
from triagem.notify.alert_rules import AlertRules, Links
from triagem.notify.channels import SendMessage
from triagem.notify.crm import CrmTarget, delivery_requests
from triagem.notify.dispatch import send_due
from triagem.notify.request import Delivered, Request, Retry, SendResult, Undeliverable

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
    links: Links = Links(),  # noqa: B008 - frozen
    jitter: Callable[[], float] = random.random,
) -> Counter[DeliveryState]:
    """Create digests of new alerts and try to deliver those that are due, for a few seconds. Returns the outcomes.

    Raises as `send_due`.
    """
    if rules.targets:  # without rules, alerts wait until there are rules
        match_alerts(database, rules.subscriptions)
        create_digests(database, rules.subscriptions)

    def deliver(_: str, digest: AlertDigest) -> SendResult | None:
        if digest.empty:
            return None
        if (target := rules.targets.get(digest.target)) is None:
            return Undeliverable(f"TRIAGEM_ALERTS_FILE has no rule and channel {digest.target}")
        return send(target.channel, build_message(digest, target.language, links))

    return send_due(database, "alert", lease_digest, deliver, at_once=1, jitter=jitter)
