"""Replay of dead letters to their lanes: in pages, effectively once, and never into a full lane."""

import json
from collections.abc import Sequence

import pytest

from tests.support.command import Triagem, assert_one_line
from tests.support.dead_letters import insert_dead_letters, payload_of
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.db.tickets import dead_letters
from triagem.db.tickets.dead_letters import insert_dead_letter
from triagem.inbox import Inbox, InboxSettings
from triagem.ops.replay import replay

SECRET_TEXT = "my card number is 4111"


def stored_ids(database: Database) -> list[int]:
    """The ids of all dead letters, oldest first."""
    return sorted(dead_letter.id for dead_letter in dead_letters.list_dead_letters(database, limit=10_000))


def waiting_payloads(inbox: Inbox, lane: Lane = Lane.LIVE) -> list[bytes]:
    """The payloads that wait in a lane, oldest first."""
    return [entry.payload or b"" for entry in inbox.fetch(lane, "test", 10_000)]


class TestReplay:
    def test_dead_letters_return_to_their_lanes_in_order_and_are_deleted(
        self, triagem: Triagem, database: Database, inbox: Inbox
    ) -> None:
        insert_dead_letters(database, payload_of("1"), payload_of("2"))
        insert_dead_letters(database, payload_of("3"), lane=Lane.BULK)

        assert triagem("dead", "replay", "--all").out == "3 replayed\n"

        assert waiting_payloads(inbox) == [payload_of("1"), payload_of("2")]
        assert waiting_payloads(inbox, Lane.BULK) == [payload_of("3")]
        assert stored_ids(database) == []

    def test_only_the_given_ids_are_replayed(self, triagem: Triagem, database: Database, inbox: Inbox) -> None:
        insert_dead_letters(database, *map(payload_of, "123"))

        triagem("dead", "replay", "1", "3")

        assert waiting_payloads(inbox) == [payload_of("1"), payload_of("3")]
        assert stored_ids(database) == [2]

    def test_a_missing_dead_letter_is_reported_and_not_a_failure(self, triagem: Triagem, database: Database) -> None:
        insert_dead_letters(database, payload_of("1"))
        triagem("dead", "replay", "1")

        answer = triagem("dead", "replay", "1", "9")

        assert answer.status == 0
        assert "0 replayed" in answer.out
        assert "not found, replayed or dropped before: 1 9" in answer.out

    def test_an_entry_without_a_payload_stays_and_is_reported(
        self, triagem: Triagem, database: Database, inbox: Inbox
    ) -> None:
        insert_dead_letters(database, b"", payload_of("2"))

        replay_all = triagem("dead", "replay", "--all")
        replay_one = triagem("dead", "replay", "1", "--json")

        assert (replay_all.status, replay_one.status) == (1, 1)
        assert "the entry has no payload" in replay_all.out
        assert json.loads(replay_one.out) == {
            "replayed": 0,
            "without_payload": [1],
            "not_found": [],
            "unreadable": [],
            "invalid": [],
            "reasons": {},
        }
        assert (waiting_payloads(inbox), stored_ids(database)) == ([payload_of("2")], [1])

    def test_a_crash_between_put_and_remove_only_delivers_twice(
        self, database: Database, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        insert_dead_letters(database, payload_of("1"))

        def crash(_: Database, dead_letter_ids: Sequence[int]) -> int:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(dead_letters, "delete_dead_letters", crash)
            with pytest.raises(KeyboardInterrupt):
                replay(database, inbox)
        assert stored_ids(database) == [1]
        replay(database, inbox)

        assert waiting_payloads(inbox) == [payload_of("1")] * 2
        assert stored_ids(database) == []

    def test_nothing_is_removed_while_redis_is_unavailable(
        self, triagem: Triagem, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        insert_dead_letters(database, payload_of("1"))
        monkeypatch.setenv("TRIAGEM_REDIS_URL", "redis://127.0.0.1:1/0")

        assert_one_line(triagem("dead", "replay", "--all"), "Redis does not answer")

        assert stored_ids(database) == [1]

    def test_a_full_lane_accepts_what_fits_and_the_number_is_reported(
        self, triagem: Triagem, database: Database, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        insert_dead_letters(database, *map(payload_of, "123456789"))
        monkeypatch.setenv("TRIAGEM_LIVE_HIGH_WATER", "7")

        assert_one_line(triagem("dead", "replay", "--all"), "the live lane is full", "7 dead letters were replayed")

        assert waiting_payloads(inbox) == [payload_of(name) for name in "1234567"]
        assert stored_ids(database) == [8, 9]

    def test_many_are_replayed_page_by_page_each_once(self, database: Database, inbox: Inbox) -> None:
        payloads = [b"%d" % number for number in range(1201)]
        insert_dead_letters(database, *payloads)
        sizes = [len(page) for page in dead_letters.dead_letter_pages(database)]

        assert replay(database, inbox).replayed == 1201

        assert sizes == [500, 500, 201]
        assert waiting_payloads(inbox) == payloads

    def test_a_page_of_large_dead_letters_is_shorter(self, database: Database) -> None:
        insert_dead_letters(database, *(b"%d" % number + bytes(6_000_000) for number in range(4)))

        assert [len(page) for page in dead_letters.dead_letter_pages(database)] == [3, 1]

    def test_entries_dead_lettered_again_meanwhile_are_not_replayed_again(
        self, database: Database, inbox: Inbox
    ) -> None:
        insert_dead_letters(database, b"x")

        class DeadLetteringInbox(Inbox):
            def put(self, lane: Lane, payloads: Sequence[bytes], *, request_id: str = "") -> list[bytes]:
                assert inbox.depth(lane).waiting == 0, "replayed again"
                put = super().put(lane, payloads)
                for entry_id, payload in zip(put, payloads, strict=True):
                    insert_dead_letter(database, lane, entry_id, payload, "again")
                return put

        assert replay(database, DeadLetteringInbox(inbox.redis, InboxSettings())).replayed == 1
        assert stored_ids(database) == [2]

    @pytest.mark.parametrize(
        "arguments",
        [(), ("1", "--all"), ("0",), ("x",), (str(2**63),)],
        ids=" ".join,
    )
    def test_invalid_arguments_are_a_usage_error(self, triagem: Triagem, arguments: tuple[str, ...]) -> None:
        assert triagem("dead", "replay", *arguments).status == 2
