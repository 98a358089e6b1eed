"""Delivers the results in the outbox to CRMs. Runs in the ops worker; a CRM's own process does not need it."""

import random
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from triagem.contracts.errors import InvalidInput
from triagem.db import Database
from triagem.db.outbox.deliveries import DeliveryState, LeasedResult, lease_result
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
        targets: by name, such as `shop.callback`: the table of the CRM file that says how.
    """

    def send_result(target: str, leased: LeasedResult) -> SendResult:
        return Delivered() if leased.unchanged else _send(leased, target, targets.get(target), send)

    return send_due(database, "result", lease_result, send_result, at_once=_AT_ONCE, jitter=jitter)


def _send(leased: LeasedResult, name: str, target: CrmTarget | None, send: Send) -> SendResult:
    """Send the requests of a delivery, each built from the response to the one before; return the last result."""
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
        # A wrong response may come from a proxy on the way, so it is retried; our own data does not change.
        return Undeliverable(str(error)) if response is None else Retry(str(error))
