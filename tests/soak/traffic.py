"""The traffic of a soak: new tickets, edits, edits back and updates out of order, each retried until accepted."""

import random
import threading
from datetime import UTC, datetime, timedelta
from typing import Final

from tests.faults.rig import Rig
from triagem import Client
from triagem.contracts.errors import Retryable
from triagem.contracts.ticket import Lane, Ticket, accept

SOURCE: Final = "freshdesk"  # a source whose results tests.support.delivery sends to the receiver
_IDENTITIES: Final = 1500
_PAUSE_S: Final = 0.05


class Traffic(threading.Thread):
    """A CRM that sends ten revisions at a time until it is stopped, some by HTTP."""

    def __init__(self, rig: Rig, seed: str, client: Client) -> None:
        super().__init__(name="traffic", daemon=True)
        self._rig, self._random, self._client = rig, random.Random(seed), client
        self.by_http = 0
        self._texts: dict[str, list[str]] = {}
        self._clock = datetime.now(UTC) - timedelta(days=30)
        self._stopped = threading.Event()

    def run(self) -> None:
        """Send until `finish`."""
        while not self._stopped.wait(_PAUSE_S):
            batch = [self._revision() for _ in range(10)]
            lane = Lane.BULK if self._random.random() < 0.1 else Lane.LIVE
            send = self._send_by_http if self._random.random() < 0.3 else self._rig.publish
            while True:
                try:
                    send(batch, lane=lane)
                    break
                except Retryable:
                    self._stopped.wait(_PAUSE_S)

    def finish(self) -> None:
        """Stop once the current batch is accepted."""
        self._stopped.set()
        self.join(120)
        assert not self.is_alive(), "the last tickets could not be enqueued"

    def _send_by_http(self, batch: list[Ticket], *, lane: Lane) -> None:
        receipts = list(self._client.publish_many(batch, lane=lane))
        assert {receipt.status for receipt in receipts} == {"accepted"}, receipts
        self._rig.expected.accept(batch)
        self.by_http += len(batch)

    def _revision(self) -> Ticket:
        number = str(self._random.randrange(_IDENTITIES))
        texts = self._texts.setdefault(number, [])
        self._clock += timedelta(seconds=1)
        if texts and self._random.random() < 0.3:
            text = self._random.choice(texts)  # an edit back
        else:
            text = f"ticket {number} " + "palavra " * self._random.randrange(40)
            texts.append(text)
        late = timedelta(seconds=self._random.choice([0, 0, 0, 30, 600]))  # its revision time is earlier
        return accept(
            {"source": SOURCE, "external_id": number, "text": text, "revised_at": self._clock - late},
            now=datetime.now(UTC),
        )
