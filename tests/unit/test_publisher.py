"""Publishing from Python: one ticket or many, each completely or not at all."""

import os
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import pytest

from tests.support.builders import NOW, YESTERDAY, fake_inbox, ticket, ticket_fields
from triagem import Accepted, Publisher, Rejected, TicketFields
from triagem.contracts.errors import InboxFull, InvalidInput, InvalidTicket, NotConfigured
from triagem.contracts.ticket import Lane, Ticket
from triagem.contracts.wire import decode
from triagem.inbox import Inbox

LIVE, BULK = Lane.LIVE, Lane.BULK


@pytest.fixture
def inbox() -> Inbox:
    """An inbox with room for three tickets in each lane."""
    return fake_inbox(live_high_water=3, bulk_high_water=3)


@pytest.fixture
def publisher(inbox: Inbox) -> Publisher:
    """A publisher whose clock is fixed at NOW."""
    return Publisher(inbox, now=lambda: NOW)


def waiting(inbox: Inbox, lane: Lane = LIVE) -> list[Ticket]:
    """The tickets in a lane."""
    return [decode(entry.payload or b"") for entry in inbox.fetch(lane, "test", 1000)]


def many(*ids: str, **changes: Any) -> list[TicketFields]:
    """Good tickets with these ids."""
    return [ticket_fields(external_id=name, **changes) for name in ids]


def test_a_published_ticket_waits_in_the_live_lane(inbox: Inbox, publisher: Publisher) -> None:
    publisher.publish(**ticket_fields())

    assert waiting(inbox) == [ticket()]


def test_a_ticket_can_be_published_into_the_bulk_lane(inbox: Inbox, publisher: Publisher) -> None:
    publisher.publish(lane=BULK, **ticket_fields())

    assert (waiting(inbox, LIVE), waiting(inbox, BULK)) == ([], [ticket()])


def test_a_lane_may_be_named_and_an_unknown_one_is_refused(inbox: Inbox, publisher: Publisher) -> None:
    publisher.publish(lane=cast("Lane", "bulk"), **ticket_fields())

    for lane in ("fast", "LIVE"):
        with pytest.raises(InvalidTicket, match=r"^lane: must be live or bulk$"):
            publisher.publish(lane=cast("Lane", lane), **ticket_fields())
        with pytest.raises(InvalidTicket, match=r"^lane: "):
            publisher.publish_many(many("1", "2"), lane=cast("Lane", lane))
    assert (waiting(inbox, BULK), inbox.redis.keys("*fast*")) == ([ticket()], [])


def test_an_accepted_ticket_carries_its_entry_id(inbox: Inbox, publisher: Publisher) -> None:
    accepted = publisher.publish(**ticket_fields())

    assert accepted == Accepted(inbox.fetch(LIVE, "test", 1)[0].id.decode())


def test_a_bad_ticket_is_refused_by_field_and_nothing_is_published(inbox: Inbox, publisher: Publisher) -> None:
    with pytest.raises(InvalidTicket, match="text: is only white space"):
        publisher.publish(**ticket_fields(text=" "))

    assert waiting(inbox) == []


def test_a_future_time_is_measured_by_the_publishers_clock(publisher: Publisher) -> None:
    with pytest.raises(InvalidTicket, match="more than 5 minutes in the future"):
        publisher.publish(**ticket_fields(revised_at=NOW.replace(year=2027)))


def test_a_ticket_without_a_time_counts_as_written_now(inbox: Inbox) -> None:
    before = datetime.now(UTC)
    Publisher(inbox).publish(source="crm", external_id="1", text="oi", revised_at=None, metadata=None)

    (published,) = waiting(inbox)
    assert before <= published.revised_at <= datetime.now(UTC)
    assert published.metadata == {}


def test_a_time_may_be_a_string_with_an_offset(inbox: Inbox, publisher: Publisher) -> None:
    publisher.publish(**ticket_fields(revised_at="2026-11-21T09:00:00-03:00"))

    assert [stored.revised_at for stored in waiting(inbox)] == [YESTERDAY]


def test_metadata_may_be_any_mapping_and_is_checked_like_a_dict(inbox: Inbox) -> None:
    Publisher(inbox).publish(
        source="crm", external_id="1", text="oi", metadata=MappingProxyType({"channel": "e-mail"})
    )

    assert [stored.metadata for stored in waiting(inbox)] == [{"channel": "e-mail"}]
    with pytest.raises(InvalidTicket, match=r"^metadata\.note: has a lone surrogate"):
        Publisher(inbox).publish(
            source="crm", external_id="1", text="oi", metadata=MappingProxyType({"note": "\ud800"})
        )


@pytest.mark.parametrize("metadata", ["channel", 5, [1]])
def test_metadata_of_another_type_is_refused_by_field(publisher: Publisher, metadata: object) -> None:
    with pytest.raises(InvalidTicket, match=r"^metadata: "):
        publisher.publish(**ticket_fields(metadata=metadata))


def test_an_unknown_field_is_a_type_error(publisher: Publisher) -> None:
    with pytest.raises(TypeError, match="'subject'"):
        publisher.publish(source="crm", external_id="1", text="oi", subject="oi")  # type: ignore[call-arg]


def test_many_may_be_tickets_and_fields_from_any_iterable(inbox: Inbox) -> None:
    rows: list[Ticket | TicketFields] = [ticket(external_id="1")]
    rows.append({"source": "crm", "external_id": "2", "text": "oi", "revised_at": None, "metadata": None})

    outcomes = Publisher(inbox).publish_many(iter(rows))

    assert [type(outcome) for outcome in outcomes] == [Accepted, Accepted]
    assert [stored.external_id for stored in waiting(inbox)] == ["1", "2"]


def test_outcomes_are_in_the_order_of_the_tickets(inbox: Inbox, publisher: Publisher) -> None:
    outcomes = publisher.publish_many(many("1", "2", "3"))

    ids = [entry.id.decode() for entry in inbox.fetch(LIVE, "test", 10)]
    assert outcomes == [Accepted(name) for name in ids]


def test_a_bad_ticket_among_many_does_not_affect_the_rest(inbox: Inbox, publisher: Publisher) -> None:
    good, bad, no_ticket, last = publisher.publish_many(
        [*many("1"), ticket_fields(text=5), cast("TicketFields", "x"), *many("3")]
    )

    assert bad == Rejected("text: must be text", field="text")
    assert no_ticket == Rejected("must be an object with named fields")
    assert isinstance(good, Accepted)
    assert isinstance(last, Accepted)
    assert [stored.external_id for stored in waiting(inbox)] == ["1", "3"]


def test_many_bad_tickets_are_all_rejected_without_a_call_to_redis() -> None:
    unreachable = Publisher.from_url("redis://127.0.0.1:1/0")

    assert [type(outcome) for outcome in unreachable.publish_many([cast("TicketFields", {})] * 2)] == [
        Rejected,
        Rejected,
    ]


def test_none_of_many_is_published_when_not_all_fit(inbox: Inbox, publisher: Publisher) -> None:
    publisher.publish_many(many("1", "2"))

    with pytest.raises(InboxFull, match="the live lane is full"):
        publisher.publish_many(many("3", "4"))

    assert [stored.external_id for stored in waiting(inbox)] == ["1", "2"]


def test_a_full_lane_leaves_the_other_open(publisher: Publisher) -> None:
    publisher.publish_many(many("1", "2", "3"), lane=BULK)

    with pytest.raises(InboxFull):
        publisher.publish(lane=BULK, **ticket_fields())
    assert isinstance(publisher.publish(lane=LIVE, **ticket_fields()), Accepted)


def test_a_lane_can_be_filled_up_to_its_limit(inbox: Inbox, publisher: Publisher) -> None:
    publisher.publish_many(many("1", "2", "3"))

    assert len(waiting(inbox)) == 3


def test_no_tickets_give_no_outcomes(publisher: Publisher) -> None:
    assert publisher.publish_many([]) == []


def test_without_a_url_and_a_local_stack_the_error_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("TRIAGEM_REDIS_URL", raising=False)
    monkeypatch.chdir(tmp_path)

    with pytest.raises(NotConfigured, match="TRIAGEM_REDIS_URL is not set and there is no local stack"):
        Publisher.from_environment()


def test_a_publisher_reads_the_url_from_a_file_and_leaves_the_environment_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "url").write_text("http://redis/0\n", encoding="utf-8")
    monkeypatch.delenv("TRIAGEM_REDIS_URL", raising=False)
    monkeypatch.setenv("TRIAGEM_REDIS_URL_FILE", str(tmp_path / "url"))

    with pytest.raises(InvalidInput, match="TRIAGEM_REDIS_URL"):
        Publisher.from_environment()

    assert "TRIAGEM_REDIS_URL" not in os.environ
