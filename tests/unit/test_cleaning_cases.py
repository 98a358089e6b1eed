"""Cleaning, case by case: e-mails and chats, each with the text that a person would keep.

`cleaning_own.jsonl` was written before the rules; `cleaning_reported.jsonl` follows public reports about cleaners;
`cleaning_probes.jsonl` was written to find faults in the rules.
"""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from triagem.contracts.text import Part, clean, is_automatic, segments

DATA = Path(__file__).parent / "data"
NOISE_STAYS = {"t030", "t0916"}  # a signature above the text; an unmarked quote below a marked help desk line


def rows(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def words(text: str) -> Counter[str]:
    return Counter(re.findall(r"\w+", text.lower()))


CASES = [row for name in ("own", "reported", "probes") for row in rows(f"cleaning_{name}.jsonl")]
KINDS = sorted({row["kind"] for row in CASES})


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_keeps_the_customers_words_and_nothing_else(kind: str) -> None:
    for row in (row for row in CASES if row["kind"] == kind):
        if row.get("id", "") in NOISE_STAYS:
            assert not words(row["expected"]) - words(clean(row["input"]))
        else:
            assert clean(row["input"]) == row["expected"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_segments_show_everything_and_mark_what_the_model_reads(kind: str) -> None:
    for row in (row for row in CASES if row["kind"] == kind):
        parts = segments(row["input"])
        own = words(" ".join(part.text for part in parts if part.part is Part.OWN))
        assert not words(row["expected"]) - own, row["input"]
        assert row.get("id", "") in NOISE_STAYS or own == words(clean(row["input"])), row["input"]


def test_a_message_about_automatic_messages_is_not_one() -> None:
    for row in rows("automatic_own.jsonl"):
        assert is_automatic(row["input"]) is bool(row["automatic"]), row["input"]


def test_joiners_stay_between_letters_that_are_written_with_them() -> None:
    assert (
        clean("\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 a\u200cb\u200c")
        == "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 ab"
    )


def test_a_letter_keeps_at_most_thirty_marks() -> None:
    assert len(clean("x" + "\u0301\u0323" * 100)) == 31


def test_a_path_with_backslashes_is_not_broken_into_lines() -> None:
    assert clean(r"C:\novo\nome.txt falha.\nComo resolvo?") == r"C:\novo\nome.txt falha. Como resolvo?"


def test_a_cut_that_would_leave_a_greeting_is_rejected() -> None:
    text = "Re: x\nBom dia,\n\nOn Mon, 3 Mar 2025 at 10:02, A <a@b.example> wrote:\nQual plano? O anual.\n\nObrigado"
    assert "O anual." in clean(text)
