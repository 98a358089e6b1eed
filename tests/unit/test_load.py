"""File import into the inbox: each record is accepted or rejected with its line; a full inbox is waited for."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.builders import fake_inbox
from triagem.contracts.errors import InvalidInput
from triagem.contracts.ticket import Lane, Ticket
from triagem.contracts.wire import decode
from triagem.inbox import Inbox
from triagem.inbox.stream import stream_key
from triagem.producer.columns import field_map
from triagem.producer.load import LoadSummary, ReadingRules, load_records
from triagem.producer.publisher import Publisher
from triagem.records.rows import BadLine, read_rows
from triagem.records.text_file import open_text


def lines(*ids: object, text: str = "a") -> Iterator[str]:
    """A CSV file with these ids, all with one text."""
    yield "id,text\n"
    yield from (f"{ticket_id},{text}\n" for ticket_id in ids)


def load_lines(inbox: Inbox, content: Iterable[str], *, lane: Lane = Lane.BULK, **options: Any) -> LoadSummary:
    """Load a file into a lane."""
    rows = read_rows(content, format=None, name="export")
    rules = ReadingRules(field_map(rows.columns, None), "import")
    return load_records(rows.records, rules, Publisher(inbox), lane=lane, **options)


def queued_tickets(inbox: Inbox, lane: Lane = Lane.BULK) -> list[Ticket]:
    """The tickets in a lane."""
    return [decode(entry.payload or b"") for entry in inbox.fetch(lane, "test", 10_000)]


def draining_sleep(inbox: Inbox, slept: list[float]) -> Callable[[float], None]:
    """A sleep that returns at once, records its duration, and lets workers empty the inbox."""

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) % 3 == 0:
            inbox.redis.xtrim(stream_key(Lane.BULK), maxlen=0)

    return sleep


def test_every_record_is_in_the_lane_in_its_order() -> None:
    inbox = fake_inbox()

    summary = load_lines(inbox, lines(*range(1200)))

    assert summary.accepted == 1200
    assert [ticket.external_id for ticket in queued_tickets(inbox)] == [str(number) for number in range(1200)]


def test_the_other_lane_stays_empty() -> None:
    inbox = fake_inbox()
    load_lines(inbox, lines(1), lane=Lane.LIVE)

    assert (len(queued_tickets(inbox, Lane.LIVE)), len(queued_tickets(inbox, Lane.BULK))) == (1, 0)


def test_records_keep_their_source_and_others_get_the_default() -> None:
    inbox = fake_inbox()
    load_lines(inbox, ["id,text,source\n", "1,a,zendesk\n", "2,b,\n"])

    assert [ticket.source for ticket in queued_tickets(inbox)] == ["zendesk", "import"]


def test_numbers_as_ids_are_accepted() -> None:
    inbox = fake_inbox()
    load_lines(inbox, ['{"id": 4711, "text": "a"}\n'])

    assert queued_tickets(inbox)[0].external_id == "4711"


def test_a_bad_record_is_rejected_with_its_line_and_its_neighbours_are_not() -> None:
    inbox = fake_inbox()

    summary = load_lines(inbox, ["\n", *lines(1), "2, \n", "too,many,columns\n", "\n", "3,c\n"])

    assert summary.accepted == 2
    assert summary.rejected == [
        BadLine(4, "text: is only white space"),
        BadLine(5, "3 columns, the header has 2"),
    ]
    assert [ticket.external_id for ticket in queued_tickets(inbox)] == ["1", "3"]


@pytest.mark.parametrize("row", ["[[id]],oi", "1,{{ticket.title}}", "1,<%= title %>", "1,%%title%%", "1,{corpo}"])
def test_a_placeholder_that_the_export_did_not_fill_in_is_rejected(row: str) -> None:
    summary = load_lines(fake_inbox(), ["id,text\n", f"{row}\n", '2,"{""a"": 1}"\n', "3,Vi {nome} na fatura\n"])

    assert summary.accepted == 2
    assert "is a placeholder that the CRM did not fill in" in summary.rejected[0].reason


def test_a_rejection_never_holds_the_text() -> None:
    summary = load_lines(fake_inbox(), ['{"id": 1, "text": "o meu cpf", "revised_at": "o meu cpf"}\n'])

    assert "cpf" not in summary.rejected[0].reason


def test_a_strict_load_stops_at_the_first_bad_line() -> None:
    with pytest.raises(InvalidInput, match="line 4: 1 column, the header has 2"):
        load_lines(fake_inbox(), [*lines(1, 2), "bad\n", "3,c\n"], strict=True)


def test_a_strict_load_keeps_the_records_before_the_bad_line_and_says_so() -> None:
    inbox = fake_inbox()

    with pytest.raises(InvalidInput, match="2 records before it were accepted"):
        load_lines(inbox, [*lines(1, 2), "bad\n", "3,c\n"], strict=True)

    assert [ticket.external_id for ticket in queued_tickets(inbox)] == ["1", "2"]


def test_a_full_inbox_is_waited_for() -> None:
    inbox, slept = fake_inbox(bulk_high_water=600), list[float]()

    summary = load_lines(inbox, lines(*range(2000)), sleep=draining_sleep(inbox, slept))

    assert summary.accepted == 2000
    assert summary.rejected == []
    assert slept


def test_an_inbox_that_is_not_full_is_not_waited_for() -> None:
    slept: list[float] = []
    summary = load_lines(fake_inbox(), lines(*range(1200)), sleep=slept.append)

    assert slept == []
    assert not summary.waiting


def test_progress_is_reported_after_each_batch_and_while_it_waits() -> None:
    inbox, progress = fake_inbox(bulk_high_water=500), list[tuple[int, bool]]()

    load_lines(
        inbox,
        lines(*range(1000)),
        sleep=draining_sleep(inbox, []),
        on_progress=lambda summary: progress.append((summary.accepted, summary.waiting)),
    )

    assert progress == [(500, False), (500, True), (500, True), (500, True), (1000, False), (1000, False)]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.binary(max_size=200)
    | st.lists(
        st.sampled_from(
            [b"id,text\n", b'{"id":1,"text":"a"}', b"1,a\n", b"\n", b'"', b"\xff", b"\0", b",", b"[", b"{"]
        ),
        max_size=20,
    ).map(b"".join)
)
def test_any_file_is_loaded_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file: Path = tmp_path_factory.getbasetemp() / "any"
    file.write_bytes(content)
    inbox = fake_inbox()

    try:
        with closing(open_text(str(file))) as opened:
            summary = load_lines(inbox, opened.lines())
    except InvalidInput:
        return
    assert len(queued_tickets(inbox)) == summary.accepted


def test_a_lane_with_a_limit_below_a_batch_is_filled_up_to_its_limit() -> None:
    inbox, slept = fake_inbox(bulk_high_water=7), list[float]()

    summary = load_lines(inbox, lines(*range(20)), sleep=draining_sleep(inbox, slept))

    assert summary.accepted == 20
    assert [ticket.external_id for ticket in queued_tickets(inbox)] == [str(number) for number in range(14, 20)]


def test_a_rejected_record_is_passed_on_unchanged() -> None:
    rejected: list[BadLine] = []

    load_lines(fake_inbox(), ["id,text\n", '1,"a\n', 'b"\n', '2," "\r\n'], on_reject=rejected.append)

    assert [bad.raw for bad in rejected] == ['2," "\r\n']
