"""The book of a fault: what was accepted, and what must have become of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from triagem.contracts.text import clean, digest
from triagem.contracts.ticket import Lane, Ticket

Identity = tuple[str, str]
Place = tuple[str, str]  # lane and entry id


def identity(ticket: Ticket) -> Identity:
    """Source and external id."""
    return ticket.source, ticket.external_id


@dataclass
class Book:
    """Written while a fault runs, read once at its end."""

    revisions: dict[Identity, list[Ticket]] = field(default_factory=dict)
    poison: dict[Place, Identity | None] = field(default_factory=dict)  # None: not even a ticket
    forgotten: set[Identity] = field(default_factory=set)
    versions: dict[Identity, set[str]] = field(default_factory=dict)  # all that may have classified it
    current: dict[Identity, str] = field(default_factory=dict)  # the version that has the last word
    kills: int = 0
    recoveries: list[float] = field(default_factory=list)

    def accept(self, tickets: Iterable[Ticket]) -> None:
        """Redis has them: from now on we owe each identity one result."""
        for ticket in tickets:
            self.revisions.setdefault(identity(ticket), []).append(ticket)

    def expect_dead(self, lane: Lane, entry_ids: Iterable[bytes | str], who: Sequence[Ticket] = ()) -> None:
        """These entries must end as dead letters; `who` are their tickets, if they are tickets."""
        for number, entry_id in enumerate(entry_ids):
            name = entry_id.decode() if isinstance(entry_id, bytes) else entry_id
            self.poison[str(lane), name] = identity(who[number]) if who else None

    @property
    def owed(self) -> set[Identity]:
        """All that must have a current result."""
        return self.revisions.keys() - self.forgotten - set(self.poison.values())

    def newest(self, who: Identity) -> Ticket:
        """The revision that must be current: the latest, of equal times the one with the highest digest."""
        return max(self.revisions[who], key=lambda ticket: (ticket.revised_at, text_digest(ticket)))

    def rows_allowed(self, who: Identity) -> int:
        """History rows that an identity may have: one a text and a version."""
        texts = {text_digest(ticket) for ticket in self.revisions.get(who, ())}
        return len(texts) * len(self.versions.get(who, {"the only one"}))


def text_digest(ticket: Ticket) -> bytes:
    """What stands for its text."""
    return digest(clean(ticket.text))
