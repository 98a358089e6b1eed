"""Wait out an outage: nothing is lost and no attempt is burnt, it only takes longer."""

import threading
from collections.abc import Callable
from typing import Protocol, TypeVar

import structlog
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_when_event_set, wait_random_exponential

from triagem.contracts.errors import Retryable

log = structlog.get_logger(__name__)
T = TypeVar("T")


class Waiter(Protocol):
    """Who waits: when to give up, how to say that it is alive, and what it waits for (None: no longer)."""

    @property
    def stopping(self) -> threading.Event: ...
    def beat(self) -> None: ...
    def waiting(self, why: str | None) -> None: ...


def outwait(call: Callable[[], T], waiter: Waiter) -> T:
    """Repeat `call` while it raises Retryable, with growing pauses of up to 2 s.

    Raises:
        Retryable: the last error, once the waiter is stopping.
    """

    def before_sleep(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        waiter.beat()
        waiter.waiting(str(error))
        if state.attempt_number in {1, 10} or state.attempt_number % 100 == 0:
            log.warning("waiting", why=str(error), attempt=state.attempt_number)

    def sleep(seconds: float) -> None:
        waiter.stopping.wait(seconds)

    retrying = Retrying(
        retry=retry_if_exception_type(Retryable),
        wait=wait_random_exponential(multiplier=0.05, max=2.0),
        stop=stop_when_event_set(waiter.stopping),
        sleep=sleep,
        before_sleep=before_sleep,
        reraise=True,
    )
    answer = retrying(call)
    if (attempts := retrying.statistics.get("attempt_number", 1)) > 1:
        waiter.waiting(None)
        log.info("back", after_attempts=attempts)
    return answer
