"""Separates texts that make the model fail from a device that fails at random.

A text is blamed after n + 1 failures alone and no success: the first one, and n more, each of which follows a passed
self-check; the self-check may fail c times in between. If any call fails with probability p, whatever its text, an
innocent text is blamed with probability

    p^(n+1) * (1-p)^n * sum over j = 0..c of binomial(n-1+j, j) * p^j

`PROOF` (n = 12, c = 2) keeps this below 10^-6 for every p, and below 10^-16 for p = 5 %: the higher p is, the
likelier the self-check fails too. tests/unit/test_device.py evaluates and simulates it.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from triagem.contracts.errors import ModelBroken, OutOfMemory
from triagem.worker.failures import Proof

T = TypeVar("T")

PROOF: Final = Proof(failures=12, check_failures=2)
_CALLS: Final = 200
# 15 %. A device with 5 % of failing calls exceeds it in one of 40 million windows, one with 20 % in most.
_MAX_FAILURES: Final = 30


class Device:
    """Counts the recent model calls that failed although no text was to blame."""

    def __init__(self) -> None:
        self._failures: deque[bool] = deque(maxlen=_CALLS)
        self._unexplained: list[Sequence[Any]] = []

    def watch(self, items: Sequence[Any], call: Callable[[], T]) -> T:
        """Run a model call on these items (none: a self-check). Too little memory is not a device failure."""
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
