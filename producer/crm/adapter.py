"""Contract of the CRM adapters: an incoming webhook, and what it turns out to be.

An adapter is a function `(payload, source, now) -> AcceptedWebhook | IgnoredWebhook` in its own module. It does no
I/O, trusts no type in the payload, and raises InvalidTicket naming the field where a customer's message cannot be
read. `triagem.producer.crm.receive` verifies the sender, parses the body and calls the adapter; it raises nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from triagem.contracts.ticket import Ticket


@dataclass(frozen=True, slots=True)
class Webhook:
    """A request exactly as received: signatures cover these bytes, so nothing may parse and re-encode them.

    `token` is the query parameter `?token=`, for CRMs that can neither sign nor send a header.
    """

    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    token: str | None = field(default=None, repr=False)

    def header(self, name: str) -> str | None:
        """A header's value, case-insensitive; None if it is absent."""
        return next((value for key, value in self.headers.items() if key.lower() == name.lower()), None)


@dataclass(frozen=True, slots=True)
class AcceptedWebhook:
    """Customer messages, for the inbox. `unread`: unreadable records of a batch; also dead-letter the body."""

    tickets: tuple[Ticket, ...]
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class IgnoredWebhook:
    """Understood, but not a customer message: an agent's reply, a private note, a tag (also our own), a ping."""

    reason: str


@dataclass(frozen=True, slots=True)
class UnreadableWebhook:
    """It may hold a customer message that we cannot read: dead-letter the body."""

    reason: str


@dataclass(frozen=True, slots=True)
class RefusedWebhook:
    """The sender is not authenticated: answer 401 and keep nothing. The reason is for the log, not for the sender."""

    reason: str


WebhookOutcome = AcceptedWebhook | IgnoredWebhook | UnreadableWebhook | RefusedWebhook
