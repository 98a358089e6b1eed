"""Find what fails in a batch: halve it until it stands alone, and do its neighbours' work meanwhile."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import structlog

from triagem.contracts.errors import NotFinite, OutOfMemory, RowRefused, TriagemError

log = structlog.get_logger(__name__)
T = TypeVar("T")
A = TypeVar("A")


def sift(
    items: Sequence[T], work: Callable[[Sequence[T]], Sequence[A]], check: Callable[[], None]
) -> tuple[list[tuple[T, A]], list[tuple[T, Exception]]]:
    """Items with their answers, and those that fail even alone, with their errors.

    Args:
        work: one answer an item, in their order.
        check: raises if the failure is not the items' fault; called before any item is given up, and each of them
            is tried once more after it, because a device may stumble once.

    Raises:
        What `check` raises, and what `work` raises that is about no single item: Retryable, a refused login...
        OutOfMemory: not even one item alone has room.
    """
    done, failed = _halve(items, work)
    if failed:
        check()
        again = [_halve([item], work) for item, _ in failed]
        done += [one for recovered, _ in again for one in recovered]
        failed = [one for _, still in again for one in still]
    return done, failed


def reason(error: Exception) -> str:
    """Why an item failed, without what it holds: a foreign error's message may quote a customer's text."""
    return str(error) if isinstance(error, TriagemError) else type(error).__name__


def _halve(
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
                raise OutOfMemory("no memory for one text alone: nothing is condemned for that") from None
            return [], [(item, error) for item in items]
        log.warning("a batch failed, trying its halves", size=len(items), why=reason(error))
    middle = len(items) // 2
    left, right = _halve(items[:middle], work), _halve(items[middle:], work)
    return left[0] + right[0], left[1] + right[1]
