"""Freshdesk: the action "Trigger webhook" of automation rules, "Simple" content or the template of `docs/crm.md`.

https://support.freshdesk.com/support/solutions/articles/132589-using-webhooks-in-automation-rules. Its placeholders
have no time with an offset, so a message counts from when it reached us.
"""

import re
from datetime import datetime
from typing import Final

from triagem.contracts.errors import InvalidTicket
from triagem.producer.crm.adapter import Accepted, Ignored
from triagem.producer.crm.payload import at, identifier, joined, make, words
from triagem.producer.crm.settings import FreshdeskSource

# What {{triggered_event}} writes where no customer spoke: `{status:{from:2,to:4}}`, `{note_type:private}`.
_HANDLING: Final = re.compile(r"\s*\{\s*(?:status|priority|note_type:\s*private)\b")
_AUTHOR: Final = re.compile(r"[^<>\n]{1,80} : (?=<)")  # {{ticket.latest_public_comment}} is "Name : <div>…"


def read(payload: object, source: FreshdeskSource, now: datetime) -> Accepted | Ignored:
    """A webhook's JSON as tickets. Raises InvalidTicket."""
    fields = at(payload, "freshdesk_webhook")
    if not isinstance(fields, dict):
        raise InvalidTicket("freshdesk_webhook", "is missing: paste the template of docs/crm.md")
    if _HANDLING.match(words(fields.get("triggered_event"))):
        return Ignored("status, priority or a private note: no customer's message")
    described, replied = fields.get("ticket_description"), fields.get("ticket_latest_public_comment")
    if described is None and replied is None:
        raise InvalidTicket("freshdesk_webhook", "has neither ticket_description nor ticket_latest_public_comment")
    message = _AUTHOR.sub("", words(replied).strip(), count=1) or words(described)
    if not message.strip():
        return Ignored("no text in it")
    ticket = make(
        source=source.name,
        external_id=identifier(fields.get("ticket_id"), "freshdesk_webhook.ticket_id"),
        text=joined(fields.get("ticket_subject"), message),
        revised_at=now,
        now=now,
        details={"channel": fields.get("ticket_source"), "url": fields.get("ticket_url")},
    )
    return Accepted((ticket,))
