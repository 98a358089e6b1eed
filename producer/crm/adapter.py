"""The contract of all CRM adapters: what came in by webhook, and what it turned out to be.

An adapter is a function `(payload, source, now) -> Accepted | Ignored` in a file of its own. It does no I/O, trusts
no type in the payload, and raises InvalidTicket naming the field where a customer's message cannot be read.
`triagem.producer.crm.receive` checks who sent it, parses it and calls the adapter; it raises nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from triagem.contracts.ticket import Ticket


@dataclass(frozen=True, slots=True)
class Webhook:
    """One request as it came: signatures are made over these very bytes, so nothing may parse and write them anew.

    `token` is what the address carried as `?token=`, for CRMs that can neither sign nor send a header.
    """

    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    token: str | None = field(default=None, repr=False)

    def header(self, name: str) -> str | None:
        """A header's value, however its name is written; None if it is absent."""
        return next((value for key, value in self.headers.items() if key.lower() == name.lower()), None)


@dataclass(frozen=True, slots=True)
class Accepted:
    """Customers' messages, for the inbox. `unread`: what of a batch is none; keep the body as a dead letter too."""

    tickets: tuple[Ticket, ...]
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ignored:
    """Understood, and nothing for us: an agent's answer, a private note, a tag (our own among them), a ping."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """It may hold a customer's message that we cannot read: keep the body as a dead letter."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Nobody proved to be the CRM: answer 401 and keep nothing. The reason is for the log, not for the sender."""

    reason: str


Outcome = Accepted | Ignored | Unreadable | Refused
