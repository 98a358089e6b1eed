"""Chatwoot adapter: account and inbox webhooks.

https://www.chatwoot.com/hc/user-guide/articles/1677693021-how-to-use-webhooks; the payloads are those of
`webhook_data` in Chatwoot's `app/models/message.rb` and `push_data` in `app/presenters/conversations/`.
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
from triagem.producer.crm.settings import ChatwootSource

_INCOMING: Final = ("incoming", 0)  # a name in message_created, a number inside a conversation


def read(payload: object, source: ChatwootSource, now: datetime) -> AcceptedWebhook | IgnoredWebhook:
    """Read a webhook's JSON as tickets. Raises InvalidTicket."""
    event = value_at(payload, "event")
    if event == "message_created":
        return _message(payload, value_at(payload, "conversation"), value_at(payload, "account", "id"), source, now)
    if event == "conversation_created":
        messages = value_at(payload, "messages")
        if not isinstance(messages, list) or not messages:
            return IgnoredWebhook("a conversation without a message: message_created will bring it")
        last = messages[-1]
        return _message(last, payload, value_at(last, "account_id"), source, now)
    if event == "conversation_updated":  # a label or an attribute, also our own; never a message
        return IgnoredWebhook(f"only conversation attributes changed: {_changed(payload)}")
    if event is None:
        raise InvalidTicket("event", "is missing")
    # message_updated too: an edit has no time of its own, so an old message would become the newest
    return IgnoredWebhook(f"{safe_name(event)} brings no new message")


def external_ids(payload: object) -> list[object]:
    """The ids of the conversations that a webhook names, also if it cannot be read as a whole."""
    is_message = text_or_empty(value_at(payload, "event")).startswith("message_")  # whose own id is another one
    return [value_at(payload, "conversation", "id"), None if is_message else value_at(payload, "id")]


def _message(
    message: object, conversation: object, account: object, source: ChatwootSource, now: datetime
) -> AcceptedWebhook | IgnoredWebhook:
    if account is not None and account != source.account_id:
        raise InvalidTicket("account.id", "is not this source's account_id: configure one source per account")
    if value_at(message, "private") is True:
        return IgnoredWebhook("a private note")
    if value_at(message, "message_type") not in _INCOMING:
        return IgnoredWebhook("not a customer message")
    content = value_at(message, "content")
    if content is not None and not isinstance(content, str):
        raise InvalidTicket("content", "is not text")
    if not has_text(text_or_empty(content)):
        return IgnoredWebhook("no text")  # a picture, a voice message
    external_id = parse_id(value_at(conversation, "id"), "conversation.id")
    attributes = value_at(conversation, "additional_attributes")
    subject = value_at(message, "content_attributes", "email", "subject") or value_at(attributes, "mail_subject")
    ticket = make_ticket(
        source=source.name,
        external_id=external_id,
        text=join_subject(subject, content),
        revised_at=parse_time(value_at(message, "created_at"), "created_at"),
        now=now,
        metadata={
            "channel": text_or_empty(value_at(conversation, "channel")).removeprefix("Channel::"),
            "url": source.link(external_id),
            "language": value_at(attributes, "conversation_language") or value_at(attributes, "browser_language"),
        },
    )
    return AcceptedWebhook((ticket,))


def _changed(payload: object) -> str:
    """Names of the changed attributes, from `[{"label_list": {"previous_value": …, "current_value": …}}]`."""
    changed = value_at(payload, "changed_attributes")
    names = (
        [safe_name(name) for change in changed if isinstance(change, dict) for name in change]
        if isinstance(changed, list)
        else []
    )
    return ", ".join(sorted(set(names))[:5]) or "not named"
