"""The values that pipeline stages pass to each other: work items, micro-batches and commit batches."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from triagem.contracts.language import UNDETERMINED, Probabilities
from triagem.contracts.model import Model, Tokens
from triagem.contracts.prediction import AbstainReason, Prediction
from triagem.contracts.ticket import Author, Identity, Lane, OnReply, Ticket
from triagem.contracts.wire import StoredTicketRef
from triagem.db.runs.reclassification import ReclassifiedTicket
from triagem.db.tickets.messages import Conversation
from triagem.db.tickets.samples import NewSample
from triagem.db.tickets.window import ClassifiedTicket, UnlabelledTicket
from triagem.inbox import Entry


class Cause(StrEnum):
    """Cause of a dead letter; also a metric label. The rest of the ticket's batch is processed normally."""

    UNREADABLE = "unreadable"
    NOT_PREPARED = "cannot-be-prepared"
    MODEL_FAILS = "model-fails"
    CRASHED_WORKERS = "crashed-workers"
    NOT_STORED = "cannot-be-stored"
    NO_MODEL = "no-model"


@dataclass(frozen=True, slots=True)
class FailedEntry:
    """An entry that becomes a dead letter. `reason` never contains the customer's text."""

    entry: Entry
    cause: Cause
    reason: str
    attempts: int = 1


@dataclass(slots=True)
class StageTimings:
    """Seconds per stage: the longest wait for the model, total tokenization and total model time."""

    queue_s: float = 0.0
    tokenize_s: float = 0.0
    model_s: float = 0.0

    def add(self, other: "StageTimings") -> None:
        """Add the timings of another batch."""
        self.queue_s = max(self.queue_s, other.queue_s)
        self.tokenize_s += other.tokenize_s
        self.model_s += other.model_s


@dataclass(frozen=True, slots=True)
class CommitBatch:
    """Work for the committer: entries with their rows, dead letters, and entries to acknowledge without a row.

    `samples` belong to tickets of this or an earlier batch, and may be lost.
    """

    classified: list[tuple[Entry, ClassifiedTicket]] = field(default_factory=list)
    reclassified: list[tuple[Entry, ReclassifiedTicket]] = field(default_factory=list)
    unlabelled: list[tuple[Entry, UnlabelledTicket]] = field(default_factory=list)
    dropped: list[Entry] = field(default_factory=list)
    dead: list[FailedEntry] = field(default_factory=list)
    samples: list[NewSample] = field(default_factory=list)
    timings: StageTimings = field(default_factory=StageTimings)

    @property
    def size(self) -> int:
        """Number of entries to acknowledge, without dead letters."""
        return len(self.classified) + len(self.reclassified) + len(self.unlabelled) + len(self.dropped)

    def add(self, other: "CommitBatch") -> None:
        """Append another batch."""
        for name in ("classified", "reclassified", "unlabelled", "dropped", "dead", "samples"):
            getattr(self, name).extend(getattr(other, name))
        self.timings.add(other.timings)


@dataclass(frozen=True, slots=True)
class Limits:
    """The maximum number of texts and of tokens in a micro-batch. A single text may exceed `tokens`."""

    texts: int = 32
    tokens: int | None = None


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A loaded model and the epoch of its promotion. A window uses the same one from fetch to commit."""

    model: Model
    epoch: int
    limits: Limits = Limits()


@dataclass(slots=True)
class WorkItem:
    """A text to classify, from decoding to its row. Preparation fills in the fields with defaults.

    `conversation`: the messages that its text is composed from; None for a whole text. `is_message`: the ticket was
    sent as a whole text, but belongs to a conversation. `parts`: the cleaned texts to classify, each with its
    `tokens`; only a conversation has several. `cached` is this model version's earlier prediction and its time.
    `tokenize_s` is this item's share of the tokenization time. `abstains`: the reason that no label may be used.
    `language` is the most likely language of the text, and `languages` holds the probability of each language.
    """

    entry: Entry
    text: str
    digest: bytes = b""
    conversation: Conversation | None = None
    parts: Sequence[str] = ()
    tokens: Sequence[Tokens] = ()
    cached: tuple[Prediction, datetime] | None = None
    is_message: bool = False
    tokenize_s: float = 0.0
    abstains: AbstainReason | None = None
    language: str = UNDETERMINED
    languages: Probabilities = field(default_factory=dict)

    @property
    def token_count(self) -> int:
        """Number of tokens of all parts."""
        return sum(len(tokens.ids) for tokens in self.tokens)

    @property
    def identity(self) -> Identity | None:
        """The ticket whose earlier predictions may be reused; None if the look-up has already been done."""
        return None

    def add_result(
        self, batch: CommitBatch, served_by: ServedModel, prediction: Prediction, classified_at: datetime
    ) -> None:
        """Add the row to store to `batch`."""
        raise NotImplementedError


@dataclass(slots=True)
class NewTicket(WorkItem):
    """A ticket that a producer has put."""

    ticket: Ticket = field(kw_only=True)

    @property
    def identity(self) -> Identity:
        """Source and external id."""
        return Identity(self.ticket.source, self.ticket.external_id)

    @property
    def received_at(self) -> datetime:
        """Time of the put."""
        return datetime.fromtimestamp(self.entry.put_at, UTC)

    @property
    def lane(self) -> Lane:
        """The lane of its result: an agent's message does not make a ticket live."""
        message = self.ticket.message
        return self.entry.lane if message is None or message.author is Author.CUSTOMER else Lane.BULK

    @property
    def on_reply(self) -> OnReply | None:
        """The messages that the label is about; None for a whole text."""
        return None if self.conversation is None else self.conversation.on_reply

    @property
    def judged_ticket(self) -> tuple[Ticket, int]:
        """The ticket to store with its arrival: for a conversation, with the text composed from its messages."""
        if self.conversation is None:
            return self.ticket, self.entry.arrival
        composed = {"text": self.text, "revised_at": self.conversation.revised_at}
        return self.ticket.model_copy(update=composed), self.conversation.arrival

    def add_result(
        self, batch: CommitBatch, served_by: ServedModel, prediction: Prediction, classified_at: datetime
    ) -> None:
        """Add the ticket with its result."""
        ticket, arrival = self.judged_ticket
        row = ClassifiedTicket(
            ticket, self.digest, self.lane, self.received_at, arrival, self.on_reply, prediction=prediction,
            epoch=served_by.epoch, classified_at=classified_at, detected=self.language,
            proved=served_by.model.manifest.thresholds.automate,
        )  # fmt: skip
        batch.classified.append((self.entry, row))

    def add_unlabelled(self, batch: CommitBatch) -> None:
        """Add the ticket without a result."""
        ticket, arrival = self.judged_ticket
        row = UnlabelledTicket(ticket, self.digest, self.lane, self.received_at, arrival, self.on_reply)
        batch.unlabelled.append((self.entry, row))


@dataclass(slots=True)
class StoredTicket(WorkItem):
    """A stored ticket that a reclassification run refers to. It keeps the digest that was stored with the ticket."""

    ref: StoredTicketRef = field(kw_only=True)

    def add_result(
        self,
        batch: CommitBatch,
        served_by: ServedModel,
        prediction: Prediction,
        classified_at: datetime,
    ) -> None:
        """Add the run's result for the ticket. The run has its own epoch."""
        proved = served_by.model.manifest.thresholds.automate
        row = ReclassifiedTicket(self.ref, "done", prediction, classified_at, self.language, proved)
        batch.reclassified.append((self.entry, row))


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """Items that the model classifies in one call. It carries its model, so a model swap never splits a batch.

    `computed` is set as soon as the model has returned, before anything that may wait for a store.
    """

    served_by: ServedModel
    items: list[WorkItem]
    computed: threading.Event = field(default_factory=threading.Event)
