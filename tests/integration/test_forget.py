"""`triagem db forget` deletes a ticket everywhere and keeps all others."""

import json
from typing import Any

import pytest
from sqlalchemy import text

from tests.support.command import Triagem, assert_one_line
from tests.support.crm import ZENDESK, example
from tests.support.dead_letters import insert_dead_letters, payload_of
from tests.support.forgetting import (
    AGENT_WORD,
    CUSTOMER_WORD,
    FORGOTTEN,
    FORGOTTEN_TEXT,
    all_content,
    conversation_everywhere,
    forgotten_result,
    places_with,
    waiting_payloads,
)
from tests.support.windows import doubtful, insert_review, rows
from triagem.contracts.ticket import Identity, Lane
from triagem.db import Database
from triagem.db.outbox.deliveries import sync_result_targets
from triagem.db.tickets.dead_letters import insert_webhook_dead_letter
from triagem.db.tickets.forgetting import find_ticket, write_tombstone
from triagem.db.tickets.window import write_window
from triagem.inbox import Inbox
from triagem.ops.forget import forget
from triagem.producer.crm import CrmConfig
from triagem.stack import LocalStack


class TestEverywhere:
    @pytest.fixture
    def answer(self, triagem: Triagem, database: Database, inbox: Inbox) -> Any:
        sync_result_targets(database, {"crm.callback": "crm"})
        write_window(database, [forgotten_result()])
        insert_review(database, FORGOTTEN_TEXT, "suporte")
        write_window(database, [doubtful(source="crm", external_id="neighbour")])
        insert_dead_letters(
            database,
            payload_of("4711"),
            payload_of("neighbour"),
            payload_of("4711", source="other"),
            b"\xffno ticket",
        )
        inbox.put(Lane.LIVE, [payload_of("4711"), payload_of("neighbour"), b"\xffno ticket"])
        inbox.put(Lane.BULK, [payload_of("4711"), payload_of("4711")])
        inbox.fetch(Lane.BULK, "somebody", 1)
        answer = triagem("db", "forget", "crm", " 4711", "--yes", "--json")
        assert answer.status == 0, answer
        return json.loads(answer.out)

    def test_deletions_are_counted_by_table_and_lane(self, answer: Any) -> None:
        assert answer == {
            "source": "crm",
            "external_id": "4711",
            "forgotten": {
                "tombstone": True,
                "rows": {
                    "alerts": 1,
                    "deliveries": 1,
                    "label_questions": 0,
                    "messages": 0,
                    "predictions": 1,
                    "reviews": 1,
                    "review_draws": 0,
                    "run_changes": 0,
                    "samples": 0,
                    "ticket_lexemes": 0,
                },
                "dead_letters": 1,
                "unreadable_dead_letters": 1,
                "inbox_entries": 3,
                "unreadable_entries": 1,
                "inbox_entries_left": 2,
                "log_rewrite": "started",
            },
        }

    def test_only_the_tombstone_is_left_of_it(self, answer: Any, database: Database, inbox: Inbox) -> None:
        (tombstone, neighbour) = sorted(rows(database, "tickets"), key=lambda row: str(row["external_id"]))
        assert tombstone.pop("forgotten_at") is not None
        kept = {"id", "source", "external_id", "changed_xid"}
        values = {name: value for name, value in tombstone.items() if name not in kept}
        assert {str(value) for value in values.values()} == {
            "None", "b''", "{}", "", "0", "1970-01-01 00:00:00+00:00",
        }  # fmt: skip
        assert neighbour["text"] == "A"
        for table in ("predictions", "alerts", "reviews"):
            assert {row["ticket_id"] for row in rows(database, table)} <= {neighbour["id"]}
        letters = [bytes(letter["payload"]) for letter in rows(database, "dead_letters")]
        assert letters == [payload_of("neighbour"), payload_of("4711", source="other"), b"\xffno ticket"]
        assert waiting_payloads(inbox) == [payload_of("neighbour"), b"\xffno ticket"]
        assert inbox.in_flight(Lane.BULK) == 0

    def test_no_view_contains_it(self, answer: Any, database: Database) -> None:
        for view in ("results", "analytics.results", "analytics.history"):
            assert [row["external_id"] for row in rows(database, view)] == ["neighbour"]
        assert [row["tickets"] for row in rows(database, "analytics.daily")] == [1]

    def test_a_ticket_that_nothing_holds_is_called_unknown(self, triagem: Triagem) -> None:
        answer = triagem("db", "forget", "crm", "4717", "--yes")

        assert answer.out.startswith("no such ticket was found: check source and id")

    def test_a_second_run_finds_nothing_more_and_changes_nothing(
        self, answer: Any, triagem: Triagem, database: Database, inbox: Inbox
    ) -> None:
        before = all_content(database), waiting_payloads(inbox)

        second = triagem("db", "forget", "crm", "4711", "--yes")

        assert second.status == 0
        assert "was already forgotten" in second.out
        assert "inbox: 0 (1 more do not identify their ticket" in second.out
        assert (all_content(database), waiting_payloads(inbox)) == before

    def test_it_can_no_longer_be_shown(self, answer: Any, triagem: Triagem) -> None:
        assert_one_line(triagem("show", "crm", "4711"), "no ticket")


def test_messages_of_its_conversation_are_deleted_in_each_place(
    triagem: Triagem, database: Database, inbox: Inbox, stack: LocalStack
) -> None:
    conversation_everywhere(database, inbox)
    before = places_with(CUSTOMER_WORD[:-1], database, inbox, stack)  # the search index contains the word's stem
    assert {"dead_letters", "inbox", "messages", "predictions", "ticket_lexemes", "tickets"} <= {*before}
    assert all_content(database).count(AGENT_WORD) == 2

    answer = triagem("db", "forget", "crm", "4711", "--yes", "--json")

    forgotten = json.loads(answer.out)["forgotten"]
    assert (forgotten["rows"]["messages"], forgotten["dead_letters"], forgotten["inbox_entries"]) == (2, 2, 2)
    for word in (CUSTOMER_WORD, AGENT_WORD):
        left = places_with(word[:-1], database, inbox, stack)
        assert {*left} <= {"labels"}  # in this test, a text's label is the text itself
    (tombstone,) = rows(database, "tickets")
    assert tombstone["on_reply"] is None


def test_webhooks_that_name_it_in_the_format_of_its_crm_are_deleted(database: Database, inbox: Inbox) -> None:
    bodies = [json.dumps({**example("zendesk_trigger"), "ticket_id": name, "message": None}) for name in ("1", "2")]
    for body in (*bodies, "{"):
        insert_webhook_dead_letter(database, ZENDESK.name, body.encode(), "message: is missing")

    deleted = forget(database, inbox, Identity(ZENDESK.name, "1"), crm=CrmConfig({ZENDESK.name: ZENDESK}))

    assert (deleted.dead_letters, deleted.unreadable_dead_letters) == (1, 1)
    assert [bytes(letter["payload"]).decode() for letter in rows(database, "dead_letters")] == [bodies[1], "{"]


class TestConfirmation:
    def test_nothing_is_deleted_without_confirmation(self, triagem: Triagem, database: Database) -> None:
        write_window(database, [forgotten_result()])

        assert_one_line(
            triagem("db", "forget", "crm", "4711"), "Ticket '4711' of 'crm': received 2026-11-22", "--yes"
        )

        assert FORGOTTEN_TEXT in all_content(database)

    @pytest.mark.parametrize(
        ("source", "external_id", "field"), [(" ", "1", "source"), ("crm", "x" * 256, "external_id")]
    )
    def test_an_invalid_identity_is_refused(
        self, triagem: Triagem, source: str, external_id: str, field: str
    ) -> None:
        assert_one_line(triagem("db", "forget", source, external_id, "--yes"), field)

    def test_with_redis_unavailable_postgres_is_done_and_a_second_run_completes_it(
        self, triagem: Triagem, database: Database, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_window(database, [forgotten_result()])
        inbox.put(Lane.LIVE, [payload_of("4711")])
        with monkeypatch.context() as patched:
            patched.setenv("TRIAGEM_REDIS_URL", "redis://127.0.0.1:1/0")
            assert_one_line(triagem("db", "forget", "crm", "4711", "--yes"), "Redis does not answer")
        assert FORGOTTEN_TEXT not in all_content(database)

        assert triagem("db", "forget", "crm", "4711", "--yes").status == 0

        assert waiting_payloads(inbox) == []


class TestDatabase:
    def test_the_first_time_of_forgetting_is_kept(self, database: Database) -> None:
        assert write_tombstone(database, FORGOTTEN)
        first = find_ticket(database, FORGOTTEN)
        assert not write_tombstone(database, FORGOTTEN)

        assert first is not None
        assert first == find_ticket(database, FORGOTTEN)

    def test_the_planner_s_statistics_contain_no_text(self, database: Database) -> None:
        write_window(
            database, [forgotten_result(f"{FORGOTTEN_TEXT} {name}", external_id=str(name)) for name in range(20)]
        )
        insert_dead_letters(database, *(payload_of(str(name)) for name in range(20)))
        with database.autocommit() as connection:
            connection.execute(text("ANALYZE"))
            statistics = connection.execute(text("SELECT * FROM pg_stats WHERE schemaname = 'public'")).all()

        assert "crm" in str(statistics)
        assert FORGOTTEN_TEXT not in str(statistics)
        assert FORGOTTEN_TEXT.encode().hex() not in str(statistics)
