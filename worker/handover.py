"""One place between two threads: the next stage's work is ready, and no more than that waits."""

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Handover(Generic[T]):
    """Room for one. The giver waits for room *before* it chooses what to give, so that it can choose late."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held: list[T] = []
        self._closed = False
        self._idle = True

    def wait_for_room(self, timeout_s: float) -> bool:
        """Whether the place is empty."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._held, timeout_s)

    def wait_until_idle(self, timeout_s: float) -> bool:
        """Whether the place is empty and the taker, done with what it took last, has come back for more."""
        with self._changed:
            return self._changed.wait_for(lambda: self._idle and not self._held, timeout_s)

    def give(self, value: T) -> None:
        """Put a value into the place. One giver only, and after `wait_for_room`."""
        with self._changed:
            assert not self._held
            self._held.append(value)
            self._changed.notify_all()

    def close(self) -> None:
        """Nothing more will come."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def take(self, timeout_s: float) -> T | None:
        """The value, or None after the timeout or once closed and empty; see `ended`."""
        with self._changed:
            self._idle = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._held or self._closed, timeout_s)
            if not self._held:
                return None
            value = self._held.pop()
            self._idle = False
            self._changed.notify_all()
            return value

    @property
    def ended(self) -> bool:
        """Closed and empty."""
        with self._changed:
            return self._closed and not self._held
