"""Zendesk adapter: event subscriptions, and trigger webhooks with the JSON body of `docs/how-to/crm.md`.

https://developer.zendesk.com/api-reference/webhooks/event-types/ticket-events and
https://support.zendesk.com/hc/en-us/articles/4408886858138 (the placeholders).
"""

from datetime import datetime
from typing import Final

from triagem.contracts.errors import InvalidTicket
from triagem.producer.crm.payload import (
    AcceptedWebhook,
    IgnoredWebhook,
    has_text,
    join_subject,
    make_ticket,
    parse_id,
    parse_time,
    safe_name,
    text_or_empty,
    value_at,
)
from triagem.producer.crm.settings import ZendeskSource

_MESSAGE_PATHS: Final = {  # event type → path of the customer's message
    "ticket.created": ("detail", "description"),
    "ticket.comment_added": ("event", "comment", "body"),
    "messaging_ticket.message_added": ("event", "message", "body"),
}
_STAFF: Final = {"agent", "admin", "administrator"}  # values of {{current_user.role}}, in lower case


def read(payload: object, source: ZendeskSource, now: datetime) -> AcceptedWebhook | IgnoredWebhook:
    """Read a webhook's JSON as tickets. Raises InvalidTicket."""
    if value_at(payload, "type") is not None:
        return _event(payload, source, now)
    if value_at(payload, "ticket_id") is not None:
        return _trigger(payload, source, now)
    raise InvalidTicket("body", "has neither a type (an event) nor a ticket_id (our trigger's template)")


def external_ids(payload: object) -> list[object]:
    """The ids of the tickets that a webhook names, also if it cannot be read as a whole."""
    return [value_at(payload, "detail", "id"), value_at(payload, "ticket_id")]


def _event(payload: object, source: ZendeskSource, now: datetime) -> AcceptedWebhook | IgnoredWebhook:
    kind, detail = (
        text_or_empty(value_at(payload, "type")).removeprefix("zen:event-type:"),
        value_at(payload, "detail"),
    )
    if reason := _ignore_reason(kind, payload):
        return IgnoredWebhook(reason)
    message = value_at(payload, *_MESSAGE_PATHS[kind])
    if not isinstance(message, str):
        raise InvalidTicket(".".join(_MESSAGE_PATHS[kind]), "is missing or not text")
    if not has_text(message):
        return IgnoredWebhook("no text")
    external_id = parse_id(value_at(detail, "id"), "detail.id")
    ticket = make_ticket(
        source=source.name,
        external_id=external_id,
        text=join_subject(value_at(detail, "subject"), message),
        revised_at=parse_time(value_at(payload, "time"), "time"),
        now=now,
        metadata={"channel": value_at(detail, "via", "channel"), "url": source.link(external_id)},
    )
    return AcceptedWebhook((ticket,))


def _ignore_reason(kind: str, payload: object) -> str | None:
    """The reason to ignore an event, or None if it has a customer message."""
    comment = value_at(payload, "event", "comment")
    if kind not in _MESSAGE_PATHS:  # mostly ticket.tags_changed: our own tags come back as such an event
        return f"{safe_name(kind)} has no customer message"
    if kind == "ticket.created" and value_at(payload, "detail", "is_public") is False:
        return "a ticket that begins with a private comment"
    if value_at(comment, "is_public") is False:
        return "a private comment"
    if value_at(comment, "author", "is_staff") is True:
        return "an agent's comment"
    if kind == "messaging_ticket.message_added" and value_at(payload, "event", "actor", "type") != "end_user":
        return "not a customer message"
    return None


def _trigger(payload: object, source: ZendeskSource, now: datetime) -> AcceptedWebhook | IgnoredWebhook:
    if text_or_empty(value_at(payload, "author_role")).lower() in _STAFF:
        return IgnoredWebhook("an update by an agent or through the API")  # such as our own tag
    message = value_at(payload, "message")
    if not isinstance(message, str):
        raise InvalidTicket("message", "is missing or not text: paste the template of docs/how-to/crm.md")
    if not has_text(message):
        return IgnoredWebhook("no text")
    ticket = make_ticket(
        source=source.name,
        external_id=parse_id(value_at(payload, "ticket_id"), "ticket_id"),
        text=join_subject(value_at(payload, "subject"), message),
        revised_at=parse_time(value_at(payload, "updated_at"), "updated_at"),
        now=now,
        metadata={name: value_at(payload, name) for name in ("channel", "url", "language")},
    )
    return AcceptedWebhook((ticket,))
