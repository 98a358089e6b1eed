"""Isolates failing items of a batch by bisection; all other items are processed."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import structlog

from triagem.contracts.errors import NotFinite, OutOfMemory, RowRefused, TriagemError

log = structlog.get_logger(__name__)
T = TypeVar("T")
A = TypeVar("A")


def run_isolating_failures(
    items: Sequence[T], work: Callable[[Sequence[T]], Sequence[A]], check: Callable[[], None]
) -> tuple[list[tuple[T, A]], list[tuple[T, Exception]]]:
    """Run `work` on a batch; halve it on failure until each failing item is alone.

    Returns the items with their results, and the items that fail even alone with their errors.

    Args:
        work: returns one result per item, in the same order.
        check: raises if the items are not to blame. Called before an item is reported as failed; each failing item
            is then tried once more, because a device may fail once.

    Raises:
        Errors of `check`, and errors of `work` that no single item causes (Retryable, a refused login, ...).
        OutOfMemory: a single item does not fit in memory.
    """
    done, failed = _bisect(items, work)
    if failed:
        check()
        again = [_bisect([item], work) for item, _ in failed]
        done += [pair for recovered, _ in again for pair in recovered]
        failed = [pair for _, still_failing in again for pair in still_failing]
    return done, failed


def safe_reason(error: Exception) -> str:
    """The message of our own errors, the class name of others, whose message may quote a customer's text."""
    return str(error) if isinstance(error, TriagemError) else type(error).__name__


def _bisect(
    items: Sequence[T], work: Callable[[Sequence[T]], Sequence[A]]
) -> tuple[list[tuple[T, A]], list[tuple[T, Exception]]]:
    try:
        return list(zip(items, work(items), strict=True)), []
    except Exception as error:
        memory = isinstance(error, MemoryError | OutOfMemory)
        if isinstance(error, TriagemError) and not (memory or isinstance(error, RowRefused | NotFinite)):
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
