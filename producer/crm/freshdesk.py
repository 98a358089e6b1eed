"""Freshdesk adapter: "Trigger webhook" of an automation, with "Simple" content or `docs/how-to/crm.md`'s template.

https://support.freshdesk.com/support/solutions/articles/132589-using-webhooks-in-automation-rules. Its placeholders
have no time with an offset, so a message is dated by its receipt.
"""

import re
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
    text_or_empty,
    value_at,
)
from triagem.producer.crm.settings import FreshdeskSource

# {{triggered_event}} of events that are not customer messages: `{status:{from:2,to:4}}`, `{note_type:private}`.
_AGENT_EVENT: Final = re.compile(r"\s*\{\s*(?:status|priority|note_type:\s*private)\b")
_AUTHOR: Final = re.compile(r"[^<>\n]{1,80} : (?=<div\b)")  # {{ticket.latest_public_comment}} is "Name : <div>…"


def read(payload: object, source: FreshdeskSource, now: datetime) -> AcceptedWebhook | IgnoredWebhook:
    """Read a webhook's JSON as tickets. Raises InvalidTicket."""
    fields = value_at(payload, "freshdesk_webhook")
    if not isinstance(fields, dict):
        raise InvalidTicket("freshdesk_webhook", "is missing: paste the template of docs/how-to/crm.md")
    if _AGENT_EVENT.match(text_or_empty(fields.get("triggered_event"))):
        return IgnoredWebhook("status, priority or a private note: not a customer message")
    description, reply = fields.get("ticket_description"), fields.get("ticket_latest_public_comment")
    if description is None and reply is None:
        raise InvalidTicket("freshdesk_webhook", "has neither ticket_description nor ticket_latest_public_comment")
    message = _without_author(text_or_empty(reply).strip()) or text_or_empty(description)
    if not has_text(message):
        return IgnoredWebhook("no text")
    ticket = make_ticket(
        source=source.name,
        external_id=parse_id(fields.get("ticket_id"), "freshdesk_webhook.ticket_id"),
        text=join_subject(fields.get("ticket_subject"), message),
        revised_at=now,
        now=now,
        metadata={"channel": fields.get("ticket_source"), "url": fields.get("ticket_url")},
    )
    return AcceptedWebhook((ticket,))


def _without_author(comment: str) -> str:
    """The comment without the name at its start; a colon further on is the customer's."""
    author = _AUTHOR.match(comment)
    return comment[author.end() :] if author else comment


def external_ids(payload: object) -> list[object]:
    """The ids of the tickets that a webhook names, also if it cannot be read as a whole."""
    return [value_at(payload, "freshdesk_webhook", "ticket_id")]
