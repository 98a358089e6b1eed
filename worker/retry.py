"""Retries a call until a service is available again. Outages cost time, never a delivery attempt."""

import threading
from collections.abc import Callable
from typing import Protocol, TypeVar

import structlog
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_when_event_set, wait_random_exponential

from triagem.contracts.errors import Retryable

log = structlog.get_logger(__name__)
T = TypeVar("T")


class RetryContext(Protocol):
    """The caller of a retry loop: stop event, heartbeat, and a report of what it waits for (None: nothing)."""

    @property
    def stopping(self) -> threading.Event: ...
    def beat(self) -> None: ...
    def waiting(self, reason: str | None) -> None: ...


def retry_until_available(call: Callable[[], T], context: RetryContext) -> T:
    """Repeat `call` while it raises Retryable, with growing pauses of up to 2 s.

    Raises:
        Retryable: the last error, once `context.stopping` is set.
    """

    def before_sleep(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        context.beat()
        context.waiting(str(error))
        if state.attempt_number in {1, 10} or state.attempt_number % 100 == 0:
            log.warning("service_unavailable", reason=str(error), attempt=state.attempt_number)

    def sleep(seconds: float) -> None:
        context.stopping.wait(seconds)

    retrying = Retrying(
        retry=retry_if_exception_type(Retryable),
        wait=wait_random_exponential(multiplier=0.05, max=2.0),
        stop=stop_when_event_set(context.stopping),
        sleep=sleep,
        before_sleep=before_sleep,
        reraise=True,
    )
    result = retrying(call)
    if (attempts := retrying.statistics.get("attempt_number", 1)) > 1:
        context.waiting(None)
        log.info("service_available", attempts=attempts)
    return result
