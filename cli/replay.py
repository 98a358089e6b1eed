"""Dead letters back into the inbox: first put, then removed, so that whoever dies in between only delivers twice."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from contracts.errors import InboxFull
from contracts.ticket import Lane
from db import Database, dead
from db.dead import OpenLetter
from inbox import Inbox


@dataclass(frozen=True, slots=True)
class Replayed:
    """How many are back on their lanes, and the ids of those that had nothing to put, and that are gone."""

    replayed: int = 0
    empty: list[int] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)


def replay(
    database: Database,
    inbox: Inbox,
    *,
    ids: Sequence[int] | None = None,
    reason_contains: str = "",
    on_progress: Callable[[int], None] = lambda _: None,
) -> Replayed:
    """Put letters back on their lanes, oldest first; `None` for `ids` means all.

    A letter whose id is gone was replayed or dropped before. One without a payload stays: its entry had no field of
    ours, there is nothing to put.

    Raises:
        InboxFull: a lane has no room; what was put so far is removed from the letters, the rest stays.
    """
    done, seen, empty = 0, set[int](), []
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
    return Replayed(done, empty, sorted(set(ids or ()) - seen))


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
