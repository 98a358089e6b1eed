"""Receives webhooks: verifies the sender, parses the body and reads it by its source's fields. Raises nothing."""

from datetime import datetime

from triagem.contracts.errors import InvalidTicket
from triagem.contracts.ticket import Identity, identify
from triagem.producer.crm import field_map
from triagem.producer.crm.expressions import search
from triagem.producer.crm.payload import (
    IgnoredWebhook,
    ReadWebhook,
    RefusedWebhook,
    UnreadableWebhook,
    Webhook,
    WebhookOutcome,
    parse,
    parse_id,
)
from triagem.producer.crm.settings import Source
from triagem.producer.crm.signature import check_signature, check_token, signed_at


def receive_webhook(webhook: Webhook, source: Source, now: datetime) -> WebhookOutcome:
    """Receive a webhook of this source. The sender is verified before the body is read."""
    return check_sender(webhook, source, now) or read_webhook(webhook, source, now)


def check_head(webhook: Webhook, source: Source) -> RefusedWebhook | None:
    """None if the sender may send a body: its token is right, or it gives a signature, which covers the body."""
    if source.token is not None:
        return check_token(webhook, source.token.get_secret_value())
    scheme = source.signature
    return RefusedWebhook(f"no {scheme.header}") if scheme and webhook.header(scheme.header) is None else None


def check_sender(webhook: Webhook, source: Source, now: datetime) -> RefusedWebhook | None:
    """None if the token or the signature is right."""
    if source.token is not None:
        return check_token(webhook, source.token.get_secret_value())
    if source.secret is not None and source.signature is not None:
        return check_signature(webhook, source.signature, source.secret.get_secret_value(), now)
    return RefusedWebhook("the source has no secret")  # prevented by the validation of its settings


def challenge(webhook: Webhook, source: Source) -> str | None:
    """The value that the CRM's test of the URL expects back; None if it is none. Call `check_sender` first."""
    if source.challenge.header is not None and (value := webhook.header(source.challenge.header)):
        return value
    if source.challenge.field is None:
        return None
    try:
        value = search(source.challenge.field, parse(webhook.body), "challenge")
    except InvalidTicket:
        return None
    return value if isinstance(value, str) else None


def read_webhook(webhook: Webhook, source: Source, now: datetime) -> ReadWebhook:
    """Read a webhook whose sender was verified.

    A signed time dates a message that has no time of its own: sent again, it is the same revision, and replaces no
    newer text.
    """
    scheme = source.signature if source.secret is not None else None
    return read_body(webhook.body, source, now, sent_at=signed_at(webhook, scheme) if scheme else None)


def read_body(body: bytes, source: Source, now: datetime, *, sent_at: datetime | None = None) -> ReadWebhook:
    """Read a body whose sender was verified at `now`, when it was received. Used to replay dead letters."""
    if not body.strip():
        return IgnoredWebhook("an empty body")
    try:
        return field_map.read(parse(body), source, now, sent_at or now)
    except InvalidTicket as error:
        return UnreadableWebhook(str(error))


def read_owners(body: bytes, source: Source) -> frozenset[Identity]:
    """The tickets that a body names, even if `read_body` cannot read it; empty if none can be identified."""
    try:
        named = field_map.external_ids(parse(body), source)
    except InvalidTicket:
        return frozenset()
    return frozenset(owner for external_id in named if (owner := _owner(source.name, external_id)))


def _owner(source: str, external_id: object) -> Identity | None:
    try:
        return identify(source, parse_id(external_id, "external_id"))
    except InvalidTicket:
        return None
