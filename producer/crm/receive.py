"""From a request to what becomes of it: who sent it, is it JSON, is it a customer's message. Raises nothing."""

from datetime import datetime

from triagem.contracts.errors import InvalidTicket
from triagem.producer.crm import chatwoot, freshdesk, generic, zendesk
from triagem.producer.crm.adapter import Accepted, Ignored, Outcome, Refused, Unreadable, Webhook
from triagem.producer.crm.payload import parse
from triagem.producer.crm.settings import ChatwootSource, FreshdeskSource, GenericSource, Source, ZendeskSource
from triagem.producer.crm.signature import check_signature, check_token


def receive(webhook: Webhook, source: Source, now: datetime) -> Outcome:
    """What a webhook of this source is. Nothing of it is looked at before its sender is known."""
    return _refused(webhook, source, now) or read(webhook.body, source, now)


def read(body: bytes, source: Source, now: datetime) -> Accepted | Ignored | Unreadable:
    """What a body is whose sender was known when it came, at `now`: for dead letters."""
    if not body.strip():
        return Ignored("an empty body")
    try:
        return _read(parse(body), source, now)
    except InvalidTicket as error:
        return Unreadable(str(error))


def _refused(webhook: Webhook, source: Source, now: datetime) -> Refused | None:
    if source.token is not None:
        return check_token(webhook, source.token.get_secret_value())
    if source.secret is not None and source.scheme is not None:
        return check_signature(webhook, source.scheme, source.secret.get_secret_value(), now)
    return Refused("the source has no secret")  # its settings do not allow it


def _read(payload: object, source: Source, now: datetime) -> Accepted | Ignored:
    match source:
        case ZendeskSource():
            return zendesk.read(payload, source, now)
        case ChatwootSource():
            return chatwoot.read(payload, source, now)
        case FreshdeskSource():
            return freshdesk.read(payload, source, now)
        case GenericSource():
            return generic.read(payload, source, now)
