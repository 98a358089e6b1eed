"""Zendesk's webhooks: which contain a customer's message, and which only report Triagem's own changes."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.crm import ZENDESK, example, ignored, ticket, unmatched, unreadable
from triagem.contracts.text import digest


def event(name: str, **changes: Any) -> dict[str, Any]:
    """An example with parts of its `event` or `detail`, or other fields, replaced."""
    payload = example(name)
    for key, value in changes.items():
        payload[key] = {**payload[key], **value} if isinstance(value, dict) else value
    return dict(payload)


def comment(**changes: Any) -> dict[str, Any]:
    payload = example("zendesk_comment_added")
    payload["event"]["comment"] |= changes
    return dict(payload)


def test_a_new_ticket_is_its_subject_and_description() -> None:
    assert (
        ticket(example("zendesk_ticket_created"), ZENDESK)
        == {
            "source": "zendesk",
            "external_id": "4711",
            "text": "Fatura em dobro\nFui cobrado duas vezes este mês.\nPodem estornar?",
            "revised_at": datetime(2026, 11, 2, 12, 30, 0, 672717, tzinfo=UTC),  # Zendesk counts nanoseconds
            "metadata": {"channel": "web", "url": "https://example.zendesk.com/agent/tickets/4711"},
            "message": {
                "id": digest("Fatura em dobro\nFui cobrado duas vezes este mês.\nPodem estornar?").hex()[:32],
                "author": "customer",
                "deleted": False,
                "on_reply": "conversation",
            },
        }
    )


def test_a_customers_comment_is_a_message_without_the_tickets_subject() -> None:
    fields = ticket(example("zendesk_comment_added"), ZENDESK)

    assert fields["external_id"] == "4711"
    assert fields["text"] == "Aliás, quanto custa o plano anual para umas dez pessoas?"
    assert fields["message"]["id"] == "58789194475545"
    assert fields["revised_at"] > ticket(example("zendesk_ticket_created"), ZENDESK)["revised_at"]


def test_a_message_in_messaging_has_no_subject() -> None:
    message = {"actor": {"id": "6a4f", "type": "end_user"}, "message": {"id": "m1", "body": "não consigo entrar"}}
    payload = {
        "type": "zen:event-type:messaging_ticket.message_added",
        "time": "2026-11-02T12:30:00.265Z",
        "detail": {"id": "4712"},
        "event": message,
    }

    assert ticket(payload, ZENDESK)["text"] == "não consigo entrar"
    assert "not a customer message" in ignored({**payload, "event": {**message, "actor": {"type": "agent"}}}, ZENDESK)


def test_a_filled_in_trigger_template_is_a_ticket() -> None:
    fields = ticket(example("zendesk_trigger"), ZENDESK)

    assert fields["text"] == ticket(example("zendesk_ticket_created"), ZENDESK)["text"]
    assert fields["revised_at"] == datetime(2026, 11, 2, 12, 30, tzinfo=UTC)
    assert fields["metadata"] == {
        "channel": "Web form",
        "language": "Português (Brasil)",
        "url": "https://example.zendesk.com/agent/tickets/4711",
    }


def test_a_trigger_that_sends_the_same_text_again_sends_the_same_message() -> None:
    first = ticket(example("zendesk_trigger"), ZENDESK)["message"]
    created = ticket(example("zendesk_ticket_created"), ZENDESK)["message"]
    later = ticket({**example("zendesk_trigger"), "updated_at": "2026-11-02T13:00:00Z"}, ZENDESK)["message"]
    other = ticket({**example("zendesk_trigger"), "message": "Aliás, quanto custa?"}, ZENDESK)["message"]

    assert first == later == created != other


def test_line_breaks_that_a_template_left_unescaped_are_read() -> None:
    body = b'{"ticket_id": "4711", "subject": "s", "message": "one\r\n\ttwo", "updated_at": "2026-11-02T12:30Z"}'

    assert ticket(body, ZENDESK)["text"] == "s\none\r\n\ttwo"


def test_an_update_by_our_own_tag_is_ignored() -> None:
    assert "ticket.tags_changed" in ignored(example("zendesk_tags_changed"), ZENDESK)
    assert "agent or through the API" in ignored({**example("zendesk_trigger"), "author_role": "Admin"}, ZENDESK)


@pytest.mark.parametrize("role", ["Agent", "agent", "Admin", "Administrator"])
def test_an_agents_update_is_ignored(role: str) -> None:
    assert "agent" in ignored({**example("zendesk_trigger"), "author_role": role}, ZENDESK)


def test_an_agents_public_comment_is_stored_as_the_agents() -> None:
    assert ticket(comment(author={"id": "1", "is_staff": True}), ZENDESK)["message"]["author"] == "agent"


def test_private_notes_are_ignored() -> None:
    assert "private" in ignored(comment(is_public=False), ZENDESK)
    assert "private" in ignored(comment(is_public=False, author={"id": "1", "is_staff": True}), ZENDESK)
    assert "private" in ignored(event("zendesk_ticket_created", detail={"is_public": False}), ZENDESK)


def test_a_message_of_pictures_only_is_ignored() -> None:
    assert ignored(comment(body="  "), ZENDESK) == "no text"
    assert ignored({**example("zendesk_trigger"), "message": ""}, ZENDESK) == "no text"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"detail": {"id": None}}, "external_id = not_null(detail.id"),
        ({"detail": {"id": True}}, "external_id = not_null(detail.id"),
        ({"detail": {"description": None}}, "message = not_null(event.comment.body"),
        ({"detail": {"description": ["no", "text"]}}, "message = not_null(event.comment.body"),
        ({"detail": {"via": {"channel": {"a": "b" * 20_000}}}}, "metadata"),
        ({"time": None}, "revised_at = not_null(time"),
        ({"time": "yesterday"}, "revised_at = not_null(time"),
        ({"time": "2026-11-02T12:30:00"}, "revised_at = not_null(time"),  # no time zone
        (
            {"time": "2026-11-02T15:30:00Z"},
            "revised_at",
        ),  # in the future: the text would outrank all texts until that time
        ({"detail": {"subject": "half a \ud800 sign"}}, "text"),
        ({"detail": {"id": "9" * 300}}, "external_id"),
        ({"detail": {"id": "\ud800"}}, "external_id"),
    ],
)
def test_an_unreadable_field_is_named(changes: dict[str, Any], field: str) -> None:
    assert unreadable(event("zendesk_ticket_created", **changes), ZENDESK).startswith(field)


def test_an_unknown_payload_is_unreadable_and_only_a_valid_event_name_is_shown() -> None:
    assert "neither a type" in unreadable({"ticket": {"id": 1}}, ZENDESK)
    assert "and user.created is not a known event" in unmatched({"type": "zen:event-type:user.created"}, ZENDESK)
    assert "and ? is not a known event" in unmatched({"type": "My card is 4111 1111"}, ZENDESK)
