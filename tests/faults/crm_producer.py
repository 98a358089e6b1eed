"""A CRM that enqueues tickets while a fault runs, and retries each batch until it is accepted."""

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from triagem.contracts.errors import Retryable
from triagem.contracts.ticket import Ticket

if TYPE_CHECKING:
    from tests.faults.rig import Rig

_BATCH_SIZE: Final = 20
_PAUSE_S: Final = 0.01


class CrmProducer(threading.Thread):
    """Sends a batch again after a broken connection. Redis may have accepted it, so repeating must be harmless."""

    def __init__(self, rig: "Rig", tickets: Sequence[Ticket]) -> None:
        super().__init__(name="crm", daemon=True)
        self._rig, self._tickets = rig, tickets
        self._stopped = threading.Event()
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            for start in range(0, len(self._tickets), _BATCH_SIZE):
                self._enqueue(self._tickets[start : start + _BATCH_SIZE])
        except BaseException as error:  # noqa: BLE001 - raised again in the waiting thread
            self._error = error

    def finish(self) -> None:
        """Wait until all tickets are accepted."""
        self.join(180)
        assert not self.is_alive(), "the tickets could not be enqueued"
        if self._error:
            raise self._error

    def stop(self) -> None:
        """Stop enqueuing."""
        self._stopped.set()
        self.join()

    def _enqueue(self, tickets: Sequence[Ticket]) -> None:
        while not self._stopped.wait(_PAUSE_S):
            try:
                self._rig.publish(tickets)
            except Retryable:
                continue
            return
