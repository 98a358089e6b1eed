"""How a CRM hands tickets in from Python: one at a time or many, none half."""

from typing import Any

import pytest

from tests.support.builders import NOW, fake_inbox, fields, ticket
from triagem.contracts.errors import InboxFull, InvalidTicket, NotConfigured
from triagem.contracts.ticket import Lane, Ticket
from triagem.contracts.wire import decode
from triagem.inbox import Inbox
from triagem.producer import Accepted, Publisher, Rejected

LIVE, BULK = Lane.LIVE, Lane.BULK


@pytest.fixture
def inbox() -> Inbox:
    """An inbox with room for three in each lane."""
    return fake_inbox(live_mark=3, bulk_mark=3)


@pytest.fixture
def publisher(inbox: Inbox) -> Publisher:
    """A publisher for whom it is always now."""
    return Publisher(inbox, now=lambda: NOW)


def waiting(inbox: Inbox, lane: Lane = LIVE) -> list[Ticket]:
    """The tickets in a lane."""
    return [decode(entry.payload or b"") for entry in inbox.take(lane, "test", 1000)]


def many(*ids: str, **changes: Any) -> list[dict[str, Any]]:
    """Good tickets with these ids."""
    return [fields(external_id=one, **changes) for one in ids]


def test_a_published_ticket_waits_in_the_live_lane(inbox: Inbox, publisher: Publisher) -> None:
    publisher.publish(**fields())

    assert waiting(inbox) == [ticket()]


def test_a_ticket_can_be_published_into_the_bulk_lane(inbox: Inbox, publisher: Publisher) -> None:
    publisher.publish(lane=BULK, **fields())

    assert (waiting(inbox, LIVE), waiting(inbox, BULK)) == ([], [ticket()])


def test_what_is_accepted_carries_its_place_in_the_lane(inbox: Inbox, publisher: Publisher) -> None:
    accepted = publisher.publish(**fields())

    assert accepted == Accepted(inbox.take(LIVE, "test", 1)[0].id.decode())


def test_a_bad_ticket_is_refused_by_field_and_nothing_is_handed_in(inbox: Inbox, publisher: Publisher) -> None:
    with pytest.raises(InvalidTicket, match="text: is only white space"):
        publisher.publish(**fields(text=" "))

    assert waiting(inbox) == []


def test_a_time_ahead_is_measured_by_the_publishers_clock(publisher: Publisher) -> None:
    with pytest.raises(InvalidTicket, match="more than 5 minutes in the future"):
        publisher.publish(**fields(revised_at=NOW.replace(year=2027)))


def test_many_are_answered_in_their_order(inbox: Inbox, publisher: Publisher) -> None:
    answers = publisher.publish_many(many("1", "2", "3"))

    ids = [entry.id.decode() for entry in inbox.take(LIVE, "test", 10)]
    assert answers == [Accepted(one) for one in ids]


def test_a_bad_ticket_among_many_never_sinks_the_rest(inbox: Inbox, publisher: Publisher) -> None:
    good, bad, last = publisher.publish_many([*many("1"), fields(text=5), *many("3")])

    assert bad == Rejected("text: Input should be a valid string")
    assert isinstance(good, Accepted)
    assert isinstance(last, Accepted)
    assert [one.external_id for one in waiting(inbox)] == ["1", "3"]


def test_many_bad_tickets_are_all_rejected_without_asking_redis() -> None:
    nobody = Publisher.from_url("redis://127.0.0.1:1/0")

    assert [type(answer) for answer in nobody.publish_many([{}, {}])] == [Rejected, Rejected]


def test_none_of_many_is_handed_in_where_not_all_have_room(inbox: Inbox, publisher: Publisher) -> None:
    publisher.publish_many(many("1", "2"))

    with pytest.raises(InboxFull, match="the live lane is full"):
        publisher.publish_many(many("3", "4"))

    assert [one.external_id for one in waiting(inbox)] == ["1", "2"]


def test_a_full_lane_leaves_the_other_open(publisher: Publisher) -> None:
    publisher.publish_many(many("1", "2", "3"), lane=BULK)

    with pytest.raises(InboxFull):
        publisher.publish(lane=BULK, **fields())
    assert isinstance(publisher.publish(lane=LIVE, **fields()), Accepted)


def test_the_last_place_can_be_taken(inbox: Inbox, publisher: Publisher) -> None:
    publisher.publish_many(many("1", "2", "3"))

    assert len(waiting(inbox)) == 3


def test_no_tickets_are_no_answers(publisher: Publisher) -> None:
    assert publisher.publish_many([]) == []


def test_without_a_url_in_the_environment_a_publisher_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRIAGEM_REDIS_URL", raising=False)

    with pytest.raises(NotConfigured, match="TRIAGEM_REDIS_URL"):
        Publisher.from_environment()
