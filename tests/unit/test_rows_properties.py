"""For any content of a file, the JSONL and CSV readers return rows and errors with the right line numbers."""

import csv
import io
import json
import re
from contextlib import closing

import pytest
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st

from tests.support.files import records
from triagem.contracts.errors import InvalidInput
from triagem.records.rows import FileFormat, Record, read_rows
from triagem.records.text_file import open_text

pieces = st.sampled_from(
    [b"id", b"text", b'"', b",", b";", b"\n", b"\r", b"\r\n", b'{"id":1}', b"{", b"[", b"\0", b"\xff", "é".encode()]
)


@settings(deadline=None)
@given(st.binary() | st.lists(pieces, max_size=40).map(b"".join), st.sampled_from(["csv", "jsonl", None]))
def test_any_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, form: FileFormat | None
) -> None:
    file = tmp_path_factory.getbasetemp() / "any"
    file.write_bytes(content)

    try:
        rows = records(file, form)
    except InvalidInput:
        return
    numbers = [record.line for record in rows]
    assert numbers == sorted(set(numbers))


@given(st.lists(st.dictionaries(st.text(max_size=5), st.text() | st.integers() | st.none()), min_size=1))
def test_any_objects_written_as_jsonl_are_read_back(objects: list[dict[str, object]]) -> None:
    written = [json.dumps(value, ensure_ascii=False) + "\n" for value in objects]

    assert list(read_rows(written, format="jsonl", name="export").records) == [
        Record(line, value) for line, value in enumerate(objects, 1)
    ]


@settings(deadline=None)
@given(st.binary() | st.lists(pieces, max_size=40).map(b"".join))
def test_each_non_blank_line_of_any_jsonl_is_a_row_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "any"
    file.write_bytes(content)
    try:
        opened = open_text(str(file))
    except InvalidInput:  # the file starts like a ZIP archive or HTML
        reject()
    with closing(opened):
        assume(not opened.encoding.startswith("utf-16"))
        text = content.decode(opened.encoding, errors="surrogateescape").lstrip("\ufeff")
    lines = [number for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1) if line.strip()]
    assume(lines)

    assert [record.line for record in records(file, "jsonl")] == lines


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=9)


@given(st.lists(st.tuples(st.sampled_from(["a", "b;c", 'a "quoted" word']) | cells, cells), min_size=1))
def test_any_rows_written_as_csv_are_read_back_with_their_first_lines(pairs: list[tuple[str, str]]) -> None:
    pairs = [("1" + first, second) for first, second in pairs]
    output = io.StringIO(newline="")
    writer = csv.writer(output)
    writer.writerow(("id", "text"))
    expected = []
    for first, second in pairs:
        line = 1 + len(re.findall(r"\r\n|\r|\n", output.getvalue()))
        writer.writerow((first, second))
        expected.append(Record(line, {"id": first, "text": second}))

    lines = io.StringIO(output.getvalue(), newline="")
    assert list(read_rows(lines, format="csv", name="export").records) == expected
