"""Small builders: each gives a valid thing, so that a test says only what it is about."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any, Final

from fakeredis import FakeRedis
from hypothesis import strategies as st

from tests.support.engines import InstantModel
from triagem.contracts.model import DataInfo, Manifest, Tokens
from triagem.contracts.prediction import Band, Prediction
from triagem.contracts.ticket import EARLIEST_REVISION, Lane, Ticket
from triagem.db.window import Classified
from triagem.inbox import Entry, Inbox, InboxSettings
from triagem.registry import Registry
from triagem.worker.batch import Item, MicroBatch
from triagem.worker.keeper import Running

NOW: Final = datetime(2026, 11, 22, 12, tzinfo=UTC)
YESTERDAY: Final = NOW - timedelta(days=1)


def fields(**changes: Any) -> dict[str, Any]:
    """What a CRM hands in for one good ticket."""
    good = {"source": "zendesk", "external_id": "4711", "text": "Fatura em dobro", "revised_at": YESTERDAY}
    return good | changes


def ticket(**changes: Any) -> Ticket:
    """A good ticket."""
    return Ticket.model_validate(fields(**changes))


def tickets() -> st.SearchStrategy[Ticket]:
    """Any ticket that intake accepts."""
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
        revised_at=st.datetimes(
            EARLIEST_REVISION.replace(tzinfo=None) + timedelta(days=2), timezones=offsets()
        ).filter(lambda moment: moment.year < 9999),
        metadata=st.dictionaries(st.text(max_size=9), values, max_size=3),
    )


def offsets() -> st.SearchStrategy[tzinfo]:
    """Any offset from UTC that Python knows, odd seconds too."""
    return st.timezones() | st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone)


def entry(number: int = 1, lane: Lane = Lane.LIVE) -> Entry:
    """What a taken ticket is in Redis."""
    return Entry(b"%d-0" % number, lane, b"{}")


def micro_batch(size: int, lane: Lane = Lane.LIVE) -> MicroBatch:
    """A micro-batch of that many tickets of a lane."""
    running = Running(InstantModel(manifest()), epoch=1)
    one = Item(entry(lane=lane), ticket(), digest=b"", tokens=Tokens(ids=(1,), truncated=False))
    return MicroBatch(running, [one] * size)


def classified(*, digest: bytes = b"a", epoch: int = 1, received_at: datetime = NOW, **changes: Any) -> Classified:
    """A ticket with its result; `changes` are the ticket's fields."""
    said = Prediction(
        "venda", 0.9, {"suporte": 0.1, "venda": 0.9}, Band.AUTOMATE, "v1.0.0", tokens=3, truncated=False
    )
    return Classified(ticket(**changes), digest, said, epoch, Lane.LIVE, received_at, classified_at=NOW)


def manifest(**changes: Any) -> Manifest:
    """A manifest for a folder about to be registered."""
    good = {
        "version": "v0.0.0",
        "labels": ("suporte", "venda"),
        "base": "none",
        "created_at": NOW,
        "data": DataInfo(digest="", rows=1000),
        "files": {},
    }
    return Manifest.model_validate(good | changes)


def register(registry: Registry, *, weights: str = "weights", **changes: Any) -> str:
    """Register the next version, with one file `weights.txt`, and return its name."""
    with registry.staging() as folder:
        (folder / "weights.txt").write_text(weights, encoding="utf-8")
        return registry.register(folder, manifest(**changes)).version


def fake_inbox(**settings: Any) -> Inbox:
    """An inbox over a Redis of its own in this process, with its groups."""
    inbox = Inbox(FakeRedis(), InboxSettings(**settings))
    inbox.make_groups()
    return inbox


class Clock:
    """A clock that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


class Hurried(threading.Event):
    """An event nobody waits for: it notes how long they would have, and does `instead`."""

    def __init__(self, instead: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self.waits: list[float] = []
        self._instead = instead

    def wait(self, timeout: float | None = None) -> bool:
        """Do not wait."""
        self.waits.append(timeout or 0.0)
        self._instead()
        return self.is_set()
