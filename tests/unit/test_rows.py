"""JSONL and CSV to rows with line numbers: a bad line is a value and never stops a file."""

import os
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.files import Records, records
from triagem.contracts.errors import InvalidInput
from triagem.records.rows import BadLine, FileFormat, Record, read_rows
from triagem.records.text_file import open_text

Read = Callable[..., Records]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads the records of a file with this content."""

    def read_content(content: str | bytes, form: FileFormat | None = None) -> Records:
        file = tmp_path / "export"
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return records(file, form)

    return read_content


ONE_AND_TWO = [Record(2, {"id": "1", "text": "a"}), Record(3, {"id": "2", "text": "b"})]


def test_each_line_of_jsonl_is_a_row(read: Read) -> None:
    assert read('{"id": 1}\n{"id": "2", "tags": [null]}\n') == [
        Record(1, {"id": 1}),
        Record(2, {"id": "2", "tags": [None]}),
    ]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_csv_is_read_with_its_own_separator(read: Read, separator: str) -> None:
    assert read("id,text\n1,a\n2,b\n".replace(",", separator)) == ONE_AND_TWO


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_csv_is_read_with_its_own_line_ends(read: Read, end: str) -> None:
    assert read("id,text\n1,a\n2,b\n".replace("\n", end)) == ONE_AND_TWO


def test_csv_without_a_last_line_end_is_whole(read: Read) -> None:
    assert read("id,text\n1,a\n2,b") == ONE_AND_TWO


def test_column_names_lose_the_white_space_around_them(read: Read) -> None:
    assert read("id , text\n1,a\n2,b\n") == ONE_AND_TWO


@pytest.mark.parametrize("content", ["id,text\n1,a\n2,b\n", '\n{"id": 1}\n'], ids=["csv", "jsonl"])
def test_a_byte_order_mark_is_ignored(read: Read, content: str) -> None:
    assert read(b"\xef\xbb\xbf" + content.encode()) == read(content)


@pytest.mark.parametrize(
    "encoding", ["utf-16-be", "utf-16-le", "utf-16", "utf-8", "utf-8-sig", "cp1252", "mac_roman", "cp850"]
)
def test_a_file_is_read_in_its_encoding(read: Read, encoding: str) -> None:
    rows = read("id;descrição\n1;Não chegou a cobrança de março\n".encode(encoding))

    assert rows == [Record(2, {"id": "1", "descrição": "Não chegou a cobrança de março"})]


@pytest.mark.parametrize("encoding", ["utf-16-be", "utf-16-le", "utf-32-be", "utf-32-le", "utf-32"])
def test_unicode_is_recognized_by_its_separators_also_without_latin_letters(read: Read, encoding: str) -> None:
    rows = read(("編號;text\n" + "".join(f"{n};年度套餐多少钱我想买十个号码\n" for n in range(50))).encode(encoding))

    assert rows[7] == Record(9, {"編號": "7", "text": "年度套餐多少钱我想买十个号码"})


def test_nul_characters_do_not_make_a_file_utf16(read: Read) -> None:
    assert read("id,text\n1,não\0,\n\0\n") == [
        Record(2, {"id": "1", "text": "não\0"}),
        BadLine(3, "1 column, the header has 2"),
    ]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Не пришёл счёт за март", "cp1251"),  # noqa: RUF001
        ("Не работает интернет", "koi8-r"),  # noqa: RUF001
        ("年度套餐多少钱", "gb18030"),
        ("ログインできません", "shift_jis"),
        ("요금이 얼마예요", "euc-kr"),
        ("Πόσο κοστίζει το πακέτο", "cp1253"),
        ("Nie mogę się zalogować, proszę o pomoc z działaniem", "cp1250"),
        ("Chciałbym kupić więcej licencji, żeby działało", "iso-8859-2"),
        ("Kolik stojí roční předplatné? Děkuji, Žižka", "cp1250"),
        ("Szőke Győző vagyok, mennyibe kerül az előfizetés", "cp1250"),
        ("Yıllık plan ne kadar? Giriş yapamıyorum, Doğan", "cp1254"),  # noqa: RUF001
    ],
)
def test_an_encoding_that_looks_like_others_is_refused(read: Read, text: str, encoding: str) -> None:
    with pytest.raises(InvalidInput, match="cannot be detected: name it with --encoding"):
        read(f"id;text\n1;{text}\n".encode(encoding))


@pytest.mark.parametrize("text", ["“É” — NÃO… SOLICITAÇÃO", "créée “à” l'été…", "…”—” ————", "Ação"])
def test_accents_and_punctuation_in_a_row_are_not_a_foreign_encoding(read: Read, text: str) -> None:
    assert read(f"id;text\n1;{text}\n".encode("cp1252")) == [Record(2, {"id": "1", "text": text})]


@pytest.mark.parametrize(
    "text",
    [
        "Größe ändern, Straße",
        "Où est ma facture reçue à l'hôtel, cœur",
        "Ação: não",
        "Jeg får ikke logget inn på kontoen, vær så snill",
        "Área de 30 m² e 2 m³, ½ do valor, é ´grátis´?",  # noqa: RUF001
        "Meu nome é Novotný, não chegou a cobrança de março, e a opção é ótima",
    ],
)
def test_western_languages_in_the_encoding_of_windows_keep_their_letters(read: Read, text: str) -> None:
    assert read(f"id;text\n1;{text}\n".encode("cp1252")) == [Record(2, {"id": "1", "text": text})]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"PK\x03\x04\x14\x00", "an Excel workbook"),
        (b"\xd0\xcf\x11\xe0\xa1", "an Excel workbook"),
        (b"\x1f\x8b\x08\x00", "compressed with gzip"),
        (b"%PDF-1.4\n", "a PDF, not a table"),
        (b"\xef\xbb\xbf\r\n<html><table>", "HTML or XML"),
        (b"<!DOCTYPE html>", "HTML or XML"),
        (b'<?xml version="1.0"?>', "HTML or XML"),
    ],
)
def test_a_file_that_is_not_text_is_named(read: Read, content: bytes, reason: str) -> None:
    with pytest.raises(InvalidInput, match=f"export is {reason}"):
        read(content)


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10", bytes(range(256))])
def test_a_binary_file_is_refused_without_advice_about_its_encoding(read: Read, content: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"^the file is not text: export the table as CSV$"):
        read(content)


def test_a_single_nul_does_not_make_a_table_binary(read: Read) -> None:
    assert read("id,text\n1,não\0\n".encode("cp1252")) == [Record(2, {"id": "1", "text": "não\0"})]


def test_a_text_that_starts_with_a_tag_is_not_html(read: Read) -> None:
    assert read("<b>texto</b>,id\n<p>Olá</p>,1\n".encode()) == [Record(2, {"<b>texto</b>": "<p>Olá</p>", "id": "1"})]


def test_a_damaged_line_of_a_utf8_file_is_bad_and_its_neighbours_are_not(read: Read) -> None:
    assert read("id,text\n1,é\n2,".encode() + b"caf\xe9\n3,b\n")[1:] == [
        BadLine(3, "not UTF-8"),
        Record(4, {"id": "3", "text": "b"}),
    ]
    assert read('{"id": "é"}\n{"id": "'.encode() + b'\xe9"}\n{"id": 3}\n')[1:] == [
        BadLine(2, "not UTF-8"),
        Record(3, {"id": 3}),
    ]


def test_a_given_encoding_is_not_questioned(tmp_path: Path) -> None:
    (tmp_path / "export").write_bytes("id,text\n1,não\n".encode("cp850"))
    with closing(open_text(str(tmp_path / "export"), encoding="cp850")) as file:
        assert list(file.lines())[1] == "1,não\n"


def test_a_cut_off_file_of_a_wide_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "export").write_bytes("id,text\n".encode("utf-16") + b"1")
    with (
        closing(open_text(str(tmp_path / "export"))) as file,
        pytest.raises(InvalidInput, match=r"^the file is not valid UTF-16: save it as UTF-8$"),
    ):
        list(file.lines())


def test_an_unknown_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "export").write_bytes(b"id,text\n")
    with pytest.raises(InvalidInput, match="'latin-x' is not an encoding"):
        open_text(str(tmp_path / "export"), encoding="latin-x")


def test_a_field_name_with_a_lone_surrogate_is_a_bad_line(read: Read) -> None:
    assert read('{"\\ud800": 1}\n') == [BadLine(1, "not UTF-8")]


def test_a_half_written_last_line_is_bad(read: Read) -> None:
    assert isinstance(read('{"id": 1}\n{"id": 2, "te')[1], BadLine)
    assert read("id,text\n1,a\n2")[1] == BadLine(3, "1 column, the header has 2")


@pytest.mark.parametrize(
    "later", ['3,c\n4,"d"\n', '3,"c"\n4,d\n', '3,""\n4,"d ""e"""\n', '3,"c",\n4,d\n', "3,c\n4,d\n"]
)
def test_an_unclosed_quote_costs_one_row(read: Read, later: str) -> None:
    rows = read('id,text\n1,a\n2,"b\n' + later)

    assert [(row.line, isinstance(row, Record)) for row in rows] == [(2, True), (3, False), (4, True), (5, True)]


def test_a_long_file_behind_an_unclosed_quote_is_read(read: Read) -> None:
    rows = read('id,text\n1,"a\n' + "".join(f'{number},"texto, longo"\n' for number in range(2, 20_000)))

    assert sum(isinstance(row, Record) for row in rows) == 19_998


def test_quotes_escaped_with_a_backslash_are_read(read: Read) -> None:
    assert read('id,text\n1,"Ele disse \\"oi\\", e saiu"\n2,b\n') == [
        Record(2, {"id": "1", "text": 'Ele disse "oi", e saiu'}),
        ONE_AND_TWO[1],
    ]
    assert read('id,text\n1,"a\\"b\nc \\"d\\""\n2,b\n')[0] == Record(2, {"id": "1", "text": 'a"b\nc "d"'})


def test_a_backslash_before_a_closing_quote_is_a_backslash(read: Read) -> None:
    assert read('id,text\n1,"C:\\"\n') == [Record(2, {"id": "1", "text": "C:\\"})]


@pytest.mark.parametrize("row", [";", ";;;", " ; "])
def test_a_row_of_empty_cells_is_blank(read: Read, row: str) -> None:
    assert read(f"id;text\n1;a\n{row}\n") == ONE_AND_TWO[:1]


def test_a_cell_that_a_spreadsheet_keeps_as_text_is_unwrapped(read: Read) -> None:
    assert read('id,text\n="0012",a\n"=""0013""",b\n') == [
        Record(2, {"id": "0012", "text": "a"}),
        Record(3, {"id": "0013", "text": "b"}),
    ]


@pytest.mark.parametrize("again", ["id,text", "\ufeffid,text", "id, text "])
def test_the_header_of_a_joined_file_is_not_a_ticket(read: Read, again: str) -> None:
    assert read(f"id,text\n1,a\n{again}\n2,b\n") == [
        ONE_AND_TWO[0],
        BadLine(3, "repeats the header"),
        Record(4, {"id": "2", "text": "b"}),
    ]


@pytest.mark.parametrize(("line", "at"), [("sep=\\t\n", 3), ("sep=\t\n", 3), ("sep=\t\n\n", 4)])
def test_a_separator_line_may_name_the_tab_and_have_blank_lines_below(read: Read, line: str, at: int) -> None:
    assert read(f"{line}id\ttext\n1\ta;b\n") == [Record(at, {"id": "1", "text": "a;b"})]


@pytest.mark.parametrize("line", ["sep=;", '"sep=;"', "SEP=;"])
def test_the_separator_line_of_a_spreadsheet_is_used(read: Read, line: str) -> None:
    assert read(f"{line}\nid;text, full\n1;a\n") == [Record(3, {"id": "1", "text, full": "a"})]


def test_the_rows_decide_the_separator(read: Read) -> None:
    rows = read("id;subject, full;body, first;x, y, z\n1;a;b;c\n2;d, e;f;g\n")

    assert [row.columns["body, first"] for row in rows if isinstance(row, Record)] == ["b", "f"]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_blanks_around_a_quoted_cell_are_not_part_of_it(read: Read, separator: str) -> None:
    content = 'id,text,tag\n1, "oi, ""tudo"" bem"\n2,  "a, b" ,x\n3 ,"a,\nb" ,x\n "4", "diz \\"oi\\", sim",x\n5,b,x\n'

    rows = read(content.replace(",", separator))

    assert [(row.columns["text"], row.columns["tag"]) for row in rows if isinstance(row, Record)] == [
        (text.replace(",", separator), tag)
        for text, tag in [('oi, "tudo" bem', ""), ("a, b", "x"), ("a,\nb", "x"), ('diz "oi", sim', "x"), ("b", "x")]
    ]


def test_a_quoted_word_at_the_start_of_a_text_is_part_of_it(read: Read) -> None:
    assert read('id;text\n1; "Urgente" ajuda\n2;b\n')[0] == Record(2, {"id": "1", "text": ' "Urgente" ajuda'})


def test_an_unclosed_quote_behind_a_blank_costs_one_row(read: Read) -> None:
    assert read('id,text\n1, "a\n2,b\n') == [BadLine(2, "not CSV (a quote is not closed)"), ONE_AND_TWO[1]]


def test_titles_above_the_header_are_skipped_and_reported() -> None:
    lines = ["Relatório de chamados;;\n", "Exportado em 01/02/2026;;\n", ";;\n", "id;text;tag\n", "1;a;b\n"]

    rows = read_rows(lines, format=None, name="export", is_header=lambda columns: "id" in columns)

    assert rows.notes == ("skipped above the header, lines 1 to 3: Relatório de chamados, Exportado em 01/02/2026",)
    assert rows.header == "".join(lines[:4])
    assert list(rows.records) == [Record(5, {"id": "1", "text": "a", "tag": "b"})]


@pytest.mark.parametrize("titles", ["Relatório\n", "Relatório;;\nde novembro;;\n"])
def test_titles_are_skipped_above_columns_that_nobody_expected(titles: str) -> None:
    lines = [*titles.splitlines(keepends=True), "Nº;Relato;Fila\n", "1;oi, tudo;N1\n", "2;b, c;N2\n"]

    rows = read_rows(lines, format=None, name="export", is_header=lambda columns: "id" in columns)

    assert rows.columns == ["Nº", "Relato", "Fila"]
    assert rows.header == "".join(lines[:-2])


@pytest.mark.parametrize("rows", [["a, b\n"], ["a, b\n", "c\n"], ["a, b\n", "c, d, e\n"]])
def test_a_column_of_texts_with_commas_has_no_titles(rows: list[str]) -> None:
    assert read_rows(["texto\n", *rows], format=None, name="export", is_header=lambda _: False).columns == ["texto"]


@pytest.mark.parametrize(
    ("lines", "columns"),
    [(["x;y\n", "id;text\n", "1;a\n", "id;text\n"], ["x", "y"]), (["id;text\n", "id;text\n"], ["id", "text"])],
    ids=["two headers", "the first row"],
)
def test_no_row_is_skipped_unless_only_a_later_one_can_be_the_header(lines: list[str], columns: list[str]) -> None:
    rows = read_rows(lines, format=None, name="export", is_header=lambda columns: "id" in columns)

    assert (rows.columns, rows.notes) == (columns, ())


def test_a_misplaced_quote_spoils_its_own_line_only(read: Read) -> None:
    first, last = read('id,text\n1,"a"b\n2,b\n')

    assert isinstance(first, BadLine)
    assert first.line == 2
    assert last == ONE_AND_TWO[1]


@pytest.mark.parametrize("header", ['"id,text\n', '"id"x,text\n'])
def test_a_header_that_is_not_csv_is_refused(read: Read, header: str) -> None:
    with pytest.raises(InvalidInput, match="the header is not CSV"):
        read(header)


@pytest.mark.parametrize("row", ["1,a,", "1,a,,,", "1,a, "])
def test_empty_cells_too_many_are_dropped(read: Read, row: str) -> None:
    assert read(f"id,text\n{row}\n2,b\n") == ONE_AND_TWO
    assert read(f"id,text,\n{row}\n2,b\n") == ONE_AND_TWO


def test_cells_missing_at_the_end_are_empty(read: Read) -> None:
    assert read("id,text,tag\n1,a\n") == [Record(2, {"id": "1", "text": "a", "tag": ""})]


@pytest.mark.parametrize(("line", "count"), [("1", "1 column"), ("1,a,b", "3 columns")])
def test_a_row_with_a_wrong_number_of_columns_is_bad(read: Read, line: str, count: str) -> None:
    assert read(f"id,text\n{line}\n2,b\n") == [BadLine(2, f"{count}, the header has 2"), ONE_AND_TWO[1]]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("[1]", "not a JSON object"),
        ("7", "not a JSON object"),
        ("{'id': 1}", "not valid JSON at character 2"),
        ("[" * 100_000, "not valid JSON"),
        ('{"id": ' + "9" * 5000 + "}", "not valid JSON"),
    ],
    ids=["array", "number", "single quotes", "brackets", "digits"],
)
def test_a_line_that_is_not_a_json_object_is_bad(read: Read, line: str, reason: str) -> None:
    assert read(f'{{"id": 1}}\n{line}\n{{"id": 3}}\n')[1:] == [BadLine(2, reason), Record(3, {"id": 3})]


def test_a_record_of_many_lines_is_numbered_by_its_first(read: Read) -> None:
    assert read('id,text\n1,"a\n\nb"\n2,b\n') == [
        Record(2, {"id": "1", "text": "a\n\nb"}),
        Record(5, {"id": "2", "text": "b"}),
    ]


def test_blank_lines_are_counted_and_skipped(read: Read) -> None:
    assert [record.line for record in read('{"id": 1}\n\n  \n{"id": 2}\nbad\n')] == [1, 4, 5]
    assert [record.line for record in read("id,text\n1,a\n\n\n2,b\nbad\n")] == [2, 5, 6]


def test_blank_lines_before_the_first_record_are_counted(read: Read) -> None:
    assert [record.line for record in read('\n\n{"id": 1}\nbad\n')] == [3, 4]
    assert [record.line for record in read("\n \nid,text\n1,a\nbad\n")] == [4, 5]


@pytest.mark.parametrize("content", ["", "\n", " \r\n\t\n", "\ufeff", "\ufeff\n"])
def test_an_empty_file_is_refused(read: Read, content: str) -> None:
    with pytest.raises(InvalidInput, match="export: the file is empty"):
        read(content)


@pytest.mark.parametrize("content", ['[{"id": 1}]', '\n  [\n  {"id": 1}\n]\n'])
def test_a_json_array_is_refused_and_the_error_names_the_expected_format(read: Read, content: str) -> None:
    with pytest.raises(InvalidInput, match=r"JSON array, expected one JSON object a line .*jq -c '\.\[\]'$"):
        read(content)


def test_a_json_object_of_several_lines_is_refused(read: Read) -> None:
    with pytest.raises(
        InvalidInput, match=r"JSON object of several lines, expected one JSON object a line .*jq -c \.$"
    ):
        read('{\n  "id": 1\n}\n')


def test_a_header_alone_is_a_file_without_records(read: Read) -> None:
    assert read("id,text\n") == []


def test_the_format_can_be_given_instead_of_detected(read: Read) -> None:
    assert read("{id,text\n1,a\n", "csv") == [Record(2, {"{id": "1", "text": "a"})]


def test_the_columns_of_jsonl_are_those_of_its_first_record() -> None:
    rows = read_rows(["bad\n", '{"id": 1, "text": "a"}\n', '{"more": 2}\n'], format="jsonl", name="export")

    assert rows.columns == ["id", "text"]


def test_reading_the_columns_loses_no_record() -> None:
    rows = read_rows(["bad\n", '{"id": 1}\n', '{"id": 2}\n'], format="jsonl", name="export")

    assert [record.line for record in rows.records] == [1, 2, 3]


def test_records_are_read_lazily() -> None:
    lines = iter(["id,text\n", *["1,a\n"] * 300])
    read_rows(lines, format=None, name="export")

    assert next(lines) == "1,a\n"


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="export: no such file"):
        records(tmp_path / "export")


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is a directory, expected a JSONL, CSV or Parquet file"):
        records(tmp_path)


def test_a_pipe_is_read_from_its_first_byte(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("id,text\n1,a\n2,b\n",))
    writer.start()

    rows = records(pipe)

    writer.join()
    assert rows == ONE_AND_TWO
