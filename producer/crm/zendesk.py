"""Zendesk: event subscriptions, and trigger webhooks with the JSON body of `docs/crm.md`.

https://developer.zendesk.com/api-reference/webhooks/event-types/ticket-events and
https://support.zendesk.com/hc/en-us/articles/4408886858138 (the placeholders).
"""

from datetime import datetime
from typing import Final

from triagem.contracts.errors import InvalidTicket
from triagem.producer.crm.adapter import Accepted, Ignored
from triagem.producer.crm.payload import at, identifier, joined, make, moment, shown, words
from triagem.producer.crm.settings import ZendeskSource

_SAID: Final = {  # where an event that brings a customer's message has it
    "ticket.created": ("detail", "description"),
    "ticket.comment_added": ("event", "comment", "body"),
    "messaging_ticket.message_added": ("event", "message", "body"),
}
_STAFF: Final = {"agent", "admin", "administrator"}  # what {{current_user.role}} writes for them, in small letters


def read(payload: object, source: ZendeskSource, now: datetime) -> Accepted | Ignored:
    """A webhook's JSON as tickets. Raises InvalidTicket."""
    if at(payload, "type") is not None:
        return _event(payload, source, now)
    if at(payload, "ticket_id") is not None:
        return _trigger(payload, source, now)
    raise InvalidTicket("body", "has neither a type (an event) nor a ticket_id (our trigger's template)")


def _event(payload: object, source: ZendeskSource, now: datetime) -> Accepted | Ignored:
    kind, detail = words(at(payload, "type")).removeprefix("zen:event-type:"), at(payload, "detail")
    if reason := _not_the_customers(kind, payload):
        return Ignored(reason)
    said = at(payload, *_SAID[kind])
    if not isinstance(said, str):
        raise InvalidTicket(".".join(_SAID[kind]), "is missing or no text")
    if not said.strip():
        return Ignored("no text in it")
    external_id = identifier(at(detail, "id"), "detail.id")
    ticket = make(
        source=source.name,
        external_id=external_id,
        text=joined(at(detail, "subject"), said),
        revised_at=moment(at(payload, "time"), "time"),
        now=now,
        details={"channel": at(detail, "via", "channel"), "url": source.link(external_id)},
    )
    return Accepted((ticket,))


def _not_the_customers(kind: str, payload: object) -> str | None:
    """Why an event brings no customer's message; None if it does."""
    comment = at(payload, "event", "comment")
    if kind not in _SAID:  # ticket.tags_changed above all: our own tag comes back as one
        return f"{shown(kind)} brings no customer's message"
    if kind == "ticket.created" and at(payload, "detail", "is_public") is False:
        return "a ticket that begins with a private comment"
    if at(comment, "is_public") is False:
        return "a private comment"
    if at(comment, "author", "is_staff") is True:
        return "an agent's comment"
    if kind == "messaging_ticket.message_added" and at(payload, "event", "actor", "type") != "end_user":
        return "a message that is not the customer's"
    return None


def _trigger(payload: object, source: ZendeskSource, now: datetime) -> Accepted | Ignored:
    if words(at(payload, "author_role")).lower() in _STAFF:
        return Ignored("an update by an agent or through the API")  # such as our own tag
    message = at(payload, "message")
    if not isinstance(message, str):
        raise InvalidTicket("message", "is missing or no text: paste the template of docs/crm.md")
    if not message.strip():
        return Ignored("no text in it")
    ticket = make(
        source=source.name,
        external_id=identifier(at(payload, "ticket_id"), "ticket_id"),
        text=joined(at(payload, "subject"), message),
        revised_at=moment(at(payload, "updated_at"), "updated_at"),
        now=now,
        details={name: at(payload, name) for name in ("channel", "url", "language")},
    )
    return Accepted((ticket,))
