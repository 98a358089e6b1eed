"""CRMs: what their webhooks bring becomes tickets, results become requests. Pure functions; `docs/crm.md` for people.

`receive(webhook, source, now)` is the way in. `callback`, `zendesk_tags` and `chatwoot_labels` build what goes out.
"""

from triagem.producer.crm.adapter import Accepted, Ignored, Outcome, Refused, Unreadable, Webhook
from triagem.producer.crm.crm_file import Crm, CrmSettings, from_environment, load
from triagem.producer.crm.receive import read, receive
from triagem.producer.crm.settings import Source

__all__ = [
    "Accepted",
    "Crm",
    "CrmSettings",
    "Ignored",
    "Outcome",
    "Refused",
    "Source",
    "Unreadable",
    "Webhook",
    "from_environment",
    "load",
    "read",
    "receive",
]
