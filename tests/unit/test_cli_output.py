"""Rows and lines on a terminal show untrusted text as written, without markup and control characters."""

import csv
import io
import json
import subprocess
import sys
from contextlib import redirect_stdout
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.table import Column, Table

from triagem.cli.output import Format, SafeConsole, cell, print_json, print_lines, print_rows, rows_table

NOON = datetime(2026, 12, 1, 12).astimezone()
HOSTILE = st.text() | st.lists(
    st.sampled_from(
        ["\\", "[", "]", "[/b]", "[link=https://x.example]", "\x1b]0;x\x07", "\x9b31m", "\u202e", "\r", "=", "a"]
    )
).map("".join)


def printed(rows: list[dict[str, str]], form: Format) -> str:
    with redirect_stdout(io.StringIO()) as out:
        print_rows(rows, ("external_id", "band"), form)
    return out.getvalue()


def is_safe(text: str) -> bool:
    return all(char.isprintable() or char in "\n\t" for char in text)


@settings(deadline=None)
@given(HOSTILE, HOSTILE)
@example(r"\[/b]", r"\[link=https://x.example]x")
@example("\x1b]0;x\x07\x9b31m", "[red]")
@pytest.mark.parametrize("form", [Format.TABLE, Format.JSON, Format.CSV])
def test_no_row_moves_the_cursor_or_is_read_as_markup(form: Format, external_id: str, band: str) -> None:
    assert is_safe(printed([{"external_id": external_id, "band": band}], form))


@given(HOSTILE)
def test_json_of_any_text_is_read_back(text: str) -> None:
    with redirect_stdout(io.StringIO()) as out:
        print_json([text])
    assert json.loads(out.getvalue()) == [text]


def test_a_table_shows_brackets_as_they_are_written() -> None:
    out = printed([{"external_id": r"\[/b]", "band": "[link=https://x.example]x"}], Format.TABLE)
    assert r"\[/b]" in out
    assert "[link=https://x.example]x" in out


def test_a_table_in_a_pipe_has_no_blanks_at_the_end_of_lines() -> None:
    rows = [{"external_id": "4711", "band": ""}, {"external_id": "1", "band": "automate"}]

    assert printed(rows, Format.TABLE).splitlines() == ["external id  band", "4711", "1            automate"]


def test_no_table_in_a_pipe_has_borders(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("", Column("v1.1.0", justify="right"))
    table.add_row("accuracy", "0.93")

    print_lines(table)

    assert capsys.readouterr().out.splitlines() == ["          v1.1.0", "accuracy    0.93"]


def test_a_table_on_a_terminal_has_colored_marks_and_wraps_its_cells() -> None:
    out = io.StringIO()
    screen = SafeConsole(file=out, width=20, force_terminal=True, color_system="standard")
    table = Table(Column(width=1), Column(), box=None, show_header=False, pad_edge=False)
    table.add_row("[red]✗[/red]", cell("Redis does not answer"))

    print_lines(table, screen=screen)

    first, second = out.getvalue().splitlines()
    assert first.startswith("\x1b[31m✗\x1b[0m  Redis does not")
    assert second.split() == ["answer"]


def test_on_a_narrow_terminal_no_value_of_a_table_is_cut() -> None:
    row = {"external_id": "47\t11", "label": "suporte", "reviewer": "ana.silva@acme.example", "received_at": NOON}
    out = io.StringIO()

    print_lines(rows_table([row], tuple(row)), screen=SafeConsole(file=out, width=50, force_terminal=True))

    values = ("47\\t11", "suporte", "2026-12-01", "12:00:00")
    assert [value in out.getvalue() for value in values] == [True] * len(values)
    assert "…" not in out.getvalue()


@settings(deadline=None)
@given(HOSTILE)
def test_a_line_that_nobody_escaped_is_safe_too(text: str) -> None:
    screen = io.StringIO()
    SafeConsole(file=screen).print(text, markup=False)
    SafeConsole(file=screen).print(cell(text))
    assert is_safe(screen.getvalue())


@pytest.mark.parametrize("mark", [True, False], ids=["file", "pipe"])
def test_a_csv_file_says_that_it_is_utf_8_and_a_pipe_does_not(mark: bool, tmp_path: Path) -> None:
    code = "from triagem.cli.output import *; print_rows([{'label': 'não'}], ['label'], Format.CSV)"
    path = tmp_path / "rows.csv"
    if mark:
        with path.open("wb") as file:
            subprocess.run([sys.executable, "-c", code], stdout=file, check=True)
    else:
        path.write_bytes(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)

    assert path.read_bytes().startswith(b"\xef\xbb\xbf") is mark
    assert list(csv.reader(path.read_text("utf-8-sig").splitlines())) == [["label"], ["não"]]


def test_a_table_that_goes_to_no_terminal_is_not_cut(capsys: pytest.CaptureFixture[str]) -> None:
    reason, moment = "the payload is not JSON " * 20, datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
    print_rows([{"reason": reason, "at": moment}], ("reason", "at"), Format.TABLE)

    _, row = capsys.readouterr().out.splitlines()
    assert reason.strip() in row
    assert datetime.fromisoformat(row.removeprefix(reason).strip()) == moment
