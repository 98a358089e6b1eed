"""File import into the inbox: each record is accepted or rejected with its line; a full inbox is waited for."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.builders import fake_inbox
from triagem.contracts.errors import InvalidInput
from triagem.contracts.moments import DateOrder, MomentFormat
from triagem.contracts.ticket import Lane, Ticket
from triagem.contracts.wire import decode
from triagem.inbox import Inbox
from triagem.inbox.stream import stream_key
from triagem.producer.columns import field_map
from triagem.producer.load import LoadSummary, ReadingRules, load_records
from triagem.producer.publisher import Publisher
from triagem.producer.survey import Survey, survey
from triagem.records.rows import BadLine, Record, read_rows
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
    with pytest.raises(InvalidInput, match="line 4: 1 columns, the header has 2"):
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


def surveyed(*rows: str, header: str = "id,text,created_at", moments: MomentFormat | None = None) -> Survey:
    """The survey of a CSV file."""
    read = read_rows([f"{line}\n" for line in (header, *rows)], format="csv", name="export")
    return survey(read.records, ReadingRules(field_map(read.columns, None), "import", moments or MomentFormat(UTC)))


@pytest.mark.parametrize(
    ("times", "order"),
    [
        (("03/04/2026 10:00", "31/12/2025 14:05"), DateOrder.DAY_FIRST),
        (("03/04/2026 10:00", "12/31/2025 14:05"), DateOrder.MONTH_FIRST),
        (("12/11/2025 2:05 PM",), DateOrder.MONTH_FIRST),
        (("12/11/2025 2:05 PM", "31/12/2025 2:05 PM"), DateOrder.DAY_FIRST),
        (("2026-04-03 10:00", "05/05/2026"), None),
        (("10:00 03/04/2026", "14:05 31/12/2025"), DateOrder.DAY_FIRST),
        (("2025-12-31 14:05", "2025-11-13 14:05"), None),
    ],
)
def test_the_order_of_day_and_month_is_decided_by_the_whole_file(times: tuple[str, ...], order: object) -> None:
    result = surveyed(*(f"{number},a,{time}" for number, time in enumerate(times)))

    assert result.rules.moments.order == order


@pytest.mark.parametrize(
    ("times", "reason"),
    [
        (
            ("03/04/2026", "05/06/2026"),
            "line 2 may have the day or the month first, and no line decides it: give --d",
        ),
        (("31/12/2025", "12/31/2025"), "line 2 has the day first and line 3 the month first: give --date-format"),
        (
            ("ontem", "hoje", "cedo"),
            "no time in 'created_at' can be read .line 2 is not a time.: .*--map revised_at=",
        ),
        (("20251231", "46022.58", "0"), "no time in 'created_at' can be read"),
    ],
)
def test_a_file_whose_times_are_not_clear_is_refused_with_the_option_that_helps(
    times: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(InvalidInput, match=reason):
        surveyed(*(f"{number},a,{time}" for number, time in enumerate(times)))


def test_a_given_order_needs_no_evidence() -> None:
    result = surveyed("1,a,03/04/2026", moments=MomentFormat(UTC, DateOrder.MONTH_FIRST))

    assert result.rules.moments.order == DateOrder.MONTH_FIRST


def test_ids_that_repeat_are_counted_with_their_lines() -> None:
    (note,) = surveyed("7,a", "7,b", "8,c", "7,d", header="id,text").notes

    assert note.startswith("4 rows with 2 different ids (repeated: line 3, 5)")
    assert "--map message_id=COLUMN" in note


def test_ids_are_compared_as_they_are_stored_and_missing_ones_repeat_nothing() -> None:
    (note,) = surveyed("7,a", " 7 ,b", ",c", ",d", header="id,text").notes

    assert note.startswith("2 rows with 1 different ids (repeated: line 3)")


def test_a_json_row_without_an_id_is_rejected() -> None:
    row = Record(1, {"tickets": [1]})
    result = survey(iter([row]), ReadingRules(field_map(["tickets"], None), "import"))

    assert result.rules.ticket(row) == BadLine(1, "external_id: is missing")


def test_rows_with_message_ids_are_messages_of_conversations_and_repeat_no_id() -> None:
    content = ["id,message_id,text\n", "7,1,a\n", "7,2,b\n", "8,1,c\n", "8,1,d\n", "9,,e\n"]
    rows = read_rows(content, format=None, name="export")

    notes = survey(rows.records, ReadingRules(field_map(rows.columns, None), "import")).notes

    assert notes[0] == "4 rows are messages of 2 conversations"
    assert notes[1].startswith("every message counts as the customer's")
    assert notes[2].startswith("5 rows with 4 different ids (repeated: line 5)")


def test_a_column_that_may_be_the_channel_is_reported_as_the_source() -> None:
    (note,) = surveyed("1,a,Email", "2,b,Portal", "3,c,", header="id,text,Source").notes

    assert note.startswith("the source of each row is in the column 'Source', 2 different ones: --map source=")
    assert surveyed("1,a,zendesk", header="id,text,source").notes == ()


def test_a_json_row_whose_source_is_a_list_is_rejected() -> None:
    row = Record(1, {"id": 1, "text": "a", "source": ["x"]})
    result = survey(iter([row]), ReadingRules(field_map(["id", "text", "source"], None), "import"))

    assert result.rules.ticket(row) == BadLine(1, "source: must be text")


def test_ids_in_scientific_form_are_reported() -> None:
    notes = surveyed('"5,00123E+17",a,', '"5,00123E+17",b,').notes

    assert "has lost digits" in notes[0]
    assert "2 rows with 1 different ids" in notes[1]


@pytest.mark.parametrize("written", ["12.0", "12,0"])
def test_whole_numbers_written_as_floats_lose_the_fraction_if_all_ids_are_so(written: str) -> None:
    record = Record(2, {"id": written, "text": "a"})
    whole, mixed = surveyed(f'"{written}",a,', "13.0,b,", ",c,"), surveyed(f'"{written}",a,', "1.10,b,")

    tickets = [result.rules.ticket(record) for result in (whole, mixed)]

    assert [ticket.external_id for ticket in tickets if isinstance(ticket, Ticket)] == ["12", written]


@pytest.mark.parametrize(
    ("content", "accepted"),
    [
        ("id,assunto,texto,data\n1,Fatura,Olá\nnão chegou,2025-12-31\n2,a,b,2025-12-31\n", ["2"]),
        ("id,assunto,texto,data\n1,Fatura,Olá\n\nnão\nchegou, ainda,2025-12-31\n2,a,b,2025-12-31\n", ["2"]),
        ("id,texto\n1,Olá\nnão chegou, ainda\n2,b\n", ["2"]),
        ("id,texto\n1,Olá\n\nnão chegou\n2,b\n3,c\n", ["2", "3"]),
        ("id,texto,tag\n1,a\n2,b\n3,c,x\n", ["1", "2", "3"]),
        ("id,texto,tag\nana,a\nlia,b\neva,c,x\n", ["ana", "lia", "eva"]),
        ("id,texto\n1,a\n2,b\n3,c\nana@example.com,d\n", ["1", "2", "3", "ana@example.com"]),
        ("id,texto\n1,a\n2,b\n\nTotal de chamados: 2\n", ["1", "2"]),
        ("id;canal;texto\n1;x;a\n2;y;b\nTotal geral;2;\n", ["1", "2"]),
        ("id,texto\n1,a\n2", ["1"]),
        ("id,data,texto,canal\n1,,a,x\nTotal: 1,,,\n", ["1"]),
    ],
)
def test_the_pieces_of_a_row_that_a_line_break_cut_are_rejected(content: str, accepted: list[str]) -> None:
    rows, again = (read_rows(content.splitlines(keepends=True), format=None, name="export") for _ in range(2))

    rules = survey(rows.records, ReadingRules(field_map(rows.columns, None), "import")).rules

    tickets = [rules.ticket(record) for record in again.records]
    assert [ticket.external_id for ticket in tickets if isinstance(ticket, Ticket)] == accepted


def test_a_rejected_record_is_passed_on_unchanged() -> None:
    rejected: list[BadLine] = []

    load_lines(fake_inbox(), ["id,text\n", '1,"a\n', 'b"\n', '2," "\r\n'], on_reject=rejected.append)

    assert [bad.raw for bad in rejected] == ['2," "\r\n']
