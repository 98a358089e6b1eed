"""The inbox twice: over fakeredis, which runs our Lua in this process, and over the real server.

What fakeredis (2.40) lacks. The tests of these run on the real server alone, in `test_inbox_real.py`:

- it has no INFO: memory share (INV-1; `put.lua` takes a refused INFO as "no limit") and Redis' uptime (8);
- it stores `maxmemory` but refuses no write because of it;
- XREADGROUP with COUNT and BLOCK answers at once instead of waiting;
- XREADGROUP of a stream that does not exist answers in XGROUP's words instead of NOGROUP;
- it has no wire, so that no reply can be cut and no transaction be watched.
"""

from collections.abc import Iterable

import pytest
from fakeredis import FakeRedis, FakeServer
from redis import Redis

from triagem.inbox import Entry, Inbox, InboxSettings


@pytest.fixture(params=["fake", "real"])
def either_inbox(request: pytest.FixtureRequest) -> Inbox:
    """An empty inbox with its groups; a test that uses it runs twice.

    A module whose tests are all to run twice overrides `inbox` with it. It does not bear that name itself, because
    tests with worker processes need the real one.
    """
    return fake_inbox() if request.param == "fake" else _with_groups(request.getfixturevalue("redis"))


def fake_inbox() -> Inbox:
    """An empty inbox with its groups on a server of its own in this process; the client is set up as by `connect`."""
    return _with_groups(FakeRedis(server=FakeServer(), decode_responses=False, protocol=2))


def _with_groups(redis: Redis) -> Inbox:
    made = Inbox(redis, InboxSettings(lease_s=1.0))
    made.create_groups()
    return made


def ids(entries: Iterable[Entry]) -> list[bytes]:
    """The entries' ids."""
    return [entry.id for entry in entries]
