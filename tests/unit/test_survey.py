"""The survey of a file before it is loaded: the order of dates, ids that repeat or lost digits, and cut rows."""

from datetime import UTC

import pytest

from triagem.contracts.errors import InvalidInput
from triagem.contracts.moments import DateOrder, MomentFormat
from triagem.contracts.ticket import Ticket
from triagem.producer.columns import field_map
from triagem.producer.load import ReadingRules
from triagem.producer.survey import Survey, survey
from triagem.records.rows import BadLine, Record, read_rows


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
        (("32/13/2026",), None),
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

    assert note.startswith("rows: 4, different ids: 2 (repeated: lines 3, 5)")
    assert "--map message_id=COLUMN" in note


def test_ids_are_compared_as_they_are_stored_and_missing_ones_repeat_nothing() -> None:
    (note,) = surveyed("7,a", " 7 ,b", ",c", ",d", header="id,text").notes

    assert note.startswith("rows: 2, different ids: 1 (repeated: line 3)")


def test_a_json_row_without_an_id_is_rejected() -> None:
    row = Record(1, {"tickets": [1]})
    result = survey(iter([row]), ReadingRules(field_map(["tickets"], None), "import"))

    assert result.rules.ticket(row) == BadLine(1, "external_id: is missing")


def test_rows_with_message_ids_are_messages_of_conversations_and_repeat_no_id() -> None:
    content = ["id,message_id,text\n", "7,1,a\n", "7,2,b\n", "8,1,c\n", "8,1,d\n", "9,,e\n"]
    rows = read_rows(content, format=None, name="export")

    notes = survey(rows.records, ReadingRules(field_map(rows.columns, None), "import")).notes

    assert notes[0] == "rows that are messages: 4, of conversations: 2"
    assert notes[1].startswith("every message counts as the customer's")
    assert notes[2].startswith("rows: 5, different ids: 4 (repeated: line 5)")


def test_a_column_that_may_be_the_channel_is_reported_as_the_source() -> None:
    (note,) = surveyed("1,a,Email", "2,b,Portal", "3,c,", header="id,text,Source").notes

    assert note.startswith("the source of each row is in the column 'Source' (different values: 2): --map source=")
    assert surveyed("1,a,zendesk", header="id,text,source").notes == ()


def test_a_json_row_whose_source_is_a_list_is_rejected() -> None:
    row = Record(1, {"id": 1, "text": "a", "source": ["x"]})
    result = survey(iter([row]), ReadingRules(field_map(["id", "text", "source"], None), "import"))

    assert result.rules.ticket(row) == BadLine(1, "source: must be text")


def test_ids_in_scientific_form_are_reported() -> None:
    notes = surveyed('"5,00123E+17",a,', '"5,00123E+17",b,').notes

    assert "have lost digits" in notes[0]
    assert "rows: 2, different ids: 1" in notes[1]


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
