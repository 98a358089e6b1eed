"""Webhooks that Freshdesk's automation rules send."""

from typing import Any

import pytest

from tests.support.crm import FRESHDESK, NOW, example, ignored, ticket, unreadable
from triagem.contracts.text import clean, digest


def webhook(**changes: Any) -> dict[str, Any]:
    return {"freshdesk_webhook": {**example("freshdesk_created")["freshdesk_webhook"], **changes}}


def test_a_new_ticket_is_its_subject_and_description_at_its_receipt_time() -> None:
    assert ticket(example("freshdesk_created"), FRESHDESK) == {
        "source": "freshdesk",
        "external_id": "11",
        "text": "App fecha sozinho\n<div>O app fecha quando abro a fatura.</div>",
        "revised_at": NOW,
        "metadata": {"channel": "Email", "url": "https://example.freshdesk.com/helpdesk/tickets/11"},
        "message": {
            "id": digest("App fecha sozinho\n<div>O app fecha quando abro a fatura.</div>").hex()[:32],
            "author": "customer",
            "deleted": False,
            "on_reply": "conversation",
        },
    }


def test_a_reply_is_a_message_without_subject_and_the_name_that_freshdesk_prepends() -> None:
    text = ticket(example("freshdesk_replied"), FRESHDESK)["text"]

    assert clean(text) == "Continua fechando na versão nova."


@pytest.mark.parametrize(
    "comment",
    [
        "Problema : o app fecha <b>sempre</b>",
        "<div>Motivo : <b>cancelamento</b></div>",
        "<div>Motivo : <div>cancelamento</div></div>",
        "Motivo : <b>cancelamento</b>",
    ],
)
def test_only_a_name_in_front_of_the_comments_first_element_is_removed(comment: str) -> None:
    text = ticket(webhook(ticket_latest_public_comment=comment), FRESHDESK)["text"]

    assert text == comment


@pytest.mark.parametrize("event", ["{status:{from:2,to:4}}", "{priority:{from:1,to:2}}", "{note_type:private}"])
def test_an_agents_change_is_ignored(event: str) -> None:
    assert "not a customer message" in ignored(webhook(triggered_event=event), FRESHDESK)


@pytest.mark.parametrize(
    "payload",
    [
        webhook(ticket_description=" "),
        {"freshdesk_webhook": {"ticket_id": "11", "ticket_latest_public_comment": ""}},
        {"freshdesk_webhook": {"ticket_id": "11", "ticket_latest_public_comment": "", "ticket_description": None}},
    ],
)
def test_a_message_without_text_is_ignored(payload: object) -> None:
    assert ignored(payload, FRESHDESK) == "no text"


@pytest.mark.parametrize("value", ["", None])
def test_a_field_that_an_agent_empties_is_ignored(value: str | None) -> None:
    payload = {"freshdesk_webhook": {"ticket_id": "11", "ticket_triagem": value}}

    assert ignored(payload, FRESHDESK) == "the field Triagem was emptied: not a customer message"


def test_an_empty_field_next_to_a_message_does_not_hide_the_message() -> None:
    assert ticket(webhook(ticket_triagem=""), FRESHDESK)["external_id"] == "11"


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({"ticket_id": "11"}, "freshdesk_webhook"),
        (
            webhook(ticket_description=None),
            "message = freshdesk_webhook.ticket_latest_public_comment, freshdesk_webhook.ticket_description: is",
        ),
        (webhook(ticket_id=""), "external_id = freshdesk_webhook.ticket_id"),
        (
            b'{"freshdesk_webhook": {"ticket_description": "she said "no""}}',
            "body: is not valid JSON at character 57",
        ),
    ],
)
def test_an_unreadable_field_is_named(payload: object, field: str) -> None:
    assert unreadable(payload, FRESHDESK).startswith(field)
