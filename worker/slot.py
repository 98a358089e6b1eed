"""A single-slot hand-off between two threads: the consumer is never idle, the producer never runs ahead."""

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Slot(Generic[T]):
    """Holds one value. The producer waits for an empty slot *before* it chooses a value, so it chooses late."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._values: list[T] = []
        self._closed = False
        self._idle = True

    def wait_until_empty(self, timeout_s: float) -> bool:
        """Whether the slot became empty within the timeout."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._values, timeout_s)

    def wait_until_idle(self, timeout_s: float) -> bool:
        """Whether the slot became empty and the consumer, done with its last value, asked for the next in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._idle and not self._values, timeout_s)

    def put(self, value: T) -> None:
        """Fill the slot. For a single producer, after `wait_until_empty`."""
        with self._changed:
            assert not self._values
            self._values.append(value)
            self._changed.notify_all()

    def close(self) -> None:
        """Announce that no value will follow."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def get(self, timeout_s: float) -> T | None:
        """The value; None after the timeout, or when the slot is closed and empty (see `exhausted`)."""
        with self._changed:
            self._idle = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._values or self._closed, timeout_s)
            if not self._values:
                return None
            value = self._values.pop()
            self._idle = False
            self._changed.notify_all()
            return value

    @property
    def exhausted(self) -> bool:
        """Closed and empty."""
        with self._changed:
            return self._closed and not self._values
