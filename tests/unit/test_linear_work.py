"""Untrusted text costs work in proportion to its length: cleaning, every CRM adapter, the file readers, column names.

Each reader gets texts of repeated pieces, at two lengths. A text four times as long may take at most ten times the
work; quadratic code would take sixteen times as much. Work is the CPU time of this thread, which other processes do
not affect. A doubtful comparison is repeated.
"""

import json
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from random import Random
from typing import Any, Final
from unicodedata import combining, normalize  # noqa: TID251 - compared with

import pytest
from httptools import HttpParserError, HttpRequestParser

from tests.support.crm import CHATWOOT, FRESHDESK, HUBSPOT, SALESFORCE, ZENDESK, example, parse_webhook
from triagem.contracts.errors import InvalidInput
from triagem.contracts.text import clean, segments
from triagem.contracts.unicode_form import MAX_MARKS, normalized
from triagem.producer import columns
from triagem.producer.crm import Source
from triagem.records.columns import folded_name
from triagem.records.rows import read_rows
from triagem.records.text_file import open_text

PIECES: Final = [
    "\u0301\u0323", "\u0f73", "\u0f73\u0f71", "\uff9e\u0301", "\u0344", "\u0301\u0323" * 15 + "<i></i>", "&#x301;",
    "a : ", "a : <b>", "a : <div", "{", "{ ", "{status", " ", "\n", "\r", "\t", "<", "<div>", "</div>", "<a ", "&",
    "&amp;", "&lt;", ";", ",", '"', '""', '",', '\n"', '"\n', "\\", "\\n", "=", "=C3", "[", "]", "[cid:", "x", "é",
    "> ", "On 1 ", "--\n", "\u200d", "\u200b", "\x00", "sep=", "|", "'", "1", "1.", "9999-12-31 ", "https://", "@",
]  # fmt: skip
_RANDOM: Final = Random(25)
UNITS: Final = [*PIECES, *("".join(_RANDOM.choices(PIECES, k=_RANDOM.randint(2, 4))) for _ in range(15))]


def work(read: Callable[[str], object], text: str) -> float:
    """Processor time that reading takes, in seconds."""
    began = time.thread_time()
    read(text)
    return time.thread_time() - began


def is_linear(read: Callable[[str], object], unit: str, chars: int) -> bool:
    """Whether a text four times as long takes less than ten times the work, or negligible work."""
    short, long = (f"a{unit * (length // len(unit))}" for length in (chars, 4 * chars))
    return any(work(read, long) < max(0.05, 10 * work(read, short)) for _ in range(3))


def assert_linear(read: Callable[[str], object], chars: int) -> None:
    assert [unit for unit in UNITS if not is_linear(read, unit, chars)] == []


@pytest.mark.parametrize("read", [clean, segments], ids=["clean", "segments"])
def test_cleaning_is_linear(read: Callable[[str], object]) -> None:
    assert_linear(read, 5_000)


WEBHOOKS: Final[list[tuple[Source, str, tuple[Any, ...]]]] = [
    (ZENDESK, "zendesk_ticket_created", ("detail", "description")),
    (ZENDESK, "zendesk_trigger", ("message",)),
    (CHATWOOT, "chatwoot_message_created", ("content",)),
    (FRESHDESK, "freshdesk_replied", ("freshdesk_webhook", "ticket_latest_public_comment")),
    (FRESHDESK, "freshdesk_replied", ("freshdesk_webhook", "ticket_subject")),
    (FRESHDESK, "freshdesk_replied", ("freshdesk_webhook", "triggered_event")),
    (HUBSPOT, "hubspot_events", (0, "propertyValue")),
    (HUBSPOT, "hubspot_events", (0, "occurredAt")),
    (SALESFORCE, "salesforce_flow", ("Description",)),
    (SALESFORCE, "salesforce_flow", ("LastModifiedDate",)),
]


@pytest.mark.parametrize(
    ("source", "name", "path"), WEBHOOKS, ids=[f"{name}-{path[-1]}" for _, name, path in WEBHOOKS]
)
def test_each_adapter_is_linear(source: Source, name: str, path: tuple[Any, ...]) -> None:
    payload = example(name)
    parent = payload
    for key in path[:-1]:
        parent = parent[key]

    def receive(text: str) -> None:
        parent[path[-1]] = text
        parse_webhook(json.dumps(payload).encode(), source)

    assert_linear(receive, 10_000)


@pytest.mark.parametrize("prefix", ["", "id;text\n1;", '{"id":1,"text":"'], ids=["header", "csv", "jsonl"])
def test_the_file_readers_are_linear(prefix: str, tmp_path: Path) -> None:
    path = tmp_path / "export"

    def read(text: str) -> None:
        path.write_text(prefix + text, encoding="utf-8", newline="")
        try:
            with closing(open_text(str(path))) as file:
                for _ in read_rows(file.lines(), format=None, name="export").records:
                    pass
        except InvalidInput:
            pass

    assert_linear(read, 5_000)


def test_column_names_are_linear() -> None:
    def read(text: str) -> None:
        columns._usual_columns.cache_clear()
        folded_name.cache_clear()
        columns.field_map([text, "id", "text"], None)

    assert_linear(read, 5_000)


def test_no_character_makes_a_longer_run_of_marks_than_the_bound() -> None:
    marks = [char for char in map(chr, range(0x110000)) if all(map(combining, normalize("NFKD", char)))]

    assert [hex(ord(mark)) for mark in marks if len(normalized("NFKD", mark * 100)) != MAX_MARKS] == []


def test_usual_accents_are_kept() -> None:
    assert normalized("NFC", "a\u0301\u0323" * 50) == normalize("NFC", "a\u0301\u0323" * 50)


def test_the_headers_of_a_request_are_read_in_linear_time() -> None:
    def read(text: str) -> None:
        with suppress(HttpParserError):
            HttpRequestParser(None).feed_data(f"GET / HTTP/1.1\r\nHost: a\r\nX:{text[1:]}\0\r\n\r\n".encode())

    assert_linear(read, 5_000)
