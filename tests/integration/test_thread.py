"""People see the messages of a conversation, who wrote them, and which ones the label is about."""

import json
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.support.command import Triagem
from tests.support.console import Person
from tests.support.conversations import ManualWorker, entries, message
from tests.support.gateway import services
from triagem.db import Database
from triagem.db.auth import Scope
from triagem.db.tickets.queries import find_ticket_with_history
from triagem.inbox import Inbox

NAME: Any = {"source": "zendesk", "external_id": "4711"}
CHAT = [
    message("1", "Olá! Sou a Bia & o Zé", author="bot", **NAME),
    message("2", "Quero um orçamento de panfletos", minute=1, **NAME),
    message("3", "Segue a proposta", minute=2, author="agent", **NAME),
    message("4", "Perfeito, pode mandar", minute=3, **NAME),
    message("5", "Os cartões vieram errados", minute=4, **NAME),
    message("5", "Os cartões vieram com telefone errado", minute=5, **NAME),
    message("6", "Meu cartão é 4111", minute=6, **NAME),
    message("6", "", minute=7, deleted=True, **NAME),
]


@pytest.fixture
def chat(database: Database) -> Database:
    """A stored chat with a greeting, an answer, small talk, an edited and a deleted message."""
    worker = ManualWorker(database)
    for entry in entries(CHAT):
        worker.process([entry])
    return database


def test_a_ticket_has_its_messages_and_which_ones_are_classified(chat: Database) -> None:
    record = find_ticket_with_history(chat, **NAME)

    assert record
    assert [
        (row["message_id"], row["author"], row["classified"], bool(row["edited_at"]), bool(row["deleted_at"]))
        for row in record.messages
    ] == [
        ("1", "bot", False, False, False),
        ("2", "customer", True, False, False),
        ("3", "agent", False, False, False),
        ("4", "customer", False, False, False),
        ("5", "customer", True, True, False),
        ("6", "customer", False, False, True),
    ]
    assert [row["text"] for row in record.messages][4:] == ["Os cartões vieram com telefone errado", None]


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("windows", [1, 3])
def test_a_deletion_without_an_author_keeps_the_author(
    database: Database, order: tuple[int, ...], windows: int
) -> None:
    versions = [
        message("1", author="agent", **NAME),
        message("1", minute=1, deleted=True, **NAME),
        message("2", "O modem pifou", **NAME),
    ]
    worker = ManualWorker(database)
    received = entries([versions[index] for index in order])

    for window in [received] if windows == 1 else [[entry] for entry in received]:
        worker.process(window)

    record = find_ticket_with_history(database, **NAME)
    assert record
    assert [(row["author"], row["text"]) for row in record.messages] == [
        ("agent", None),
        ("customer", "O modem pifou"),
    ]


@pytest.mark.parametrize(
    ("lang", "words"),
    [
        ("en", ["Customer", "Agent", "Bot", "read by the model", "edited", "This message was deleted."]),
        ("pt", ["Cliente", "Atendente", "Bot", "lida pelo modelo", "editada em", "Esta mensagem foi apagada."]),
    ],
)
def test_the_consoles_page_shows_the_conversation(
    chat: Database, inbox: Inbox, instant_models: Path, lang: str, words: list[str]
) -> None:
    person = Person(services(chat, inbox, models=instant_models), Scope.READ, Scope.REVIEW)

    page = person.see("ticket", source="zendesk", id="4711", lang=lang)

    assert [
        word for word in [*words, "Quero um orçamento de panfletos", "Sou a Bia &amp; o Zé"] if word not in page
    ] == []
    assert page.count(words[3]) == 2
    assert "Meu cartão" not in page


def test_the_command_shows_the_conversation(chat: Database, triagem: Triagem) -> None:
    shown = triagem("show", "zendesk", "4711").out

    assert "* 20" in shown
    assert "customer (edited): Os cartões vieram com telefone errado" in shown
    assert len(json.loads(triagem("show", "zendesk", "4711", "--json").out)["messages"]) == 6


class TestLongTickets:
    """A page or answer is bounded; the older rows stay stored, and can be read."""

    @pytest.fixture
    def long_chat(self, chat: Database) -> Database:
        """The chat with 500 later messages of an agent, each a minute after the one before, and 300 reviews."""
        chat.execute("""
            INSERT INTO messages (ticket_id, message_id, author, text, written_at, revised_at, arrival)
            SELECT ticket_id, 'a' || n, 'agent', 'answer ' || n, written_at + make_interval(mins => n), revised_at, 1
            FROM messages, generate_series(1, 500) AS n WHERE message_id = '5'""")
        chat.execute("""
            INSERT INTO reviews (ticket_id, digest, reviewer, label, reviewed_at)
            SELECT id, digest, 'reviewer ' || n, NULL, now() FROM tickets, generate_series(1, 300) AS n""")
        chat.execute("""
            INSERT INTO predictions (ticket_id, digest, label, confidence, probabilities, band, model_version, tokens,
              truncated, classified_at, epoch)
            SELECT p.ticket_id, p.digest, p.label, p.confidence, p.probabilities, p.band, 'v2.0.' || n, p.tokens,
              p.truncated, p.classified_at + make_interval(mins => n), p.epoch
            FROM predictions p JOIN tickets t ON (t.id, t.digest) = (p.ticket_id, p.digest),
              generate_series(1, 300) AS n""")
        return chat

    def test_the_newest_rows_are_read_and_those_that_the_result_is_about(self, long_chat: Database) -> None:
        record = find_ticket_with_history(long_chat, **NAME)

        assert record
        ids = [row["message_id"] for row in record.messages]
        assert ids == ["2", "5", *(f"a{number}" for number in range(301, 501))]
        assert [row["message_id"] for row in record.messages if row["classified"]] == ["2", "5"]
        assert record.older_messages == 506 - 202
        assert (len(record.reviews), record.older_reviews) == (200, 100)
        assert record.reviews[0]["reviewer"] == "reviewer 300"
        assert len(record.history) == 200
        assert [row["model_version"] for row in record.history if row["is_current"]] == ["v1.0.0"]
        assert record.history[0]["model_version"] == "v2.0.300"

    def test_all_messages_are_read_page_by_page(self, long_chat: Database) -> None:
        pages = [find_ticket_with_history(long_chat, **NAME, skip=skip) for skip in (0, 200, 400, 600)]

        older = [page.older_messages for page in pages if page]
        ids = {row["message_id"] for page in pages if page for row in page.messages}
        assert older == [304, 106, 0, 0]
        assert len(ids) == 506

    def test_all_messages_are_read_at_once(self, long_chat: Database, triagem: Triagem) -> None:
        bounded = triagem("show", "zendesk", "4711").out
        record = json.loads(triagem("show", "zendesk", "4711", "--all", "--json").out)

        assert "older messages not shown: 304; --all prints them" in bounded
        assert "older reviews not shown: 100; --all prints them" in bounded
        assert (len(record["messages"]), len(record["reviews"]), record["older_messages"]) == (506, 300, 0)

    def test_the_console_and_the_api_name_what_they_leave_out(
        self, long_chat: Database, inbox: Inbox, instant_models: Path
    ) -> None:
        person = Person(services(long_chat, inbox, models=instant_models), Scope.READ)
        page = person.see("ticket", source="zendesk", id="4711")
        older = person.see("ticket", source="zendesk", id="4711", skip=200, lang="pt")
        answer = person.http.get(
            "/v1/tickets/zendesk/4711?skip=400", headers={"Authorization": f"Bearer {person.secret}"}
        ).json()

        assert "older messages not shown: 304" in page
        assert 'href="/console/ticket?source=zendesk&amp;id=4711&amp;skip=200"' in page
        assert "older entries not shown: 100" in page
        assert "mensagens anteriores não exibidas: 106" in older
        assert "answer 300<" in older
        assert "answer 301<" not in older
        assert (len(answer["messages"]), answer["older_messages"], answer["older_reviews"]) == (106, 0, 100)


def test_a_whole_text_has_no_messages(database: Database) -> None:
    ManualWorker(database).process(entries([message(None, **NAME)]))
    record = find_ticket_with_history(database, **NAME)

    assert record
    assert record.messages == []


def test_the_review_page_shows_the_conversation(chat: Database, inbox: Inbox, instant_models: Path) -> None:
    opened = services(chat, inbox, models=instant_models)
    with chat.autocommit() as connection:
        unsure = text(
            "UPDATE tickets SET received_at = :now, classified_at = :now, band = 'review', confidence = 0.5"
        )
        connection.execute(unsure, {"now": opened.now()})
    person = Person(opened, Scope.REVIEW)

    page = person.see("review")

    assert "Segue a proposta" in page
    assert page.count("read by the model") == 2
