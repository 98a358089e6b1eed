"""CRM integrations: turn webhooks into tickets, and results into requests. Pure functions; see `docs/how-to/crm.md`.

`receive_webhook(webhook, source, now)` is the entry point. `callback`, `zendesk_tags` and `chatwoot_labels` build
the requests.
"""

from triagem.producer.crm.crm_file import CrmConfig, CrmSettings, crm_from_environment, load_crm_file
from triagem.producer.crm.payload import (
    AcceptedWebhook,
    IgnoredWebhook,
    RefusedWebhook,
    UnreadableWebhook,
    Webhook,
    WebhookOutcome,
)
from triagem.producer.crm.receive import check_head, read_body, receive_webhook
from triagem.producer.crm.settings import Source

__all__ = [
    "AcceptedWebhook",
    "CrmConfig",
    "CrmSettings",
    "IgnoredWebhook",
    "RefusedWebhook",
    "Source",
    "UnreadableWebhook",
    "Webhook",
    "WebhookOutcome",
    "check_head",
    "crm_from_environment",
    "load_crm_file",
    "read_body",
    "receive_webhook",
]
