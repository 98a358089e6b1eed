"""Faults: the messages of conversations in any order, while workers are killed and a CRM fails at times."""

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
from tests.support.conversations import newest
from tests.support.delivery import KEY, make_due
from tests.support.receiver import OK, UNAVAILABLE, CannedResponse, ReceivedRequest, Receiver
from triagem.contracts.ticket import Author, Lane, Ticket
from triagem.db.outbox.deliveries import sync_result_targets
from triagem.notify.channels import Sender
from triagem.notify.crm import CallbackSettings
from triagem.notify.deliveries import deliver_due

_MESSAGES: Final = 5
_AGENTS: Final = 2  # the number of the agent's message
_EVENTS: Final = _MESSAGES + 2
_SLOW_S: Final = 0.01  # slow enough that two workers do not finish before the last kill
_FAILING_SHARE: Final = 0.05
# If only small talk is left of a conversation, it gets no decision, and the CRM gets no label.
_RESULTS: Final = """
SELECT r.external_id, CASE WHEN r.band <> 'abstain' THEN r.label END AS label, t.text, t.on_reply, t.lane
FROM results r JOIN tickets t ON t.id = r.ticket_id
"""
_SUBJECTS: Final = (
    "Quero um orçamento do plano anual para a empresa",
    "Minha internet caiu e o roteador não funciona",
    "Preciso de vinte licenças para a equipe de vendas",
    "O aplicativo trava na tela de pagamento",
)
_SMALL_TALK: Final = ("Bom dia", "Obrigado!", "Pode ser amanhã às 10h?")


def conversations(rig: Rig, count: int) -> list[Ticket]:
    """The messages of conversations, some of them edited or deleted later, in the order in which that happened."""
    return [
        rig.tickets(
            1,
            external_id=each.external_id,
            text="" if is_deleted else _text(rig, number),
            revised_at=each.revised_at + timedelta(minutes=minute - _EVENTS),
            message={"id": str(number), "author": _author(number), "deleted": is_deleted},
        )[0]
        for each in rig.tickets(count)
        for minute, (number, is_deleted) in enumerate(_events(rig))
    ]


def _events(rig: Rig) -> list[tuple[int, bool]]:
    """The message numbers with whether the event is a deletion. A deleted message is never edited."""
    edited, deleted = rig.random.sample([number for number in range(_MESSAGES) if number != _AGENTS], 2)
    changes = rig.random.sample([(edited, False), (deleted, True)], rig.random.randrange(3))
    return [*((number, False) for number in range(_MESSAGES)), *changes]


def _author(number: int) -> Author:
    return Author.AGENT if number == _AGENTS else Author.CUSTOMER


def _text(rig: Rig, number: int) -> str:
    if rig.random.random() < 1 / _MESSAGES:
        return rig.random.choice(_SMALL_TALK)
    return f"{rig.random.choice(_SUBJECTS)} {'palavra ' * rig.random.randrange(6)}{number}"


class FailingCrm:
    """A CRM that refuses some calls, and answers others with an error although it applied them."""

    def __init__(self, rig: Rig) -> None:
        self._rig, self._random = rig, random.Random(rig.seed)  # separate, so that kills stay at the same moments
        self._receiver, self._sender = Receiver(self._respond), Sender(["127.0.0.1"])
        self._targets = {"crm.callback": CallbackSettings.model_validate({"url": self._receiver.url, "secret": KEY})}
        self.labels: dict[str, str] = {}
        self.failures = 0
        sync_result_targets(rig.database, {"crm.callback": "crm"})

    @contextmanager
    def receiving(self) -> Iterator[None]:
        """Results are delivered during the block, and the last ones at its end."""
        ended = threading.Event()

        def deliver() -> None:
            while not ended.wait(0.05):
                self._deliver()

        thread = threading.Thread(target=deliver, name="crm", daemon=True)
        with self._receiver.open():
            thread.start()
            try:
                yield
            finally:
                ended.set()
                thread.join()
            make_due(self._rig.database)
            while self._deliver():
                make_due(self._rig.database)  # calls that failed wait for their next attempt

    def _deliver(self) -> bool:
        return bool(deliver_due(self._rig.database, self._targets, self._sender.send))

    def _respond(self, request: ReceivedRequest) -> CannedResponse:
        chance, data = self._random.random(), request.document["data"]
        fails = chance < 2 * _FAILING_SHARE
        self.failures += fails
        if chance >= _FAILING_SHARE:
            self.labels[data["external_id"]] = data["label"]
        return UNAVAILABLE if fails else OK


@fault("conversations in any order, kills, a failing CRM", short=Size(100, times=2), full=Size(1000, times=10))
def shuffled(rig: Rig, size: Size) -> None:
    """Each ticket's label is the label of its whole conversation, and at the end the CRM has this label."""
    crm, messages = FailingCrm(rig), conversations(rig, size.tickets)
    rig.random.shuffle(messages)
    rig.publish(messages[::2])
    rig.publish(messages[1::2], lane=Lane.BULK)
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
    _check(rig, crm)


def _check(rig: Rig, crm: FailingCrm) -> None:
    """`rig.outcome` compares digest and label of each conversation; this, its text, its messages and the CRM."""
    with rig.database.autocommit() as connection:
        rows = connection.execute(text(_RESULTS)).all()
        stored = connection.execute(text("SELECT count(text) FROM messages")).scalar_one()
    other = [
        row.external_id
        for row in rows
        if row.on_reply and row.text != composed(rig.expected.parts(("crm", row.external_id)))
    ]
    messages = sum(len(newest(each)) for each in rig.expected.revisions.values() if each[0].message)
    labels = {row.external_id: row.label for row in rows if row.lane == Lane.LIVE}
    assert not other, f"{len(other)} tickets have another text: {other[:3]}"
    assert stored == messages, f"{stored} of {messages} messages are stored"
    assert crm.failures, "the CRM never failed"
    wrong = [
        f"{key}: {labels.get(key)} is stored, {crm.labels.get(key)} was delivered"
        for key in sorted(labels.keys() | crm.labels.keys())
        if labels.get(key, "") != crm.labels.get(key, "")
    ]
    assert not wrong, f"the CRM has another label of {len(wrong)} tickets: {wrong[:3]}"
