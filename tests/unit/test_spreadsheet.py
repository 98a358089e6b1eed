"""CSV cells that no spreadsheet runs as a formula, whichever separator its locale has."""

import csv
import io
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triagem.contracts.spreadsheet import csv_cell

SIGNS = ("=", "+", "-", "@")
TEXTS = st.lists(st.sampled_from([*SIGNS, ";", ",", "\t", "\n", "\r", '"', "'", "a", "1"])).map("".join)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@given(TEXTS, TEXTS)
def test_no_cell_begins_like_a_formula_for_any_separator(separator: str, first: str, second: str) -> None:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow([csv_cell(first), csv_cell(second)])

    for row in csv.reader(io.StringIO(out.getvalue(), newline=""), delimiter=separator):
        assert not [cell for cell in row if cell.startswith(SIGNS)]


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1", "'=1"),
        ("4711;=HYPERLINK(1)", "4711;'=HYPERLINK(1)"),
        ('a;"=1', "a;\"'=1"),
        ("a\n- b", "a\n'- b"),
        ("a = b; c - d", "a = b; c - d"),
    ],
)
def test_an_apostrophe_stands_before_each_formula(text: str, cell: str) -> None:
    assert csv_cell(text) == cell


def test_other_values_are_kept() -> None:
    assert csv_cell(-1.5) == -1.5
    assert csv_cell(datetime(2026, 11, 2, tzinfo=UTC)) == "2026-11-02T00:00:00+00:00"
