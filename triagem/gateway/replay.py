"""Dead letters back into the inbox: first put, then removed, so that whoever dies in between only delivers twice."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from triagem.contracts.errors import InboxFull
from triagem.contracts.ticket import Lane
from triagem.contracts.wire import encode
from triagem.db import Database, dead
from triagem.db.dead import WEBHOOK, OpenLetter
from triagem.inbox import Inbox
from triagem.producer.crm import Accepted, Crm, Unreadable, read


@dataclass(frozen=True, slots=True)
class Replayed:
    """How many are back on their lanes, and the ids of those that had nothing to put, that are gone, and of webhooks
    that can be read no better than when they came."""

    replayed: int = 0
    empty: list[int] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    unread: list[int] = field(default_factory=list)


def replay(
    database: Database,
    inbox: Inbox,
    *,
    ids: Sequence[int] | None = None,
    reason_contains: str = "",
    crm: Crm | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Replayed:
    """Put letters back on their lanes, oldest first; `None` for `ids` means all.

    A webhook is read again by its source in `crm`, as of when it came; one that still cannot be read whole stays.

    A letter whose id is gone was replayed or dropped before. One without a payload stays: its entry had no field of
    ours, there is nothing to put.

    Raises:
        InboxFull: a lane has no room; what was put so far is removed from the letters, the rest stays.
    """
    done, seen, empty, unread = 0, set[int](), [], list[int]()
    for page in dead.pages(database, ids=ids, reason_contains=reason_contains):
        seen.update(letter.id for letter in page)
        empty += [letter.id for letter in page if not letter.payload]
        for lane in Lane:
            waiting = [letter for letter in page if letter.lane == lane and letter.payload]
            while waiting:
                try:
                    put = _put_some(inbox, lane, waiting)
                except InboxFull as error:
                    raise InboxFull(f"{error}; {done:,} letters were replayed, the others stay") from None
                dead.remove(database, [letter.id for letter in put])
                waiting = waiting[len(put) :]
                done += len(put)
                on_progress(done)
        for letter in (one for one in page if one.lane.startswith(WEBHOOK)):
            if _read_again(inbox, letter, crm or Crm({})):
                dead.remove(database, [letter.id])
                done += 1
            else:
                unread.append(letter.id)
            on_progress(done)
    return Replayed(done, empty, sorted(set(ids or ()) - seen), unread)


def _read_again(inbox: Inbox, letter: OpenLetter, crm: Crm) -> bool:
    """Put what the webhook holds; whether that is all of it. Its sender was known when it came."""
    source = crm.sources.get(letter.lane.removeprefix(WEBHOOK))
    found = read(letter.payload, source, letter.died_at) if source else Unreadable("no such source any more")
    if isinstance(found, Accepted):
        inbox.put(Lane.LIVE, [encode(ticket) for ticket in found.tickets])
        return not found.unread
    return not isinstance(found, Unreadable)


def _put_some(inbox: Inbox, lane: Lane, letters: list[OpenLetter]) -> list[OpenLetter]:
    """Put the first letters, as many as there is room for, by halves; at least one, or InboxFull."""
    while True:
        try:
            inbox.put(lane, [letter.payload for letter in letters])
            return letters
        except InboxFull:
            if len(letters) == 1:
                raise
            letters = letters[: len(letters) // 2]
