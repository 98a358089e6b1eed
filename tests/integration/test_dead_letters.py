"""Dead letters: listed without their payloads, shown, dropped."""

import json
from pathlib import Path

import pytest

from tests.support.command import Triagem, assert_one_line
from tests.support.dead_letters import insert_dead_letters, payload_of
from tests.support.windows import rows
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.db.tickets import dead_letters
from triagem.db.tickets.dead_letters import insert_dead_letter
from triagem.inbox import Inbox

CUSTOMER_TEXT = "my card number is 4111"


def ids(database: Database) -> list[int]:
    """The ids of all dead letters, oldest first."""
    return sorted(letter.id for letter in dead_letters.list_dead_letters(database, limit=10_000))


def waiting(inbox: Inbox, lane: Lane = Lane.LIVE) -> list[bytes]:
    """The payloads that wait in a lane, oldest first."""
    return [entry.payload or b"" for entry in inbox.fetch(lane, "test", 10_000)]


class TestInsert:
    def test_the_attempts_and_the_reason_are_kept_with_the_bytes(self, database: Database) -> None:
        insert_dead_letter(database, Lane.BULK, b"1-0", b"\xff\x00", "the model raised", attempts=3)

        (letter,) = rows(database, "dead_letters")
        kept = (letter["lane"], letter["entry_id"], bytes(letter["payload"]), letter["reason"], letter["attempts"])
        assert kept == ("bulk", "1-0", b"\xff\x00", "the model raised", 3)

    def test_inserting_twice_keeps_the_first(self, database: Database) -> None:
        for attempts in (1, 2):
            insert_dead_letter(database, Lane.LIVE, b"1-0", b"x", "no JSON", attempts=attempts)

        assert [letter.attempts for letter in dead_letters.list_dead_letters(database, limit=9)] == [1]


class TestList:
    def test_the_newest_come_first_without_their_payloads(self, triagem: Triagem, database: Database) -> None:
        insert_dead_letters(database, payload_of("1"), b"x")

        answers = [
            triagem("dead", "list", "--format", output_format).out for output_format in ("table", "json", "csv")
        ]

        listed = json.loads(answers[1])
        assert [list(letter) for letter in listed] == [["id", "lane", "died_at", "attempts", "reason", "size"]] * 2
        assert [(letter["id"], letter["size"]) for letter in listed] == [(2, 1), (1, len(payload_of("1")))]
        assert answers[2].removeprefix("\ufeff").splitlines()[0] == "id,lane,died_at,attempts,reason,size"
        assert [CUSTOMER_TEXT in answer for answer in answers] == [False] * 3

    def test_a_lane_a_time_and_a_number_narrow_it(self, triagem: Triagem, database: Database) -> None:
        insert_dead_letters(database, b"a", b"b")
        insert_dead_letters(database, b"c", lane=Lane.BULK)

        def listed(*arguments: str) -> list[int]:
            return [letter["id"] for letter in json.loads(triagem("dead", "list", "--json", *arguments).out)]

        assert listed("--lane", "bulk") == [3]
        assert listed("--limit", "2") == [3, 2]
        assert listed("--since", "2001-01-01") == [3, 2, 1]
        assert listed("--since", "2999-01-01") == []

    def test_an_empty_list_is_reported(self, triagem: Triagem) -> None:
        assert "no dead letters" in triagem("dead", "list").err


class TestShow:
    def test_the_text_is_shown(self, triagem: Triagem, database: Database) -> None:
        insert_dead_letters(database, payload_of("1"))

        assert CUSTOMER_TEXT in triagem("dead", "show", "1").out
        shown = json.loads(triagem("dead", "show", "1", "--json").out)
        assert shown["payload"] == payload_of("1").decode()
        assert (shown["lane"], shown["reason"]) == ("live", "the model raised")

    def test_bytes_that_are_not_text_are_shown_in_hexadecimal(self, triagem: Triagem, database: Database) -> None:
        insert_dead_letters(database, b"\xff\x00")

        assert "ff00" in triagem("dead", "show", "1").out
        shown = json.loads(triagem("dead", "show", "1", "--json").out)
        assert (shown["payload"], shown["payload_hex"]) == (None, "ff00")

    def test_a_payload_cannot_control_the_terminal(self, triagem: Triagem, database: Database) -> None:
        insert_dead_letters(database, b"\x1b]0;owned\x07 [red]x[/red] \xc2\x9b2J")

        shown = triagem("dead", "show", "1").out
        assert not {"\x1b", "\x07", "\x9b"} & set(shown)
        assert r"\x1b]0;owned\x07 [red]x[/red] \x9b2J" in shown

    def test_an_unknown_dead_letter_is_reported_in_one_line(self, triagem: Triagem) -> None:
        assert_one_line(triagem("dead", "show", "7"), "no dead letter 7")


class TestDrop:
    def test_dead_letters_are_dropped_by_id_and_all_at_once(self, triagem: Triagem, database: Database) -> None:
        insert_dead_letters(database, b"a", b"b", b"c")

        assert triagem("dead", "drop", "2", "9", "--yes").out == (
            "1 dropped\nnot found, replayed or dropped before: 1\n"
        )
        assert ids(database) == [1, 3]

        assert json.loads(triagem("dead", "drop", "--all", "--yes", "--json").out) == {"dropped": 2}
        assert ids(database) == []

    def test_unknown_ids_are_an_error_before_the_question(self, triagem: Triagem) -> None:
        for options in ((), ("--yes",)):
            assert_one_line(triagem("dead", "drop", "98", "99", *options), "no dead letter 98 99")

    @pytest.mark.parametrize("which", ["1", "--all"])
    def test_nothing_is_dropped_without_confirmation(self, triagem: Triagem, database: Database, which: str) -> None:
        insert_dead_letters(database, b"a")

        assert_one_line(triagem("dead", "drop", which), "--yes")

        assert ids(database) == [1]

    def test_neither_ids_nor_all_is_a_usage_error(self, triagem: Triagem) -> None:
        assert triagem("dead", "drop", "--yes").status == 2


def test_a_replay_of_a_webhook_without_the_crm_file_names_the_setting(triagem: Triagem, database: Database) -> None:
    dead_letters.insert_webhook_dead_letter(database, "shop", b"{}", "no record")

    answer = triagem("dead", "replay", "--all")

    assert "TRIAGEM_CRM_FILE is not set here" in answer.out
    assert answer.status == 1
    assert len(rows(database, "dead_letters")) == 1


def test_a_replay_that_fails_again_prints_the_new_reason(
    triagem: Triagem, database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "crm.toml"
    file.write_text(
        f'[shop]\nadapter = "generic"\ntoken = "{"t" * 16}"\nfields = {{ external_id = "id", text = ["body"] }}'
    )
    monkeypatch.setenv("TRIAGEM_CRM_FILE", str(file))
    for source, body in (("shop", b'{"id": 7}'), ("shop", b'{"id": 8}'), ("other", b"{}")):
        dead_letters.insert_webhook_dead_letter(database, source, body, "an old reason")

    answer = triagem("dead", "replay", "--all")

    assert answer.status == 1
    assert "not replayed, text = body: is empty: 1 2\n" in answer.out
    assert "not replayed, TRIAGEM_CRM_FILE has no source other: 3\n" in answer.out
