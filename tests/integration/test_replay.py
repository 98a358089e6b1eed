"""Dead letters go back on their lane: once in effect, in pages, and never into a full one."""

import json
from collections.abc import Sequence

import pytest

from tests.support.command import Triagem, assert_one_line
from tests.support.dead_letters import insert_dead_letters, payload_of
from triagem.contracts.ticket import Lane
from triagem.db import Database, dead_letters
from triagem.db.dead_letters import insert_dead_letter
from triagem.gateway.replay import replay
from triagem.inbox import Inbox, InboxSettings

WORDS = "my card number is 4111"


def ids(database: Database) -> list[int]:
    """The letters that are there, oldest first."""
    return sorted(letter.id for letter in dead_letters.list_dead_letters(database, limit=10_000))


def waiting(inbox: Inbox, lane: Lane = Lane.LIVE) -> list[bytes]:
    """What waits in a lane, oldest first."""
    return [entry.payload or b"" for entry in inbox.fetch(lane, "test", 10_000)]


class TestReplay:
    def test_letters_go_back_to_their_lanes_in_order_and_are_gone(
        self, triagem: Triagem, database: Database, inbox: Inbox
    ) -> None:
        insert_dead_letters(database, payload_of("1"), payload_of("2"))
        insert_dead_letters(database, payload_of("3"), lane=Lane.BULK)

        assert triagem("dead", "replay", "--all").out == "3 replayed\n"

        assert waiting(inbox) == [payload_of("1"), payload_of("2")]
        assert waiting(inbox, Lane.BULK) == [payload_of("3")]
        assert ids(database) == []

    def test_only_those_that_are_named(self, triagem: Triagem, database: Database, inbox: Inbox) -> None:
        insert_dead_letters(database, *map(payload_of, "123"))

        triagem("dead", "replay", "1", "3")

        assert waiting(inbox) == [payload_of("1"), payload_of("3")]
        assert ids(database) == [2]

    def test_only_those_with_a_reason(self, triagem: Triagem, database: Database, inbox: Inbox) -> None:
        insert_dead_letters(database, b"a", reason="revised_at: Field required")
        insert_dead_letters(database, b"b", reason="the payload's WIRE version is not 1")
        insert_dead_letters(database, b"c", reason="100 %_")

        assert triagem("dead", "replay", "--all", "--reason-contains", "wire version").out == "1 replayed\n"
        assert triagem("dead", "replay", "--all", "--reason-contains", "%").out == "1 replayed\n"

        assert waiting(inbox) == [b"b", b"c"]
        assert ids(database) == [1]

    def test_one_that_is_gone_is_said_and_is_no_failure(self, triagem: Triagem, database: Database) -> None:
        insert_dead_letters(database, payload_of("1"))
        triagem("dead", "replay", "1")

        answer = triagem("dead", "replay", "1", "9")

        assert answer.status == 0
        assert "0 replayed" in answer.out
        assert "not found, replayed or dropped before: 1 9" in answer.out

    def test_an_entry_without_our_field_stays_and_is_said(
        self, triagem: Triagem, database: Database, inbox: Inbox
    ) -> None:
        insert_dead_letters(database, b"", payload_of("2"))

        every = triagem("dead", "replay", "--all")
        named = triagem("dead", "replay", "1", "--json")

        assert (every.status, named.status) == (0, 1)
        assert "the entry has no payload" in every.out
        assert json.loads(named.out) == {"replayed": 0, "without_payload": [1], "not_found": [], "unreadable": []}
        assert (waiting(inbox), ids(database)) == ([payload_of("2")], [1])

    def test_a_crash_between_put_and_remove_only_delivers_twice(
        self, database: Database, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        insert_dead_letters(database, payload_of("1"))

        def crash(_: Database, letters: Sequence[int]) -> int:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(dead_letters, "delete_dead_letters", crash)
            with pytest.raises(KeyboardInterrupt):
                replay(database, inbox)
        assert ids(database) == [1]
        replay(database, inbox)

        assert waiting(inbox) == [payload_of("1")] * 2
        assert ids(database) == []

    def test_nothing_is_removed_while_redis_is_away(
        self, triagem: Triagem, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        insert_dead_letters(database, payload_of("1"))
        monkeypatch.setenv("TRIAGEM_REDIS_URL", "redis://127.0.0.1:1/0")

        assert_one_line(triagem("dead", "replay", "--all"), "Redis does not answer")

        assert ids(database) == [1]

    def test_a_full_lane_takes_what_it_has_room_for_and_says_how_many(
        self, triagem: Triagem, database: Database, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        insert_dead_letters(database, *map(payload_of, "123456789"))
        monkeypatch.setenv("TRIAGEM_LIVE_HIGH_WATER", "7")

        assert_one_line(triagem("dead", "replay", "--all"), "the live lane is full", "7 dead letters were replayed")

        assert waiting(inbox) == [payload_of(one) for one in "1234567"]
        assert ids(database) == [8, 9]

    def test_many_are_replayed_page_by_page_each_once(self, database: Database, inbox: Inbox) -> None:
        payloads = [b"%d" % number for number in range(1201)]
        insert_dead_letters(database, *payloads)
        sizes = [len(page) for page in dead_letters.dead_letter_pages(database)]

        assert replay(database, inbox).replayed == 1201

        assert sizes == [500, 500, 201]
        assert waiting(inbox) == payloads

    def test_a_page_of_long_letters_is_shorter(self, database: Database) -> None:
        insert_dead_letters(database, *(b"%d" % number + bytes(6_000_000) for number in range(4)))

        assert [len(page) for page in dead_letters.dead_letter_pages(database)] == [3, 1]

    def test_what_dies_again_meanwhile_is_not_replayed_again(self, database: Database, inbox: Inbox) -> None:
        insert_dead_letters(database, b"x")

        class Deadly(Inbox):
            def put(self, lane: Lane, payloads: Sequence[bytes], *, request_id: str = "") -> list[bytes]:
                assert inbox.depth(lane).waiting == 0, "replayed again"
                put = super().put(lane, payloads)
                for entry_id, payload in zip(put, payloads, strict=True):
                    insert_dead_letter(database, lane, entry_id, payload, "again")
                return put

        assert replay(database, Deadly(inbox.redis, InboxSettings())).replayed == 1
        assert ids(database) == [2]

    @pytest.mark.parametrize(
        "arguments",
        [(), ("1", "--all"), ("1", "--reason-contains", "x"), ("0",), ("x",), (str(2**63),)],
        ids=" ".join,
    )
    def test_what_cannot_be_meant_is_a_usage_error(self, triagem: Triagem, arguments: tuple[str, ...]) -> None:
        assert triagem("dead", "replay", *arguments).status == 2
