"""A cut reply: no command is repeated automatically, and every entry is recovered."""

import pytest

from tests.integration.conftest import ids
from tests.support.proxy import cutting_proxy
from triagem.contracts.errors import InboxUnavailable
from triagem.contracts.ticket import Lane
from triagem.inbox import Entry, Inbox, connect
from triagem.inbox.reclaim import Reclaimer
from triagem.stack import Endpoints

LIVE = Lane.LIVE


def test_ack_is_one_transaction(inbox: Inbox, endpoints: Endpoints) -> None:
    """INV-7: between XACK and XDEL an entry is neither pending nor gone, and no worker would look for it."""
    with cutting_proxy(endpoints.redis_url) as proxy, connect(proxy.url) as redis:
        worker = Inbox(redis)
        for lane in Lane:
            worker.put(lane, [b"x"] * 2)
        fetched = worker.fetch_blocking("worker", 2, block_s=0.1)
        proxy.commands.clear()

        worker.ack(fetched)

        assert proxy.commands == ["MULTI", *["XACK", "XDEL", "HDEL"] * 2, "EXEC"]


def test_an_ack_whose_reply_was_cut_off_can_be_repeated(inbox: Inbox, endpoints: Endpoints) -> None:
    """INV-7: Redis executed the command, but the worker cannot know."""
    inbox.put(LIVE, [b"x"] * 3)
    fetched = inbox.fetch(LIVE, "worker", 2)
    with cutting_proxy(endpoints.redis_url, "EXEC") as proxy, connect(proxy.url) as redis:
        worker = Inbox(redis)
        with pytest.raises(InboxUnavailable):
            worker.ack(fetched)
        assert inbox.depth(LIVE).in_flight == 0

        worker.ack(fetched)

    assert inbox.depth(LIVE).waiting == 1


def test_a_put_whose_reply_was_cut_off_is_not_repeated_automatically(inbox: Inbox, endpoints: Endpoints) -> None:
    """INV-5: only the producer knows whether submitting twice is acceptable."""
    inbox.put(LIVE, [b"x"])  # from now on the server knows the script
    with cutting_proxy(endpoints.redis_url, "EVALSHA") as proxy, connect(proxy.url) as redis:
        with pytest.raises(InboxUnavailable):
            Inbox(redis).put(LIVE, [b"x"])

        assert proxy.commands.count("EVALSHA") == 1
    assert inbox.depth(LIVE).waiting == 2


def test_a_read_whose_reply_was_cut_off_is_not_repeated(inbox: Inbox, endpoints: Endpoints) -> None:
    """INV-5: by default redis-py repeats a read; then entries are pending that no worker knows."""
    inbox.put(LIVE, [b"x"] * 10)
    with cutting_proxy(endpoints.redis_url, "XREADGROUP", nth=2) as proxy, connect(proxy.url) as redis:
        worker = Inbox(redis)
        worker.fetch(LIVE, "worker", 3)
        with pytest.raises(InboxUnavailable):
            worker.fetch(LIVE, "worker", 3)

        assert proxy.commands.count("XREADGROUP") == 2
    assert inbox.depth(LIVE).in_flight == 6


def test_entries_of_a_cut_reply_are_fetched_again_and_nothing_else(inbox: Inbox, endpoints: Endpoints) -> None:
    """INV-5."""
    put = inbox.put(LIVE, [b"%d" % number for number in range(10)])
    inbox.fetch(LIVE, "other", 1)
    with cutting_proxy(endpoints.redis_url, "XREADGROUP", nth=2) as proxy, connect(proxy.url) as redis:
        worker, reclaimer = Inbox(redis), Reclaimer(Inbox(redis))
        in_hand = {entry.id for entry in worker.fetch(LIVE, "worker", 3)}
        with pytest.raises(InboxUnavailable):
            worker.fetch(LIVE, "worker", 3)
        in_hand |= {entry.id for entry in worker.fetch(LIVE, "worker", 2)}

        lost = reclaimer.recover_lost_replies(LIVE, "worker", in_hand)

        assert lost == [Entry(put[number], LIVE, b"%d" % number) for number in (4, 5, 6)]
        assert reclaimer.recover_lost_replies(LIVE, "worker", in_hand | set(ids(lost))) == []


def test_entries_of_a_cut_blocking_fetch_are_fetched_again_from_both_lanes(
    inbox: Inbox, endpoints: Endpoints
) -> None:
    """INV-5."""
    put = {lane: inbox.put(lane, [b"x"] * 2) for lane in Lane}
    with cutting_proxy(endpoints.redis_url, "XREADGROUP") as proxy, connect(proxy.url) as redis:
        worker, reclaimer = Inbox(redis), Reclaimer(Inbox(redis))
        with pytest.raises(InboxUnavailable):
            worker.fetch_blocking("worker", 2, block_s=1)

        assert {lane: ids(reclaimer.recover_lost_replies(lane, "worker", set())) for lane in Lane} == put
