"""Turns entries into micro-batches: decode, route to a model, clean, look up earlier predictions, tokenize, plan."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from triagem.contracts.abstain import abstain_reason, unlearned_reason
from triagem.contracts.conversation import judge
from triagem.contracts.errors import UnreadableEntry
from triagem.contracts.language import message_language
from triagem.contracts.model import Model
from triagem.contracts.prediction import AbstainReason, Thresholds
from triagem.contracts.text import clean, digest
from triagem.contracts.ticket import Identity
from triagem.contracts.wire import StoredTicketRef, decode, decode_ref
from triagem.db import Database
from triagem.db.runs import pause
from triagem.db.runs.reclassification import ReclassifiedTicket, resolve_tickets
from triagem.db.tickets.messages import find_conversations
from triagem.db.tickets.window import look_up
from triagem.engine.language import all_language_probabilities
from triagem.engine.planner import plan
from triagem.inbox import Entry
from triagem.worker import metrics
from triagem.worker.batch import (
    Cause,
    CommitBatch,
    FailedEntry,
    MicroBatch,
    NewTicket,
    ServedModel,
    StoredTicket,
    WorkItem,
)
from triagem.worker.conversations import is_unchanged, split_messages, store_and_read
from triagem.worker.failures import PROOF, Retrier, run_isolating_failures, safe_reason
from triagem.worker.models import ModelManager, self_check


@dataclass(frozen=True, slots=True)
class RoutedEntries:
    """Items by model (`ready`), entries without a need for a model (`done`) or with an unloaded model (`waiting`)."""

    ready: list[tuple[ServedModel, list[WorkItem]]]
    done: CommitBatch = field(default_factory=CommitBatch)
    waiting: list[Entry] = field(default_factory=list)


class MicroBatchBuilder:
    """Builds micro-batches. `waiting` holds entries whose shadow model is still being loaded."""

    def __init__(
        self,
        database: Database,
        models: ModelManager,
        submit: Callable[[CommitBatch], None],
        retry: Retrier,
    ) -> None:
        self._database, self._models = database, models
        self._submit, self._retry = submit, retry
        self.waiting: list[Entry] = []

    def build(self, entries: list[Entry]) -> list[MicroBatch]:
        """Micro-batches, each for one model. Entries that need no model are submitted to the committer."""
        routed = self.route(entries)
        batches = self.prepare(routed)
        self.submit_done(routed)
        return batches

    def route(self, entries: list[Entry]) -> RoutedEntries:
        """Decode entries, route them to models and look up earlier predictions. Waits for Postgres in an outage."""
        tickets, refs, unreadable = decode_entries(entries)
        whole, messages = split_messages(tickets)
        routed = self._retry(partial(route_to_models, self._database, self._models, whole, refs))
        routed.done.dead.extend(unreadable)
        self.waiting += routed.waiting
        for served_by, items in routed.ready:
            items[:] = self._clean_and_look_up(routed.done, served_by, items)
        served_by, for_current = routed.ready[0]
        late = [item for item in for_current if isinstance(item, NewTicket) and item.is_message]
        if messages or late:
            conversations = store_and_read(self._database, self._retry, routed.done, messages + late)
            composed = self._clean_and_look_up(routed.done, served_by, conversations)
            routed.done.dropped.extend(item.entry for item in composed if is_unchanged(item))
            for_current[:] = [item for item in for_current if not item.is_message]
            for_current += [item for item in composed if not is_unchanged(item)]
        return routed

    def submit_unlabelled(self, entries: list[Entry]) -> list[Entry]:
        """Without a model: submit tickets to be stored without a result. Returns the entries that need a model.

        They belong to a run that started while they were fetched. This function needs no model library.
        """
        tickets, refs, unreadable = decode_entries(entries)
        batch = CommitBatch(dead=unreadable)
        whole, messages = split_messages(tickets, self._retry(partial(self._conversations, tickets)))
        composed = store_and_read(self._database, self._retry, batch, messages) if messages else []
        for item in [*whole, *composed]:
            try:
                item.digest = digest(clean_parts(item))
            except Exception as error:  # noqa: BLE001 - one text must not stop the others
                reason = f"cannot clean the text: {safe_reason(error)}"
                batch.dead.append(FailedEntry(item.entry, Cause.NOT_PREPARED, reason))
                continue
            if is_unchanged(item):
                batch.dropped.append(item.entry)
            else:
                item.add_unlabelled(batch)
        if batch != CommitBatch():
            self._submit(batch)
        return [entry for entry, _ in refs]

    def _conversations(self, tickets: Sequence[NewTicket]) -> frozenset[Identity]:
        with self._database.autocommit() as connection:
            return find_conversations(connection, {item.identity for item in tickets})

    def prepare(self, routed: RoutedEntries) -> list[MicroBatch]:
        """Tokenize routed entries and plan micro-batches. Waits for nothing: a solo marker may be set (INV-9)."""
        batches = []
        for served_by, items in routed.ready:
            ready = self._isolate(routed.done, served_by, items, partial(tokenize, model=served_by.model))
            sizes = [item.token_count for item in ready]
            limits = served_by.limits
            planned = plan(sizes, batch_size=limits.texts, batch_tokens=limits.tokens)
            batches += [MicroBatch(served_by, [ready[index] for index in batch]) for batch in planned]
        return batches

    def submit_done(self, routed: RoutedEntries) -> None:
        """Submit the entries that need no model. Waits while the committer's queue is full."""
        if routed.done != CommitBatch():
            self._submit(routed.done)

    def _clean_and_look_up(
        self, done: CommitBatch, served_by: ServedModel, items: Sequence[WorkItem]
    ) -> list[WorkItem]:
        work = partial(clean_and_look_up, model=served_by.model, database=self._database)
        return self._isolate(done, served_by, items, work)

    def _isolate(
        self,
        done: CommitBatch,
        served_by: ServedModel,
        items: Sequence[WorkItem],
        work: Callable[[Sequence[WorkItem]], Sequence[WorkItem]],
    ) -> list[WorkItem]:
        """The items for which `work` succeeds; the others become dead letters of `done`."""
        check = partial(self_check, served_by.model)
        prepared, failed = self._retry(partial(run_isolating_failures, items, work, check, PROOF))
        done.dead.extend(
            FailedEntry(item.entry, Cause.NOT_PREPARED, f"cannot clean or tokenize the text: {safe_reason(error)}")
            for item, error in failed
        )
        return [item for item, _ in prepared]


def decode_entries(
    entries: Sequence[Entry],
) -> tuple[list[NewTicket], list[tuple[Entry, StoredTicketRef]], list[FailedEntry]]:
    """Decode entries. Returns new tickets, references to stored tickets, and unreadable entries with the reason."""
    tickets: list[NewTicket] = []
    refs: list[tuple[Entry, StoredTicketRef]] = []
    unreadable: list[FailedEntry] = []
    for entry in entries:
        payload = entry.payload or b""
        try:
            if ref := decode_ref(payload):
                refs.append((entry, ref))
            else:
                ticket = decode(payload)
                tickets.append(NewTicket(entry, ticket.text, ticket=ticket))
        except UnreadableEntry as error:
            unreadable.append(FailedEntry(entry, Cause.UNREADABLE, str(error)))
    return tickets, refs, unreadable


def route_to_models(
    database: Database,
    models: ModelManager,
    tickets: Sequence[WorkItem],
    refs: Sequence[tuple[Entry, StoredTicketRef]],
) -> RoutedEntries:
    """Route new tickets to the current model, and stored tickets, loaded by one query, to the model of their run.

    A run that writes results uses the version that was current when it started; a shadow run uses any version. If
    another version has become current, entries of a run that writes results are acknowledged without a result,
    because the run is about to be cancelled (ops.reclassify).
    """
    current = models.current
    for_current = [*tickets]
    routed = RoutedEntries([(current, for_current)])
    for_shadows: dict[str, tuple[ServedModel, list[WorkItem]]] = {}
    resolved = resolve_tickets(database, [ref for _, ref in refs])
    for (entry, ref), stored in zip(refs, resolved, strict=True):
        if stored is None:
            routed.done.dropped.append(entry)
        elif stored.cached or stored.text is None:
            outcome, (prediction, made_at) = ("unchanged", stored.cached) if stored.cached else ("", (None, None))
            row = ReclassifiedTicket(
                ref, outcome, prediction, made_at, proved=current.model.manifest.thresholds.automate
            )
            routed.done.reclassified.append((entry, row))
        elif stored.version == current.model.manifest.version:
            for_current.append(StoredTicket(entry, stored.text, ref.digest, stored.conversation, ref=ref))
        elif not stored.shadow and stored.epoch < current.epoch:
            routed.done.dropped.append(entry)
        elif models.failed_to_load(stored.version):
            reason = f"a worker cannot load {stored.version}"
            pause(database, ref.run, reason)
            routed.done.dead.append(FailedEntry(entry, Cause.NO_MODEL, reason))
        elif shadow := models.shadow_model(stored.version):
            item = StoredTicket(entry, stored.text, ref.digest, stored.conversation, ref=ref)
            for_shadows.setdefault(stored.version, (shadow, []))[1].append(item)
        else:
            routed.waiting.append(entry)
    routed.ready.extend(for_shadows.values())
    return routed


def clean_and_look_up(items: Sequence[WorkItem], model: Model, database: Database) -> Sequence[WorkItem]:
    """Fill in cleaned texts, digest, language and this version's earlier prediction; find conversations."""
    learned = model.manifest.thresholds.languages, model.manifest.thresholds.other_language
    cleaned = [clean_parts(item) for item in items]
    for item, text, languages in zip(items, cleaned, all_language_probabilities(cleaned), strict=True):
        # A stored ticket keeps its digest even if cleaning returns another text now.
        item.digest = item.digest or digest(text)
        item.languages = languages
        item.language = message_language(languages, *learned)
    named = [(item, name) for item in items if (name := item.identity)]
    predictions, conversations = look_up(
        database, [(*name, item.digest) for item, name in named], model.manifest.version
    )
    for position, (item, _) in enumerate(named):
        item.cached = predictions.get(position)
        item.is_message = item.conversation is None and position in conversations
    return items


def clean_parts(item: WorkItem) -> str:
    """Fill in the parts to classify. Returns the whole cleaned text."""
    if item.conversation is None:
        cleaned = clean(item.text)
        item.parts = (cleaned,)
        item.abstains = abstain_reason(item.text, cleaned)
        return cleaned
    judged = judge(item.conversation.messages, item.conversation.on_reply)
    item.parts = judged.parts or ("",)  # the customer's messages were all deleted
    item.abstains = judged.abstains
    item.text = judged.text
    return judged.text


def tokenize(items: Sequence[WorkItem], model: Model) -> Sequence[WorkItem]:
    """Fill in tokens, except for texts that this version has already classified."""
    uncached = [item for item in items if item.cached is None]
    if not uncached:
        return items
    started = time.perf_counter()
    tokens = iter(model.tokenize([part for item in uncached for part in item.parts]))
    elapsed = time.perf_counter() - started
    metrics.TOKENIZE_SECONDS.observe(elapsed)
    thresholds = model.manifest.thresholds
    for item in uncached:
        item.tokens, item.tokenize_s = [next(tokens) for _ in item.parts], elapsed / len(uncached)
        item.abstains = item.abstains or _unlearned(item, thresholds)
    return items


def _unlearned(item: WorkItem, thresholds: Thresholds) -> AbstainReason | None:
    """The reason to abstain, if it applies to every part of a text."""
    reasons = [
        unlearned_reason(part, tokens, item.languages, thresholds)
        for part, tokens in zip(item.parts, item.tokens, strict=True)
    ]
    return None if None in reasons else reasons[0]
