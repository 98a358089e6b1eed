"""Assigns each fetched entry to a model. Loads the stored tickets that runs refer to by one query."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from triagem.contracts.ticket import Ticket
from triagem.contracts.wire import StoredTicketRef
from triagem.db import Database
from triagem.db.reclassification import ReclassifiedTicket, ResolvedTicket, resolve_tickets
from triagem.db.runs import pause
from triagem.inbox import Entry
from triagem.worker.batch import CommitBatch, FailedEntry
from triagem.worker.causes import Cause
from triagem.worker.models import ModelManager, ServedModel


@dataclass(frozen=True, slots=True)
class RoutedEntries:
    """Entries by model (`ready`), without need of a model (`done`), and whose model is not loaded yet (`waiting`)."""

    ready: list[tuple[ServedModel, list[tuple[Entry, Ticket | ResolvedTicket]]]]
    done: CommitBatch = field(default_factory=CommitBatch)
    waiting: list[Entry] = field(default_factory=list)


def route_to_models(
    database: Database, models: ModelManager, entries: Sequence[tuple[Entry, Ticket | StoredTicketRef]]
) -> RoutedEntries:
    """Route tickets to the current model, and stored tickets to the model of their run.

    A run that writes results uses the version that was current when it started; a shadow run uses any version. If
    another version is current by now, entries of a writing run are acknowledged without a result: the run is about to
    be cancelled (producer.reclassify).
    """
    current = models.current
    tickets: list[tuple[Entry, Ticket | ResolvedTicket]] = []
    stored: list[tuple[Entry, StoredTicketRef]] = []
    for entry, content in entries:
        if isinstance(content, Ticket):
            tickets.append((entry, content))
        else:
            stored.append((entry, content))
    routed = RoutedEntries([(current, tickets)])
    shadows: dict[str, tuple[ServedModel, list[tuple[Entry, Ticket | ResolvedTicket]]]] = {}
    resolved = resolve_tickets(database, [ref for _, ref in stored])
    for (entry, _), ticket in zip(stored, resolved, strict=True):
        if ticket is None:
            routed.done.dropped.append(entry)
        elif ticket.cached or ticket.text is None:
            outcome, cached = ("unchanged", ticket.cached) if ticket.cached else ("", (None, None))
            routed.done.entries.append(entry)
            routed.done.rows.append(ReclassifiedTicket(ticket.ref, outcome, *cached))
        elif ticket.version == current.model.version:
            tickets.append((entry, ticket))
        elif not ticket.shadow and ticket.epoch < current.epoch:
            routed.done.dropped.append(entry)
        elif models.failed_to_load(ticket.version):
            reason = f"a worker cannot load {ticket.version}"
            pause(database, ticket.ref.run, reason)
            routed.done.dead.append(FailedEntry(entry, Cause.NO_MODEL, reason))
        elif shadow := models.shadow_model(ticket.version):
            shadows.setdefault(ticket.version, (shadow, []))[1].append((entry, ticket))
        else:
            routed.waiting.append(entry)
    routed.ready.extend(shadows.values())
    return routed
