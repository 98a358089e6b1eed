"""Results to any receiver: a signed webhook."""

from datetime import datetime

from triagem.outgoing import Request
from triagem.outgoing.standard import signed
from triagem.producer.crm.result import Result, json_body
from triagem.producer.crm.settings import Callback


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
    return signed(result.id, settings.url, body, settings.secret, now)
