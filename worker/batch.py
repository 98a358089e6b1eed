"""What travels through the pipe: a ticket ready for the model, a micro-batch of them, and a classified one."""

from dataclasses import dataclass, field
from datetime import datetime

from contracts.model import Tokens
from contracts.prediction import Prediction
from contracts.ticket import Ticket
from db.rewrite import Checked, Reclassified
from db.samples import Sample
from db.window import Classified
from inbox import Entry
from worker.keeper import Running


@dataclass(frozen=True, slots=True)
class Item:
    """One taken ticket, or a stored one that a run named, tokenised. `known` is what this version said of it."""

    entry: Entry
    ticket: Ticket | Checked
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
    """What the committer stores and settles: rows for the database with their entries, dead letters, and entries
    with nothing to store. And samples of tickets in this or a former one, which may be lost."""

    rows: list[Classified | Reclassified] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    dropped: list[Entry] = field(default_factory=list)
    dead: list[Condemned] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
