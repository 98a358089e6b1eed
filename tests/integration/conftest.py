"""The inbox twice: over fakeredis, which runs our Lua in this process, and over the real server.

fakeredis (2.40) lacks the following, which `test_inbox_real.py` tests on the real server alone:

- it has no INFO: memory share (INV-1; `put.lua` takes a refused INFO as "no limit") and Redis' uptime (INV-8);
- it stores `maxmemory` but refuses no write because of it;
- XREADGROUP with COUNT and BLOCK answers at once instead of waiting;
- XREADGROUP of a stream that does not exist answers with XGROUP's message instead of NOGROUP;
- it has no connection, so no reply can be cut off and no transaction observed.
"""

from collections.abc import Iterable

import pytest
from fakeredis import FakeRedis, FakeServer
from redis import Redis

from triagem.inbox import Entry, Inbox, InboxSettings


@pytest.fixture(params=["fake", "real"])
def either_inbox(request: pytest.FixtureRequest) -> Inbox:
    """An empty inbox with its groups; a test that uses it runs twice.

    A module whose tests should all run twice overrides `inbox` with it. It does not have that name itself, because
    tests with worker processes need the real one.
    """
    return fake_inbox() if request.param == "fake" else _with_groups(request.getfixturevalue("redis"))


def fake_inbox() -> Inbox:
    """An empty inbox with its groups on a server of its own in this process; the client is set up as by `connect`."""
    return _with_groups(FakeRedis(server=FakeServer(), decode_responses=False, protocol=2))


def _with_groups(redis: Redis) -> Inbox:
    inbox = Inbox(redis, InboxSettings(lease_s=1.0))
    inbox.create_groups()
    return inbox


def ids(entries: Iterable[Entry]) -> list[bytes]:
    """The entries' ids."""
    return [entry.id for entry in entries]
