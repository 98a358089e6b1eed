"""Chatwoot's webhooks: which carry a customer's message, and which only report our own changes."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.crm import CHATWOOT, TOKEN, example, ignored, ticket, unreadable
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


def test_a_bots_greeting_is_ignored_and_message_created_brings_the_customers_words() -> None:
    payload = example("chatwoot_conversation_created")
    payload["messages"][0] |= {"message_type": 3, "content": "Olá! Como posso ajudar?", "id": 1232}

    assert "not a customer message" in ignored(payload, CHATWOOT)
    assert ticket(message(), CHATWOOT)["message"]["id"] == "1233"


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
        ({"message_type": "outgoing"}, "not a customer message"),
        ({"message_type": "template"}, "not a customer message"),
        ({"message_type": "activity"}, "not a customer message"),
        ({"content": None}, "no text"),
        ({"content": " "}, "no text"),
        ({"event": "message_updated"}, "no new message"),
        ({"event": "conversation_status_changed"}, "no new message"),
    ],
)
def test_anything_but_a_customers_new_message_is_ignored(changes: dict[str, Any], reason: str) -> None:
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
        (message(created_at="soon"), "revised_at = message.created_at"),
        (message(created_at=True), "revised_at = message.created_at"),
        (message(content="x" * 100_001), "text"),
    ],
)
def test_an_unreadable_field_is_named(payload: object, field: str) -> None:
    assert unreadable(payload, CHATWOOT).startswith(field)
