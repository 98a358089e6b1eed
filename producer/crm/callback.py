"""Builds the signed webhook that sends a result to any receiver."""

from datetime import datetime

from triagem.outgoing import Request
from triagem.outgoing.standard_webhooks import signed_request
from triagem.producer.crm.result import CrmResult, json_body
from triagem.producer.crm.settings import CallbackSettings


def callback_request(result: CrmResult, settings: CallbackSettings, now: datetime) -> Request:
    """The request for a result. Each attempt is signed anew with its own `now`; id and body stay the same."""
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
    return signed_request(result.id, settings.url, body, settings.secret, now)
