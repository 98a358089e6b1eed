"""Chatwoot: account and inbox webhooks.

https://www.chatwoot.com/hc/user-guide/articles/1677693021-how-to-use-webhooks; the shapes are those of
`webhook_data` in Chatwoot's `app/models/message.rb` and `push_data` in `app/presenters/conversations/`.
"""

from datetime import datetime
from typing import Final

from triagem.contracts.errors import InvalidTicket
from triagem.producer.crm.adapter import Accepted, Ignored
from triagem.producer.crm.payload import at, identifier, joined, make, moment, shown, words
from triagem.producer.crm.settings import ChatwootSource

_INCOMING: Final = ("incoming", 0)  # a name in message_created, a number inside a conversation


def read(payload: object, source: ChatwootSource, now: datetime) -> Accepted | Ignored:
    """A webhook's JSON as tickets. Raises InvalidTicket."""
    event = at(payload, "event")
    if event == "message_created":
        return _message(payload, at(payload, "conversation"), at(payload, "account", "id"), source, now)
    if event == "conversation_created":
        messages = at(payload, "messages")
        if not isinstance(messages, list) or not messages:
            return Ignored("a conversation without a message: message_created brings it")
        last = messages[-1]
        return _message(last, payload, at(last, "account_id"), source, now)
    if event == "conversation_updated":  # a label or an attribute, our own among them; never a message
        return Ignored(f"only attributes of the conversation changed: {_changed(payload)}")
    if event is None:
        raise InvalidTicket("event", "is missing")
    # message_updated too: an edit carries no time of its own, and would bring an old message back on top
    return Ignored(f"{shown(event)} brings no new message")


def _message(
    message: object, conversation: object, account: object, source: ChatwootSource, now: datetime
) -> Accepted | Ignored:
    if account is not None and account != source.account_id:
        raise InvalidTicket("account.id", "is not this source's account_id: give each account a source of its own")
    if at(message, "private") is True:
        return Ignored("a private note")
    if at(message, "message_type") not in _INCOMING:
        return Ignored("a message that is not the customer's")
    content = at(message, "content")
    if content is not None and not isinstance(content, str):
        raise InvalidTicket("content", "is no text")
    if not words(content).strip():
        return Ignored("no text in it")  # a picture, a voice message
    external_id = identifier(at(conversation, "id"), "conversation.id")
    about = at(conversation, "additional_attributes")
    subject = at(message, "content_attributes", "email", "subject") or at(about, "mail_subject")
    ticket = make(
        source=source.name,
        external_id=external_id,
        text=joined(subject, content),
        revised_at=moment(at(message, "created_at"), "created_at"),
        now=now,
        details={
            "channel": words(at(conversation, "channel")).removeprefix("Channel::"),
            "url": source.link(external_id),
            "language": at(about, "conversation_language") or at(about, "browser_language"),
        },
    )
    return Accepted((ticket,))


def _changed(payload: object) -> str:
    """The names of the attributes that changed: `[{"label_list": {"previous_value": …, "current_value": …}}]`."""
    changed = at(payload, "changed_attributes")
    names = (
        [shown(name) for one in changed if isinstance(one, dict) for name in one] if isinstance(changed, list) else []
    )
    return ", ".join(sorted(set(names))[:5]) or "none named"
