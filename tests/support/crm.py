"""Sources of every adapter, and webhooks as their CRMs would send them."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from triagem.producer.crm import Accepted, Ignored, Outcome, Source, Unreadable, Webhook, receive
from triagem.producer.crm.settings import ChatwootSource, FreshdeskSource, GenericSource, ZendeskSource

EXAMPLES: Final = Path(__file__).parents[2] / "examples" / "crm"
NOW: Final = datetime(2026, 11, 2, 14, 6, tzinfo=UTC)
SECRET: Final = "a-secret-of-the-CRM"
TOKEN: Final = "a-token-of-twenty-chars"

ZENDESK: Final = ZendeskSource.model_validate(
    {
        "name": "zendesk",
        "token": TOKEN,
        "tags": {"url": "https://example.zendesk.com/", "user": "bot@example.com", "token": "zendesk-token"},
    }
)
CHATWOOT: Final = ChatwootSource.model_validate(
    {
        "name": "chatwoot",
        "token": TOKEN,
        "account_id": 1,
        "labels": {"url": "https://chat.example.com", "token": "chatwoot-token"},
    }
)
FRESHDESK: Final = FreshdeskSource.model_validate({"name": "freshdesk", "token": TOKEN})
HUBSPOT: Final = GenericSource.model_validate(
    {
        "name": "hubspot",
        "token": TOKEN,
        "records": "[?subscriptionType=='ticket.propertyChange' && propertyName=='content' && propertyValue]",
        "fields": {
            "external_id": "objectId",
            "text": ["propertyValue"],
            "revised_at": "occurredAt",
            "metadata": {"portal": "portalId"},
        },
    }
)
SALESFORCE: Final = GenericSource.model_validate(
    {
        "name": "salesforce",
        "token": TOKEN,
        "fields": {
            "external_id": "Id",
            "text": ["Subject", "Description"],
            "revised_at": "LastModifiedDate",
            "metadata": {"channel": "Origin", "language": "Language"},
        },
    }
)
SOURCES: Final[list[Source]] = [ZENDESK, CHATWOOT, FRESHDESK, HUBSPOT, SALESFORCE]


def example(name: str) -> Any:
    """An example's payload."""
    return json.loads((EXAMPLES / f"{name}.json").read_text(encoding="utf-8"))


def got(payload: object, source: Source) -> Outcome:
    """What a payload, or a body as it is, turns out to be when it comes with the right token."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return receive(Webhook(body, {"X-Triagem-Token": TOKEN}), source, NOW)


def ticket(payload: object, source: Source) -> dict[str, Any]:
    """The fields of the one ticket in it."""
    outcome = got(payload, source)
    assert isinstance(outcome, Accepted), outcome
    assert not outcome.unread
    (only,) = outcome.tickets
    return only.model_dump()


def ignored(payload: object, source: Source) -> str:
    """Why it was ignored."""
    outcome = got(payload, source)
    assert isinstance(outcome, Ignored), outcome
    return outcome.reason


def unreadable(payload: object, source: Source) -> str:
    """Why it could not be read."""
    outcome = got(payload, source)
    assert isinstance(outcome, Unreadable), outcome
    return outcome.reason


def signature(content: bytes, secret: str = SECRET) -> bytes:
    """HMAC-SHA256, by hand."""
    return hmac.new(secret.encode(), content, hashlib.sha256).digest()


def zendesk_headers(body: bytes, at: str, secret: str = SECRET) -> dict[str, str]:
    """The headers of Zendesk's webhooks."""
    signed = base64.b64encode(signature(at.encode() + body, secret)).decode()
    return {"X-Zendesk-Webhook-Signature": signed, "X-Zendesk-Webhook-Signature-Timestamp": at}


def chatwoot_headers(body: bytes, at: int, secret: str = SECRET) -> dict[str, str]:
    """The headers of Chatwoot's webhooks, since 4.13."""
    signed = signature(f"{at}.".encode() + body, secret).hex()
    return {"X-Chatwoot-Signature": f"sha256={signed}", "X-Chatwoot-Timestamp": str(at)}
