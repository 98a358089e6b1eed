"""Provides the inbox on two servers: fakeredis, which runs Triagem's Lua scripts in this process, and a real Redis.

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
from triagem.inbox.reclaim import Reclaimer


@pytest.fixture(params=["fake", "real"])
def either_inbox(request: pytest.FixtureRequest) -> Inbox:
    """An empty inbox with its groups; a test that uses it runs twice.

    A module whose tests should all run twice overrides the fixture `inbox` with this one. The names differ because
    tests with worker processes need the real inbox.
    """
    return fake_inbox() if request.param == "fake" else _with_groups(request.getfixturevalue("redis"))


@pytest.fixture
def reclaimer(inbox: Inbox) -> Reclaimer:
    return Reclaimer(inbox)


def with_high_water(inbox: Inbox, *, live: int = 5, bulk: int = 5) -> Inbox:
    """The same inbox with these high-water marks."""
    return Inbox(inbox.redis, InboxSettings(live_high_water=live, bulk_high_water=bulk))


def fake_inbox() -> Inbox:
    """An empty inbox with its groups on its own in-process server. Its client has the options that `connect` sets."""
    return _with_groups(FakeRedis(server=FakeServer(), decode_responses=False, protocol=2))


def _with_groups(redis: Redis) -> Inbox:
    inbox = Inbox(redis, InboxSettings(lease_s=1.0))
    inbox.create_groups()
    return inbox


def ids(entries: Iterable[Entry]) -> list[bytes]:
    """The entries' ids."""
    return [entry.id for entry in entries]
