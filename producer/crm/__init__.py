"""CRM integrations: turn webhooks into tickets, and results into requests. Pure functions; see `docs/how-to/crm.md`.

A webhook passes `check_head`, `check_sender` and `read_webhook`. `triagem.notify.crm` builds the requests.
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
)
from triagem.producer.crm.receive import (
    Verdict,
    challenge,
    check_head,
    check_sender,
    not_a_label,
    read_body,
    read_owners,
    read_verdicts,
    read_webhook,
    verdict_label,
)
from triagem.producer.crm.settings import Source

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
    "challenge",
    "check_head",
    "check_sender",
    "load_crm_file",
    "not_a_label",
    "read_body",
    "read_owners",
    "read_verdicts",
    "read_webhook",
    "verdict_label",
]
