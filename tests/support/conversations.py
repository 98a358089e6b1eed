"""Messages of conversations, and workers whose steps a test interleaves by hand."""

from collections.abc import Iterable
from datetime import timedelta
from itertools import repeat
from types import SimpleNamespace
from typing import Any, cast

from sqlalchemy import text as sql

from tests.support.builders import NOW, YESTERDAY, manifest, ticket
from tests.support.engines import NoopModel
from triagem.contracts.conversation import ConversationMessage, judge
from triagem.contracts.prediction import Band, Prediction
from triagem.contracts.ticket import Lane, Message, OnReply, Ticket
from triagem.contracts.wire import encode
from triagem.db import Database
from triagem.db.outbox.deliveries import DeliveryState, lease_result, mark_delivery, sync_result_targets
from triagem.db.tickets.window import write_window
from triagem.inbox import Entry
from triagem.worker.batch import CommitBatch, ServedModel
from triagem.worker.failures import Retrier
from triagem.worker.models import ModelManager
from triagem.worker.prepare import MicroBatchBuilder


def message(
    id: str | None,  # noqa: A002
    text: str = "Quero um orçamento",
    *,
    minute: int = 0,
    author: str = "customer",
    deleted: bool = False,
    on_reply: str | None = "conversation",
    **fields: Any,
) -> Ticket:
    """A message that was written, edited or deleted at that minute. Without an id it is a whole text."""
    part = (
        Message.model_validate({"id": id, "author": author, "deleted": deleted, "on_reply": on_reply}) if id else None
    )
    return ticket(text=text, revised_at=YESTERDAY + timedelta(minutes=minute), message=part, **fields)


def entries(tickets: Iterable[Ticket], lanes: Iterable[Lane] = repeat(Lane.LIVE)) -> list[Entry]:
    """The entries of these tickets in the inbox, in this order."""
    return [
        Entry(b"%d-0" % (1_700_000_000_000 + number), lane, encode(each))
        for number, (each, lane) in enumerate(zip(tickets, lanes, strict=False))
    ]


class ManualWorker:
    """A worker whose steps a test calls one by one. A text's label is the text itself."""

    def __init__(
        self, database: Database, *, version: str = "v1.0.0", epoch: int = 1, band: Band = Band.AUTOMATE
    ) -> None:
        self._database, self._version, self._epoch, self._band = database, version, epoch, band
        model = NoopModel(manifest(version=version))
        models = cast("ModelManager", SimpleNamespace(current=ServedModel(model, epoch)))
        retry = cast("Retrier", lambda call: call())
        self._builder = MicroBatchBuilder(database, models, lambda _: None, retry)
        self._routed: list[CommitBatch] = []
        self.classified: list[str] = []
        self.acknowledged: set[bytes] = set()

    def route(self, fetched: list[Entry]) -> None:
        """Store and compose messages, and classify new texts, without a commit."""
        routed = self._builder.route(fetched)
        assert not routed.done.dead
        self.acknowledged |= {entry.id for entry in routed.done.dropped}
        batch = CommitBatch()
        for item in [item for _, items in routed.ready for item in items]:
            label = "\n\n".join(item.parts)
            self.classified.append(label)
            prediction = Prediction(label, 0.9, {label: 0.9}, self._band, self._version, 3, truncated=False)
            item.add_result(batch, ServedModel(NoopModel(manifest()), self._epoch), prediction, NOW)
        self._routed.append(batch)

    def commit(self) -> None:
        """Commit the oldest batch that was routed, and acknowledge its entries."""
        if self._routed:
            classified = self._routed.pop(0).classified
            late = write_window(self._database, [row for _, row in classified]).late
            self.acknowledged |= {
                entry.id for entry, row in classified if row.on_reply is not None or row.identity not in late
            }

    def commit_all(self) -> None:
        """Commit all batches in one window."""
        for batch in self._routed[1:]:
            self._routed[0].add(batch)
        del self._routed[1:]
        self.commit()

    def crash(self) -> None:
        """Drop all routed batches that were not committed."""
        self._routed.clear()

    def process(self, fetched: list[Entry]) -> None:
        """Route and commit."""
        self.route(fetched)
        self.commit()


class Receiver:
    """A CRM that receives the results of all tickets, and the last label that it received."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.label: str | None = None
        sync_result_targets(database, {"crm.callback": "zendesk"})

    def deliver(self) -> None:
        """Send due deliveries."""
        while leased := lease_result(self._database, "crm.callback"):
            self.label = leased.label
            mark_delivery(self._database, leased, DeliveryState.DELIVERED)


def newest(tickets: Iterable[Ticket]) -> list[ConversationMessage]:
    """The messages that remain after these message versions arrived in this order."""
    versions: dict[str, list[tuple[Ticket, int]]] = {}
    for arrival, each in enumerate(tickets):
        versions.setdefault(each.message.id if each.message else "", []).append((each, arrival))
    kept = []
    for message_id, of_message in versions.items():
        last, _ = max(of_message, key=lambda version: (version[0].revised_at, version[1]))
        written_at = min(each.revised_at for each, _ in of_message)
        if last.message is None or not last.message.deleted:
            author = last.message.author if last.message else Message(id="x").author
            kept.append((written_at, len(message_id), message_id, ConversationMessage(last.text, author, message_id)))
    return [each for *_, each in sorted(kept, key=lambda row: row[:3])]


def expected_text(tickets: Iterable[Ticket], on_reply: OnReply = OnReply.CONVERSATION) -> str:
    """The text of the whole conversation."""
    return judge(newest(tickets), on_reply).text


def current(database: Database) -> Any:
    """The only ticket."""
    with database.autocommit() as connection:
        return connection.execute(sql("SELECT * FROM tickets")).one()
