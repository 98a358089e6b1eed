"""Claim checks of runs over stored tickets: their texts by one query, and which model each of them needs."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from triagem.contracts.ticket import Ticket
from triagem.contracts.wire import ClaimCheck
from triagem.db import Database
from triagem.db.rewrite import Checked, Reclassified, look_up
from triagem.db.runs import pause
from triagem.inbox import Entry
from triagem.worker.batch import Condemned, Done
from triagem.worker.causes import Cause
from triagem.worker.keeper import Keeper, Running


@dataclass(frozen=True, slots=True)
class Sorted:
    """What was taken, by the model that is to compute it; what needs none; and what waits for one to be loaded."""

    ready: list[tuple[Running, list[tuple[Entry, Ticket | Checked]]]]
    done: Done = field(default_factory=Done)
    waiting: list[Entry] = field(default_factory=list)


def sort(database: Database, keeper: Keeper, taken: Sequence[tuple[Entry, Ticket | ClaimCheck]]) -> Sorted:
    """Tickets go to the running model. A claim check goes to its run's: that one, or one beside it for a shadow run.

    A run that writes results is of the version that was current when it began. Where another is by now, its checks
    are settled without a word: the run is about to be cancelled (producer.reclassify).
    """
    running = keeper.running
    tickets: list[tuple[Entry, Ticket | Checked]] = []
    entries: list[Entry] = []
    checks: list[ClaimCheck] = []
    for entry, what in taken:
        if isinstance(what, Ticket):
            tickets.append((entry, what))
        else:
            entries.append(entry)
            checks.append(what)
    answer = Sorted([(running, tickets)])
    guests: dict[str, tuple[Running, list[tuple[Entry, Ticket | Checked]]]] = {}
    for entry, one in zip(entries, look_up(database, checks), strict=True):
        if one is None:
            answer.done.dropped.append(entry)
        elif one.known or one.words is None:
            outcome, known = ("unchanged", one.known) if one.known else ("", (None, None))
            answer.done.entries.append(entry)
            answer.done.rows.append(Reclassified(one.check, outcome, *known))
        elif one.version == running.model.version:
            tickets.append((entry, one))
        elif not one.shadow and one.epoch < running.epoch:
            answer.done.dropped.append(entry)
        elif keeper.cannot(one.version):
            why = f"a worker cannot load {one.version}"
            pause(database, one.check.run, why)
            answer.done.dead.append(Condemned(entry, Cause.NO_MODEL, why))
        elif guest := keeper.beside(one.version):
            guests.setdefault(one.version, (guest, []))[1].append((entry, one))
        else:
            answer.waiting.append(entry)
    answer.ready.extend(guests.values())
    return answer
