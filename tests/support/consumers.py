"""Inbox consumers for tests: with a lease, or with pending entries."""

from typing import cast

from triagem.contracts.ticket import Lane
from triagem.inbox import Entry, Inbox
from triagem.inbox.lease import Lease
from triagem.inbox.stream import GROUP, stream_key

LIVE, BULK = Lane


HOUR_MS = 3_600_000


def leased(inbox: Inbox) -> Lease:
    lease = Lease(inbox.redis, 60)
    lease.acquire()
    return lease


def put_and_fetch(inbox: Inbox, consumer: str, count: int, lane: Lane = LIVE) -> list[Entry]:
    inbox.put(lane, [b"x"] * count)
    entries = inbox.fetch(lane, consumer, count)
    assert len(entries) == count
    return entries


def held(inbox: Inbox, consumer: str, lane: Lane = LIVE) -> list[bytes]:
    rows = inbox.redis.xpending_range(stream_key(lane), GROUP, "-", "+", 10_000, consumer)
    return [cast("bytes", row["message_id"]) for row in rows]


def consumers(inbox: Inbox, lane: Lane = LIVE) -> set[str]:
    return {row["name"].decode() for row in inbox.redis.xinfo_consumers(stream_key(lane), GROUP)}
