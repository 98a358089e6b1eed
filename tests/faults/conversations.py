"""Faults: the messages of conversations in any order, while workers are killed and a CRM fails at times."""

import json
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from sqlalchemy import text

from tests.faults.catalog import Size, fault
from tests.faults.expectations import composed
from tests.faults.rig import Rig
from tests.support.delivery import KEY, make_due
from triagem.contracts.ticket import Author, Ticket
from triagem.db.outbox.deliveries import sync_result_targets
from triagem.notify import Delivered, Request, Retry
from triagem.notify.crm import CallbackSettings
from triagem.notify.results import deliver_due

_MESSAGES: Final = 5  # the third is an agent's
_SLOW_S: Final = 0.01  # two workers must not finish before the last kill
_FAILING_SHARE: Final = 0.05
_SUBJECTS: Final = (
    "Quero um orçamento do plano anual para a empresa",
    "Minha internet caiu e o roteador não funciona",
    "Preciso de vinte licenças para a equipe de vendas",
    "O aplicativo trava na tela de pagamento",
)
_SMALL_TALK: Final = ("Bom dia", "Obrigado!", "Pode ser amanhã às 10h?")


def conversations(rig: Rig, count: int) -> list[Ticket]:
    """The messages of conversations, in the order in which they were written."""
    return [
        rig.tickets(
            1,
            external_id=each.external_id,
            text=_text(rig, number),
            revised_at=each.revised_at + timedelta(minutes=number - _MESSAGES),
            message={"id": str(number), "author": Author.AGENT if number == 2 else Author.CUSTOMER},
        )[0]
        for each in rig.tickets(count)
        for number in range(_MESSAGES)
    ]


def _text(rig: Rig, number: int) -> str:
    if rig.random.random() < 1 / _MESSAGES:
        return rig.random.choice(_SMALL_TALK)
    return f"{rig.random.choice(_SUBJECTS)} {'palavra ' * rig.random.randrange(6)}{number}"


class FailingCrm:
    """A CRM that refuses some calls, and accepts others without an answer."""

    def __init__(self, rig: Rig) -> None:
        self._rig, self._random = rig, random.Random(rig.seed)  # of its own: kills stay at the same moments
        self._targets = {
            "crm.callback": CallbackSettings.model_validate({"url": "http://127.0.0.1:1", "secret": KEY})
        }
        self._failing = True
        self.labels: dict[str, str] = {}
        self.failures = 0
        sync_result_targets(rig.database, {"crm.callback": "crm"})

    @contextmanager
    def receiving(self) -> Iterator[None]:
        """Results are delivered during the block, and the last ones at its end."""
        ended = threading.Event()

        def deliver() -> None:
            while not ended.wait(0.05):
                deliver_due(self._rig.database, self._targets, self._receive)

        thread = threading.Thread(target=deliver, name="crm", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
        attempted = True
        while attempted:
            make_due(self._rig.database)
            attempted = bool(deliver_due(self._rig.database, self._targets, self._receive))

    def _receive(self, request: Request) -> Delivered | Retry:
        chance, data = self._random.random(), json.loads(request.body)["data"]
        if chance < _FAILING_SHARE:
            self.failures += 1
            return Retry("answered 503")
        self.labels[data["external_id"]] = data["label"]
        if chance < 2 * _FAILING_SHARE:
            self.failures += 1
            return Retry("no answer")
        return Delivered()


@fault("conversations in any order, kills, a failing CRM", short=Size(100, times=2), full=Size(1000, times=10))
def shuffled(rig: Rig, size: Size) -> None:
    """Each label is that of the whole conversation, and the CRM ends with it."""
    crm, messages = FailingCrm(rig), conversations(rig, size.tickets)
    rig.random.shuffle(messages)
    rig.publish(messages)
    pace = {"FAULT_SECONDS_PER_TEXT": _SLOW_S}
    with crm.receiving():
        workers = [rig.start(**pace), rig.start(**pace)]
        for share in sorted((rig.random.uniform(0.4, 1) for _ in range(size.times)), reverse=True):
            rig.until(lambda share=share: 0 <= rig.waiting() <= share * len(messages))  # type: ignore[misc]
            victim = rig.random.randrange(2)
            rig.busy(workers[victim])
            rig.kill(workers[victim])
            workers[victim] = rig.start(**pace)
        rig.drain()
    _check(rig, crm, len(messages))


def _check(rig: Rig, crm: FailingCrm, messages: int) -> None:
    """`rig.outcome` compares digest and label of each conversation; this, its text, its messages and the CRM."""
    with rig.database.autocommit() as connection:
        query = "SELECT r.external_id, r.label, t.text, on_reply FROM results r JOIN tickets t ON t.id = r.ticket_id"
        rows = connection.execute(text(query)).all()
        stored = connection.execute(text("SELECT count(text) FROM messages")).scalar_one()
    other = [
        row.external_id
        for row in rows
        if row.on_reply and row.text != composed(rig.expected.parts(("crm", row.external_id)))
    ]
    assert not other, f"{len(other)} tickets have another text: {other[:3]}"
    assert stored == messages, f"{stored} of {messages} messages are stored"
    assert crm.failures, "the CRM never failed"
    assert crm.labels == {row.external_id: row.label for row in rows}, "the CRM has another label"
