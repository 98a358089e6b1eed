"""A CRM beside the fault: hands in tickets, and repeats each until it was accepted."""

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from triagem.contracts.errors import Retryable
from triagem.contracts.ticket import Ticket

if TYPE_CHECKING:
    from tests.faults.rig import Rig

_AT_ONCE: Final = 20
_PAUSE_S: Final = 0.01


class Producing(threading.Thread):
    """What was cut off may have been accepted: it is handed in again, which must be harmless."""

    def __init__(self, rig: "Rig", tickets: Sequence[Ticket]) -> None:
        super().__init__(name="crm", daemon=True)
        self._rig, self._tickets = rig, tickets
        self._left = threading.Event()
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            for start in range(0, len(self._tickets), _AT_ONCE):
                self._hand_in(self._tickets[start : start + _AT_ONCE])
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            self._error = error

    def finish(self) -> None:
        """Wait for the last ticket."""
        self.join(180)
        assert not self.is_alive(), "the tickets could not be handed in"
        if self._error:
            raise self._error

    def leave(self) -> None:
        """Hand in no more."""
        self._left.set()
        self.join()

    def _hand_in(self, tickets: Sequence[Ticket]) -> None:
        while not self._left.wait(_PAUSE_S):
            try:
                self._rig.publish(tickets)
            except Retryable:
                continue
            return
