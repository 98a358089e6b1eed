"""CRM integrations: turn webhooks into tickets, and results into requests. Pure functions; see `docs/how-to/crm.md`.

`receive_webhook(webhook, source, now)` is the entry point. `callback`, `zendesk_tags` and `chatwoot_labels` build
the requests.
"""

from triagem.producer.crm.crm_file import CrmConfig, CrmFile, CrmSettings, load_crm_file
from triagem.producer.crm.payload import (
    AcceptedWebhook,
    IgnoredWebhook,
    OversizedWebhook,
    RefusedWebhook,
    UnmatchedWebhook,
    UnreadableWebhook,
    Webhook,
    WebhookOutcome,
)
from triagem.producer.crm.receive import (
    challenge,
    check_head,
    check_sender,
    read_body,
    read_owners,
    read_webhook,
    receive_webhook,
)
from triagem.producer.crm.settings import Source
from triagem.producer.crm.verdict import Verdict, read_verdicts, verdict_label

__all__ = [
    "AcceptedWebhook",
    "CrmConfig",
    "CrmFile",
    "CrmSettings",
    "IgnoredWebhook",
    "OversizedWebhook",
    "RefusedWebhook",
    "Source",
    "UnmatchedWebhook",
    "UnreadableWebhook",
    "Verdict",
    "Webhook",
    "WebhookOutcome",
    "challenge",
    "check_head",
    "check_sender",
    "load_crm_file",
    "read_body",
    "read_owners",
    "read_verdicts",
    "read_webhook",
    "receive_webhook",
    "verdict_label",
]
