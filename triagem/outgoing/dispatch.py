"""Dispatches due deliveries for a few seconds, each target independently, and decides what follows an attempt."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Literal

from triagem.outgoing.request import Delivered, Retry, SendResult, Undeliverable
from triagem.outgoing.response import backoff

AttemptState = Literal["waiting", "delivered", "failed", "superseded"]

# About a day: doubled from 5 s to an hour, then hourly.
MAX_ATTEMPTS: Final = 30
_BUDGET_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class DeliveryOutcome:
    """The state to store after an attempt. A delivery in state `waiting` is due again in `after_s` seconds."""

    state: AttemptState
    reason: str | None = None
    after_s: float = 0.0


def delivery_outcome(result: SendResult | None, attempts: int, jitter: float) -> DeliveryOutcome:
    """The outcome after this number of attempts. `result` is None if the delivery was superseded, so not sent."""
    match result:
        case None:
            return DeliveryOutcome("superseded")
        case Delivered():
            return DeliveryOutcome("delivered")
        case Retry(reason) if attempts >= MAX_ATTEMPTS:
            return DeliveryOutcome("failed", f"{reason}, after {attempts} attempts")
        case Retry(reason, retry_after_s):
            return DeliveryOutcome("waiting", reason, backoff(attempts, retry_after_s, jitter))
        case Undeliverable(reason):
            return DeliveryOutcome("failed", reason)


def dispatch(
    targets: Sequence[str], attempt: Callable[[str], AttemptState | None], *, at_once: int
) -> Counter[AttemptState]:
    """Attempt due deliveries; return how many ended in each state.

    After a failed attempt, the rest of that target is left for the next round, since it would fail as well. When
    the time is up, running attempts finish and the rest is left for the next round.

    Args:
        attempt: leases one delivery of a target, sends it and stores the outcome; None: nothing is due.
        at_once: concurrent attempts per target.
    """
    deadline = time.monotonic() + _BUDGET_S

    def drain(target: str) -> Counter[AttemptState]:
        counts = Counter[AttemptState]()
        while time.monotonic() < deadline and (state := attempt(target)):
            counts[state] += 1
            if state == "waiting":
                break
        return counts

    with ThreadPoolExecutor(at_once * len(targets) or 1, thread_name_prefix="dispatch") as pool:
        return sum(pool.map(drain, [*targets] * at_once), Counter[AttemptState]())
