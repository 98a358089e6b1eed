"""The values that pipeline stages pass to each other: prepared tickets, micro-batches and commit batches."""

from dataclasses import dataclass, field
from datetime import datetime

from triagem.contracts.model import Tokens
from triagem.contracts.prediction import Prediction
from triagem.contracts.ticket import Ticket
from triagem.db.reclassification import ReclassifiedTicket, ResolvedTicket
from triagem.db.samples import NewSample
from triagem.db.window import ClassifiedTicket
from triagem.inbox import Entry
from triagem.worker.causes import Cause
from triagem.worker.models import ServedModel


@dataclass(frozen=True, slots=True)
class PreparedTicket:
    """A tokenised ticket: a fetched one, or a stored one that a reclassification run refers to.

    `cached` is this model version's earlier prediction and its time. `tokenise_s` is this ticket's share of the
    tokenisation time.
    """

    entry: Entry
    ticket: Ticket | ResolvedTicket
    digest: bytes
    tokens: Tokens
    cached: tuple[Prediction, datetime] | None = None
    tokenise_s: float = 0.0


@dataclass(frozen=True, slots=True)
class FailedEntry:
    """An entry that becomes a dead letter. `reason` never contains the customer's text."""

    entry: Entry
    cause: Cause
    reason: str
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """Tickets that the model classifies in one call. It carries its model, so a model swap never splits a batch."""

    served_by: ServedModel
    items: list[PreparedTicket]


@dataclass(slots=True)
class StageTimings:
    """Seconds per stage: the longest wait for the model, total tokenisation and total model time."""

    queue_s: float = 0.0
    tokenise_s: float = 0.0
    model_s: float = 0.0

    def add(self, other: "StageTimings") -> None:
        """Add the timings of another batch."""
        self.queue_s = max(self.queue_s, other.queue_s)
        self.tokenise_s += other.tokenise_s
        self.model_s += other.model_s


@dataclass(frozen=True, slots=True)
class CommitBatch:
    """Work for the committer: rows with their entries, dead letters, and entries to acknowledge without a row.

    `samples` belong to tickets of this batch or an earlier one, and may be lost.
    """

    rows: list[ClassifiedTicket | ReclassifiedTicket] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    dropped: list[Entry] = field(default_factory=list)
    dead: list[FailedEntry] = field(default_factory=list)
    samples: list[NewSample] = field(default_factory=list)
    timings: StageTimings = field(default_factory=StageTimings)
