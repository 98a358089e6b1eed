"""Builders of valid objects, so that a test names only the values that matter to it."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any, Final, cast

from fakeredis import FakeRedis
from hypothesis import strategies as st

from tests.support.engines import NoopModel
from triagem.contracts.model import DataInfo, Manifest, Tokens
from triagem.contracts.moments import EARLIEST_MOMENT
from triagem.contracts.prediction import Band, Prediction
from triagem.contracts.ticket import Author, Lane, Message, OnReply, Ticket
from triagem.db.tickets.window import ClassifiedTicket
from triagem.inbox import Entry, Inbox, InboxSettings
from triagem.producer.client_protocol import TicketFields
from triagem.registry import Registry
from triagem.worker.batch import MicroBatch, NewTicket, ServedModel

NOW: Final = datetime(2026, 11, 22, 12, tzinfo=UTC)
YESTERDAY: Final = NOW - timedelta(days=1)


def fields(**changes: Any) -> dict[str, Any]:
    """The fields of a valid ticket, with changes."""
    valid = {"source": "zendesk", "external_id": "4711", "text": "Fatura em dobro", "revised_at": YESTERDAY}
    return valid | changes


def ticket_fields(**changes: Any) -> TicketFields:
    """The same fields for `publish` and `publish_many`; `changes` may be invalid on purpose."""
    return cast("TicketFields", fields(**changes))


def ticket(**changes: Any) -> Ticket:
    """A valid ticket."""
    return Ticket.model_validate(fields(**changes))


def tickets() -> st.SearchStrategy[Ticket]:
    """Any ticket that `accept` allows."""
    scalar = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=9)
    number = st.floats(allow_nan=False, allow_infinity=False)
    values = st.recursive(
        scalar | number, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner)
    )
    return st.builds(
        ticket,
        source=st.text(min_size=1, max_size=64).filter(str.strip),
        external_id=st.text(min_size=1, max_size=255).filter(str.strip),
        text=st.text(min_size=1).filter(str.strip),
        revised_at=st.datetimes(EARLIEST_MOMENT.replace(tzinfo=None) + timedelta(days=2), timezones=offsets()).filter(
            lambda moment: moment.year < 9999
        ),
        metadata=st.dictionaries(st.text(max_size=9), values, max_size=3),
        message=st.none() | messages(),
    )


def messages() -> st.SearchStrategy[Message]:
    """Any message of a conversation."""
    ids = st.text(min_size=1, max_size=255).filter(lambda id_: bool(id_.strip()) and "\0" not in id_)
    return st.builds(Message, id=ids, author=st.sampled_from(Author), on_reply=st.sampled_from(OnReply))


def offsets() -> st.SearchStrategy[tzinfo]:
    """Any UTC offset that Python supports, also with seconds."""
    return st.timezones() | st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone)


def entry(number: int = 1, lane: Lane = Lane.LIVE) -> Entry:
    """The stream entry of a fetched ticket."""
    return Entry(b"%d-0" % number, lane, b"{}")


def micro_batch(size: int, lane: Lane = Lane.LIVE) -> MicroBatch:
    """A micro-batch of `size` tickets of a lane."""
    running = ServedModel(NoopModel(manifest()), epoch=1)
    prepared = NewTicket(entry(lane=lane), "", tokens=[Tokens(ids=(1,), truncated=False)], ticket=ticket())
    return MicroBatch(running, [prepared] * size)


def classified(
    *, digest: bytes = b"a", epoch: int = 1, received_at: datetime = NOW, arrival: int = 1, detected: str = "und",
    **changes: Any,
) -> ClassifiedTicket:  # fmt: skip
    """A ticket with its result; `changes` are the ticket's fields."""
    prediction = Prediction(
        "venda", 0.9, {"suporte": 0.1, "venda": 0.9}, Band.AUTOMATE, "v1.0.0", tokens=3, truncated=False
    )
    return ClassifiedTicket(
        ticket(**changes), digest, Lane.LIVE, received_at, arrival, prediction=prediction, epoch=epoch,
        classified_at=NOW, detected=detected,
    )  # fmt: skip


def manifest(**changes: Any) -> Manifest:
    """A manifest for a version that is about to be registered."""
    valid = {
        "version": "v0.0.0",
        "labels": ("suporte", "venda"),
        "base": "none",
        "created_at": NOW,
        "data": DataInfo(digest="", rows=1000),
        "files": {},
    }
    return Manifest.model_validate(valid | changes)


def register(registry: Registry, *, weights: str = "weights", **changes: Any) -> str:
    """Register the next version, with one file `weights.txt`, and return its name."""
    with registry.staging() as folder:
        (folder / "weights.txt").write_text(weights, encoding="utf-8")
        return registry.register(folder, manifest(**changes)).version


def fake_inbox(**settings: Any) -> Inbox:
    """An inbox on an in-process Redis, with its consumer groups."""
    inbox = Inbox(FakeRedis(), InboxSettings(**settings))
    inbox.create_groups()
    return inbox


class Clock:
    """A clock that moves only when `advance` is called."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


class InstantEvent(threading.Event):
    """An event whose `wait` returns at once, after it has recorded the timeout and called `instead`."""

    def __init__(self, instead: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self.waits: list[float] = []
        self._instead = instead

    def wait(self, timeout: float | None = None) -> bool:
        """Record the timeout and return at once."""
        self.waits.append(timeout or 0.0)
        self._instead()
        return self.is_set()
