"""A source of every adapter, and webhooks as their CRMs send them."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from triagem.producer.crm import (
    AcceptedWebhook,
    IgnoredWebhook,
    RefusedWebhook,
    Source,
    UnmatchedWebhook,
    UnreadableWebhook,
    Webhook,
    check_sender,
    read_webhook,
)
from triagem.producer.crm.payload import ReadWebhook
from triagem.producer.crm.settings import make_source

EXAMPLES: Final = Path(__file__).parents[2] / "examples" / "crm"
NOW: Final = datetime(2026, 11, 2, 14, 6, tzinfo=UTC)
SECRET: Final = "a-secret-of-the-CRM"
TOKEN: Final = "a-token-of-twenty-chars"

ZENDESK: Final = make_source(
    "zendesk",
    {
        "token": TOKEN,
        "tags": {"url": "https://example.zendesk.com/", "user": "bot@example.com", "token": "zendesk-token"},
    },
)
CHATWOOT: Final = make_source(
    "chatwoot",
    {
        "token": TOKEN,
        "account_id": 1,
        "labels": {"url": "https://chat.example.com", "token": "chatwoot-token"},
    },
)
FRESHDESK: Final = make_source("freshdesk", {"token": TOKEN})
HUBSPOT: Final = make_source(
    "hubspot",
    {
        "adapter": "generic",
        "token": TOKEN,
        "records": """
            [?(subscriptionType=='ticket.propertyChange' || subscriptionType=='object.propertyChange'
              && objectTypeId=='0-5') && propertyName=='content' && propertyValue]
        """,
        "fields": {
            "external_id": "objectId",
            "text": ["propertyValue"],
            "revised_at": "occurredAt",
            "metadata": {"portal": "portalId"},
        },
    },
)
SALESFORCE: Final = make_source(
    "salesforce",
    {
        "adapter": "generic",
        "token": TOKEN,
        "fields": {
            "external_id": "Id",
            "text": ["Subject"],
            "message": "Description",
            "revised_at": "LastModifiedDate",
            "metadata": {"channel": "Origin", "language": "Language"},
        },
    },
)
ZAMMAD, INTERCOM, HELPSCOUT, FRONT = (
    make_source(name, {"token": TOKEN}) for name in ("zammad", "intercom", "helpscout", "front")
)
SOURCES: Final[list[Source]] = [
    ZENDESK, CHATWOOT, FRESHDESK, HUBSPOT, SALESFORCE, ZAMMAD, INTERCOM, HELPSCOUT, FRONT,
]  # fmt: skip


def example(name: str) -> Any:
    """The payload of an example."""
    return json.loads((EXAMPLES / f"{name}.json").read_text(encoding="utf-8"))


def receive_webhook(webhook: Webhook, source: Source, now: datetime) -> ReadWebhook | RefusedWebhook:
    """The outcome of a webhook."""
    return check_sender(webhook, source, now) or read_webhook(webhook, source, now)


def parse_webhook(payload: object, source: Source) -> ReadWebhook | RefusedWebhook:
    """The outcome of a payload (or raw body) sent with the right token."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return receive_webhook(Webhook(body, {"X-Triagem-Token": TOKEN}), source, NOW)


def ticket(payload: object, source: Source) -> dict[str, Any]:
    """The fields of the only ticket in the payload."""
    outcome = parse_webhook(payload, source)
    assert isinstance(outcome, AcceptedWebhook), outcome
    assert not outcome.unread
    (only,) = outcome.tickets
    return only.model_dump(exclude_none=True)


def ignored(payload: object, source: Source) -> str:
    """The reason why it was ignored."""
    outcome = parse_webhook(payload, source)
    assert isinstance(outcome, IgnoredWebhook), outcome
    return outcome.reason


def unreadable(payload: object, source: Source) -> str:
    """The reason why it could not be read."""
    outcome = parse_webhook(payload, source)
    assert isinstance(outcome, UnreadableWebhook), outcome
    return outcome.reason


def unmatched(payload: object, source: Source) -> str:
    """The reason why it matches no record and no known event."""
    outcome = parse_webhook(payload, source)
    assert isinstance(outcome, UnmatchedWebhook), outcome
    return outcome.reason


def signature(content: bytes, secret: str = SECRET) -> bytes:
    """HMAC-SHA256 of the content."""
    return hmac.new(secret.encode(), content, hashlib.sha256).digest()


def zendesk_headers(body: bytes, at: str, secret: str = SECRET) -> dict[str, str]:
    """The headers of Zendesk's webhooks."""
    signed = base64.b64encode(signature(at.encode() + body, secret)).decode()
    return {"X-Zendesk-Webhook-Signature": signed, "X-Zendesk-Webhook-Signature-Timestamp": at}


def chatwoot_headers(body: bytes, at: int, secret: str = SECRET) -> dict[str, str]:
    """The headers of Chatwoot's webhooks, since 4.13."""
    signed = signature(f"{at}.".encode() + body, secret).hex()
    return {"X-Chatwoot-Signature": f"sha256={signed}", "X-Chatwoot-Timestamp": str(at)}
