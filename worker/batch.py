"""What travels through the pipe: a ticket ready for the model, a micro-batch of them, and a classified one."""

from dataclasses import dataclass, field
from datetime import datetime

from triagem.contracts.model import Tokens
from triagem.contracts.prediction import Prediction
from triagem.contracts.ticket import Ticket
from triagem.db.rewrite import Checked, Reclassified
from triagem.db.samples import Sample
from triagem.db.window import Classified
from triagem.inbox import Entry
from triagem.worker.causes import Cause
from triagem.worker.keeper import Running


@dataclass(frozen=True, slots=True)
class Item:
    """One taken ticket, or a stored one that a run named, tokenised. `known` is what this version said of it, and
    `tokenise_s` its share of the time that tokenising took."""

    entry: Entry
    ticket: Ticket | Checked
    digest: bytes
    tokens: Tokens
    known: tuple[Prediction, datetime] | None = None
    tokenise_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Condemned:
    """An entry that becomes a dead letter, and why. The reason never holds the customer's text."""

    entry: Entry
    cause: Cause
    reason: str
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """What the model computes at once. It carries its model, so that a swap never splits it."""

    running: Running
    items: list[Item]


@dataclass(slots=True)
class Spent:
    """Seconds: the longest wait of a ticket for the model, and what tokenising and the model took in all."""

    queue_s: float = 0.0
    tokenise_s: float = 0.0
    model_s: float = 0.0

    def add(self, other: "Spent") -> None:
        """Both together."""
        self.queue_s = max(self.queue_s, other.queue_s)
        self.tokenise_s += other.tokenise_s
        self.model_s += other.model_s


@dataclass(frozen=True, slots=True)
class Done:
    """What the committer stores and settles: rows for the database with their entries, dead letters, and entries
    with nothing to store. And samples of tickets in this or a former one, which may be lost."""

    rows: list[Classified | Reclassified] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    dropped: list[Entry] = field(default_factory=list)
    dead: list[Condemned] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    spent: Spent = field(default_factory=Spent)
