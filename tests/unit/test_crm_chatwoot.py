"""Chatwoot's webhooks: which contain a customer's message, and which only report Triagem's own changes."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.crm import CHATWOOT, NOW, TOKEN, example, ignored, ticket, unreadable
from triagem.producer.crm.settings import make_source


def message(**changes: Any) -> dict[str, Any]:
    return {**example("chatwoot_message_created"), **changes}


def test_a_customers_message_is_a_message_of_its_conversation() -> None:
    assert ticket(example("chatwoot_message_created"), CHATWOOT) == {
        "source": "chatwoot",
        "external_id": "130",
        "text": "Quero contratar o plano anual para dez pessoas.",
        "revised_at": datetime(2026, 11, 2, 12, 30, 0, 591000, tzinfo=UTC),
        "metadata": {
            "channel": "WebWidget",
            "url": "https://chat.example.com/app/accounts/1/conversations/130",
            "language": "pt-BR",
        },
        "message": {"id": "1233", "author": "customer", "deleted": False, "on_reply": "conversation"},
    }


def test_the_source_chooses_the_messages_that_the_label_is_about() -> None:
    source = make_source("chatwoot", {"token": TOKEN, "account_id": 1, "on_reply": "first"})

    assert ticket(message(), source)["message"]["on_reply"] == "first"


@pytest.mark.parametrize(
    ("changes", "author"),
    [
        ({"message_type": "outgoing"}, "agent"),
        ({"message_type": "outgoing", "sender": {"type": "agent_bot", "id": 3}}, "bot"),
        ({"message_type": "template"}, "bot"),
    ],
)
def test_messages_of_agents_and_bots_are_stored_as_theirs(changes: dict[str, Any], author: str) -> None:
    assert ticket(message(**changes), CHATWOOT)["message"]["author"] == author


def test_a_conversation_that_a_bot_greets_first_begins_with_the_bots_message() -> None:
    payload = example("chatwoot_conversation_created")
    payload["messages"][0] |= {"message_type": 3, "content": "Olá! Como posso ajudar?", "id": 1232}
    greeting, customers = ticket(payload, CHATWOOT), ticket(message(), CHATWOOT)

    assert (greeting["message"]["author"], customers["message"]["author"]) == ("bot", "customer")
    assert greeting["external_id"] == customers["external_id"]
    assert greeting["message"]["id"] != customers["message"]["id"]


def test_an_edited_message_is_dated_by_its_receipt() -> None:
    edited = ticket(message(event="message_updated", content="Quero o plano mensal."), CHATWOOT)

    assert (edited["text"], edited["revised_at"]) == ("Quero o plano mensal.", NOW)
    assert edited["message"] == ticket(message(), CHATWOOT)["message"]


def test_a_deleted_message_leaves_no_text() -> None:
    deleted = ticket(example("chatwoot_message_deleted"), CHATWOOT)

    assert (deleted["text"], deleted["message"]["deleted"], deleted["message"]["id"]) == ("", True, "1233")


def test_an_emails_subject_is_its_first_line() -> None:
    by_message = message(content_attributes={"email": {"subject": "Plano anual"}})
    by_conversation = message()
    by_conversation["conversation"]["additional_attributes"] = {"mail_subject": "Plano anual"}

    for payload in (by_message, by_conversation):
        assert ticket(payload, CHATWOOT)["text"] == "Plano anual\nQuero contratar o plano anual para dez pessoas."


def test_an_answers_subject_is_left_out() -> None:
    payload = message(content_attributes={"email": {"subject": "Re: Plano anual"}})

    assert ticket(payload, CHATWOOT)["text"] == "Quero contratar o plano anual para dez pessoas."


def test_a_conversation_created_with_a_message_is_a_ticket() -> None:
    fields = ticket(example("chatwoot_conversation_created"), CHATWOOT)

    assert fields["text"] == ticket(example("chatwoot_message_created"), CHATWOOT)["text"]
    assert fields["revised_at"] == datetime(
        2026, 11, 2, 12, 30, tzinfo=UTC
    )  # times of nested messages are in seconds


def test_a_conversation_created_without_a_message_is_ignored() -> None:
    assert "message_created will bring it" in ignored(
        {**example("chatwoot_conversation_created"), "messages": []}, CHATWOOT
    )


def test_an_update_by_our_own_label_is_ignored() -> None:
    assert (
        ignored(example("chatwoot_conversation_updated"), CHATWOOT) == "only attributes of the conversation changed"
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"private": True}, "private"),
        ({"message_type": "activity"}, "not a message"),
        ({"content": None}, "no text"),
        ({"content": " "}, "no text"),
        ({"event": "conversation_status_changed"}, "no new message"),
        ({"event": "contact_created"}, "no new message"),
        ({"event": "inbox_created"}, "no new message"),
    ],
)
def test_anything_but_a_message_is_ignored(changes: dict[str, Any], reason: str) -> None:
    assert reason in ignored(message(**changes), CHATWOOT)


def test_a_conversation_of_another_account_is_unreadable() -> None:
    assert unreadable(message(account={"id": 2, "name": "Other"}), CHATWOOT).startswith("account.id: ")


def test_ruby_times_are_read() -> None:
    assert ticket(message(created_at="2026-11-02 12:30:00 UTC"), CHATWOOT)["revised_at"] == datetime(
        2026, 11, 2, 12, 30, tzinfo=UTC
    )


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({}, "event"),
        ([], "event"),
        (message(conversation=None), "external_id = conversation.id"),
        (message(conversation={"id": "\ud800"}), "external_id"),
        (message(content=5), "message = message.content"),
        (message(created_at="soon"), "revised_at = event=='message_updated' && 'received' || message.created_at"),
        (message(created_at=True), "revised_at = event=='message_updated' && 'received' || message.created_at"),
        (message(content="x" * 100_001), "text"),
    ],
)
def test_an_unreadable_field_is_named(payload: object, field: str) -> None:
    assert unreadable(payload, CHATWOOT).startswith(field)
