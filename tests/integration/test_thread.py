"""People see the messages of a conversation, who wrote them, and which ones the label is about."""

import json
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
