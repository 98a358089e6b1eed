"""Handles failing calls: isolates the failing items of a batch by bisection, and retries while a service is down.

The module distinguishes a text that makes the model fail from a device that fails at random. A text is blamed after
n+1 failures alone without a success: the first failure, and n more, each after a passed self-check. The self-check
may fail c times in between. If every call fails with probability p, independent of its text, an innocent text is
blamed with probability

    p^(n+1) * (1-p)^n * sum over j = 0..c of binomial(n-1+j, j) * p^j

`PROOF` (n = 12, c = 2) keeps this below 10^-6 for every p, and below 10^-16 for p = 5 %: the higher p is, the
likelier the self-check fails too. tests/unit/test_device.py evaluates and simulates it.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import uniform
from typing import Any, Final, TypeVar

import structlog

from triagem.contracts.errors import (
    ModelBroken,
    NotFinite,
    OutOfMemory,
    Retryable,
    RowRefused,
    TriagemError,
    WindowTooLarge,
)
from triagem.worker.supervisor import Supervisor

log = structlog.get_logger(__name__)
T = TypeVar("T")
A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Proof:
    """The evidence to blame an item that failed alone: `failures` more failures, each after a passed check.

    `check_failures` is the number of times that the check may fail meanwhile, with ModelBroken.
    """

    failures: int = 1
    check_failures: int = 0


_ONCE: Final = Proof()
PROOF: Final = Proof(failures=12, check_failures=2)
_CALLS: Final = 200
# 15 %. A device with 5 % of failing calls exceeds it in one of 40 million windows, one with 20 % in most.
_MAX_FAILURES: Final = 30
_FIRST_PAUSE_S: Final = 0.05
_MAX_PAUSE_S: Final = 2.0


def run_isolating_failures(
    items: Sequence[T],
    work: Callable[[Sequence[T]], Sequence[A]],
    check: Callable[[], None],
    proof: Proof = _ONCE,
) -> tuple[list[tuple[T, A]], list[tuple[T, Exception]]]:
    """Run `work` on a batch; halve it on failure until each failing item is alone.

    Returns the items with their results, and the items that fail even alone with their errors.

    Args:
        work: returns one result per item, in the same order.
        check: raises if the items are not to blame. A failing item is tried again after it.
        proof: how often.

    Raises:
        Errors of `check`, and errors of `work` that are not caused by a single item (Retryable, a refused login,
            ...).
        OutOfMemory: a single item does not fit in memory.
    """
    done, failed = _bisect(items, work)
    blamed = []
    for item, _ in failed:
        recovered, still_failing = _try_again(item, work, check, proof)
        done += recovered
        blamed += still_failing
    return done, blamed


def _try_again(
    item: T, work: Callable[[Sequence[T]], Sequence[A]], check: Callable[[], None], proof: Proof
) -> tuple[list[tuple[T, A]], list[tuple[T, Exception]]]:
    failures = check_failures = 0
    while True:
        try:
            check()
        except ModelBroken:
            check_failures += 1
            if check_failures > proof.check_failures:
                raise
            continue
        done, failed = _bisect([item], work)
        failures += 1
        if done or failures == proof.failures:
            return done, failed


def safe_reason(error: BaseException) -> str:
    """The message of Triagem's own errors.

    For other errors, the class name, because their message may quote a customer's text.
    """
    return str(error) if isinstance(error, TriagemError) else type(error).__name__


def _bisect(
    items: Sequence[T], work: Callable[[Sequence[T]], Sequence[A]]
) -> tuple[list[tuple[T, A]], list[tuple[T, Exception]]]:
    try:
        return list(zip(items, work(items), strict=True)), []
    except Exception as error:
        memory = isinstance(error, MemoryError | OutOfMemory)
        too_large = memory or (isinstance(error, WindowTooLarge) and len(items) > 1)
        if isinstance(error, TriagemError) and not (too_large or isinstance(error, RowRefused | NotFinite)):
            raise
        if len(items) <= 1:
            if memory:
                raise OutOfMemory(
                    "not enough memory for a single text: give the worker more memory; no ticket is dead-lettered"
                ) from None
            return [], [(item, error) for item in items]
        log.warning("batch_split", size=len(items), reason=safe_reason(error))
    middle = len(items) // 2
    left, right = _bisect(items[:middle], work), _bisect(items[middle:], work)
    return left[0] + right[0], left[1] + right[1]


class Device:
    """Counts the recent model calls that failed although no text was to blame."""

    def __init__(self) -> None:
        self._failures: deque[bool] = deque(maxlen=_CALLS)
        self._unexplained: list[Sequence[Any]] = []

    def watch(self, items: Sequence[Any], call: Callable[[], T]) -> T:
        """Run a model call on these items (none: a self-check). Running out of memory is not a device failure."""
        try:
            result = call()
        except (MemoryError, OutOfMemory):
            raise
        except Exception:
            self._unexplained.append(items)
            raise
        self._failures.append(False)
        return result

    def count_failures(self, blamed: Sequence[Any]) -> None:
        """Count the failed calls without a blamed item as failures of the device.

        Raises:
            ModelBroken: too many of the recent calls; no ticket is to blame.
        """
        ids = set(map(id, blamed))
        self._failures.extend(True for items in self._unexplained if ids.isdisjoint(map(id, items)))
        self._unexplained.clear()
        if (failures := sum(self._failures)) > _MAX_FAILURES:
            raise ModelBroken(
                f"sick device: {failures} of the last {len(self._failures)} model calls failed, whatever the text: "
                "check the device, then restart"
            )


class Retrier:
    """Repeats a call while it raises Retryable, with growing random pauses of up to 2 s.

    An outage only takes time: it never uses up a delivery attempt. `on_error` is called after each failed attempt.
    """

    def __init__(self, context: Supervisor, on_error: Callable[[Retryable], None] = lambda _: None) -> None:
        self._context, self._on_error = context, on_error

    def __call__(self, call: Callable[[], T]) -> T:
        """The result of the call.

        Raises:
            Retryable: the last error, once `context.stopping` is set.
        """
        attempt = 1
        while True:
            try:
                result = call()
                break
            except Retryable as error:
                self._wait_after(error, attempt)
            attempt += 1
        if attempt > 1:
            self._context.waiting(None)
            log.info("service_available", attempts=attempt)
        return result

    def _wait_after(self, error: Retryable, attempt: int) -> None:
        self._on_error(error)
        if self._context.stopping.is_set():
            raise error
        self._context.beat()
        self._context.waiting(str(error))
        if attempt in {1, 10} or attempt % 100 == 0:
            log.warning("service_unavailable", reason=str(error), attempt=attempt)
        self._context.stopping.wait(uniform(0.0, min(_MAX_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(attempt - 1, 10))))
