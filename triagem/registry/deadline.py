"""Limits the time of calls to a store that may hang, such as an NFS mount or an object store without a timeout."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import BoundedSemaphore, Thread
from typing import Final, TypeVar

from triagem.contracts.errors import RegistryUnavailable

T = TypeVar("T")

DEADLINE_S: Final = 10.0
_MAX_HANGING: Final = 8


class Deadline:
    """Runs each call in a daemon thread, because a thread stuck in the kernel cannot be interrupted."""

    def __init__(self, store: str) -> None:
        self._store, self._slots = store, BoundedSemaphore(_MAX_HANGING)

    def __call__(self, call: Callable[[], T]) -> T:
        """The result of the call.

        Raises RegistryUnavailable if the call takes too long; its thread then keeps running.
        """
        unavailable = RegistryUnavailable(f"{self._store} has not answered for {DEADLINE_S:g} s: check it")
        if not self._slots.acquire(blocking=False):
            raise unavailable
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001 - raised in the calling thread
                future.set_exception(error)
            finally:
                self._slots.release()

        Thread(target=run, name="registry", daemon=True).start()
        try:
            return future.result(DEADLINE_S)
        except TimeoutError:
            raise unavailable from None
