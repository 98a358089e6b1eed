"""What travels through the pipe: a ticket ready for the model, a micro-batch of them, and a classified one."""

from dataclasses import dataclass, field
from datetime import datetime

from contracts.model import Tokens
from contracts.prediction import Prediction
from contracts.ticket import Ticket
from db.samples import Sample
from db.window import Classified
from inbox import Entry
from worker.keeper import Running


@dataclass(frozen=True, slots=True)
class Item:
    """One taken ticket: decoded, cleaned, tokenised. `known` is what this version already said of this text."""

    entry: Entry
    ticket: Ticket
    digest: bytes
    tokens: Tokens
    known: tuple[Prediction, datetime] | None = None


@dataclass(frozen=True, slots=True)
class Condemned:
    """An entry that becomes a dead letter, and why. The reason never holds the customer's text."""

    entry: Entry
    reason: str
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """What the model computes at once. It carries its model, so that a swap never splits it."""

    running: Running
    items: list[Item]


@dataclass(frozen=True, slots=True)
class Done:
    """What the committer stores and settles: rows for the database with their entries, and dead letters. And samples
    of tickets in this or a former one, which may be lost."""

    rows: list[Classified] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    dead: list[Condemned] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
