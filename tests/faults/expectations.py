"""Expectations of a fault: the accepted tickets and their required results."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tests.support.conversations import newest
from tests.support.labelled_conversations import parts
from triagem.contracts.text import clean, digest
from triagem.contracts.ticket import Lane, Ticket

Identity = tuple[str, str]
EntryKey = tuple[str, str]  # lane and entry id


def identity(ticket: Ticket) -> Identity:
    """Source and external id."""
    return ticket.source, ticket.external_id


@dataclass
class Expectations:
    """Recorded while a fault runs, checked once at its end."""

    revisions: dict[Identity, list[Ticket]] = field(default_factory=dict)
    poison: dict[EntryKey, Identity | None] = field(default_factory=dict)  # None: not a valid ticket
    forgotten: set[Identity] = field(default_factory=set)
    versions: dict[Identity, set[str]] = field(default_factory=dict)  # versions that may have classified it
    current: dict[Identity, str] = field(default_factory=dict)  # the version whose result must be current
    kills: int = 0
    recoveries: list[float] = field(default_factory=list)

    def accept(self, tickets: Iterable[Ticket]) -> None:
        """Record accepted tickets: each identity must end with one result."""
        for ticket in tickets:
            self.revisions.setdefault(identity(ticket), []).append(ticket)

    def expect_dead(self, lane: Lane, entry_ids: Iterable[bytes | str], tickets: Sequence[Ticket] = ()) -> None:
        """These entries must end as dead letters; `tickets` are their tickets, if they are valid."""
        for number, entry_id in enumerate(entry_ids):
            name = entry_id.decode() if isinstance(entry_id, bytes) else entry_id
            self.poison[str(lane), name] = identity(tickets[number]) if tickets else None

    @property
    def required(self) -> set[Identity]:
        """Identities that must have a current result."""
        return self.revisions.keys() - self.forgotten - set(self.poison.values())

    def newest_revision(self, key: Identity) -> Ticket:
        """The revision that must be current: the latest one; of equal times, the last that arrived."""
        return max(reversed(self.revisions[key]), key=lambda ticket: ticket.revised_at)

    def parts(self, key: Identity) -> list[str]:
        """The cleaned texts that the current result must cover; a conversation has several."""
        if any(ticket.message for ticket in self.revisions[key]):
            return parts(newest(self.revisions[key]))
        return [clean(self.newest_revision(key).text)]

    def max_history_rows(self, key: Identity) -> int:
        """Maximum history rows of an identity: one per text and version. A conversation has at most one text per
        version of a message, because only a stored message version changes the conversation's text."""
        texts = {
            (each.message.id, each.revised_at) if each.message else text_digest(each)
            for each in self.revisions.get(key, ())
        }
        return len(texts) * len(self.versions.get(key, {"the only one"}))


def composed(parts: Sequence[str]) -> str:
    """The text of a conversation, or of a ticket without messages."""
    return "\n\n".join(parts)


def text_digest(ticket: Ticket) -> bytes:
    """Digest of the cleaned text."""
    return digest(clean(ticket.text))
