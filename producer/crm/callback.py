"""Results to any receiver: a signed webhook after Standard Webhooks 1.0.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md: receivers check it with a
library of their language.
"""

import base64
import hashlib
import hmac
from datetime import datetime

from outgoing import Request
from producer.crm.result import Result, json_body
from producer.crm.settings import Callback


def callback(result: Result, settings: Callback, now: datetime) -> Request:
    """The request that tells a result. Each attempt is signed anew, with its own `now`; id and body stay the same."""
    body = json_body(
        {
            "type": "ticket.classified",
            "timestamp": result.classified_at.isoformat(),
            "data": {
                "id": result.id,
                "source": result.source,
                "external_id": result.external_id,
                "revised_at": result.revised_at.isoformat(),
                "label": result.label,
                "confidence": result.confidence,
                "band": result.band.value,
                "model_version": result.model_version,
                "reviewed": result.reviewed,
            },
        }
    )
    sent_at = str(int(now.timestamp()))
    headers = {
        "Content-Type": "application/json",
        "webhook-id": result.id,
        "webhook-timestamp": sent_at,
        "webhook-signature": sign(result.id, sent_at, body, settings.secret.get_secret_value()),
    }
    return Request("POST", settings.url, headers, body)


def sign(message_id: str, sent_at: str, body: bytes, secret: str) -> str:
    """The `webhook-signature` of a body; `secret` is the key in base64, with or without `whsec_`."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, b".".join((message_id.encode(), sent_at.encode(), body)), hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"
