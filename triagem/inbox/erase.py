"""What a customer wants forgotten: find and delete one ticket's entries, and rewrite the log that they stood in."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, cast

from redis import Redis
from redis.exceptions import NoPermissionError, ResponseError

from triagem.contracts.ticket import Identity, Lane
from triagem.contracts.wire import identity, is_check
from triagem.inbox.client import redis_errors
from triagem.inbox.stream import Entry, Inbox, entries_of, stream_key

_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Erased:
    """Entries that were deleted, those that do not say whose they are, and those of others that are still there."""

    entries: int
    unreadable: int
    left: int


def erase(inbox: Inbox, whose: Identity, on_page: Callable[[int], None] = lambda _: None) -> Erased:
    """Delete a ticket's entries in both lanes, waiting and in flight. `on_page` hears how many were looked at.

    Whoever holds one in flight goes on with it, and finds the ticket's tombstone when it is stored. So does a claim
    check, which holds no more of a ticket than its number: it is nobody's, and left.
    """
    found = unreadable = left = 0
    for page in _pages(inbox.redis):
        owners = [identity(entry.payload or b"") for entry in page]
        stored = sum(1 for entry in page if is_check(entry.payload or b""))
        ours = [entry for entry, owner in zip(page, owners, strict=True) if owner == whose]
        if ours:
            inbox.settle(ours)
        found += len(ours)
        unreadable += owners.count(None) - stored
        left += len(page) - len(ours)
        on_page(len(page))
    return Erased(found, unreadable, left)


def _pages(redis: Redis) -> Iterator[list[Entry]]:
    for lane in Lane:
        start = "-"
        while True:
            with redis_errors():
                rows = cast("list[Any]", redis.xrange(stream_key(lane), min=start, count=_PAGE))
            if not rows:
                break
            yield entries_of(lane, rows)
            start = f"({rows[-1][0].decode()}"


class LogRewrite(StrEnum):
    """What became of the wish to rewrite Redis' append-only file, in which deleted entries still stand."""

    STARTED = "started"
    BUSY = "busy"  # one that began before our deletion is still on its way
    OFF = "off"  # this Redis keeps no such file
    REFUSED = "refused"  # not allowed to us, as on managed servers


def rewrite_log(redis: Redis, *, patience_s: float = 10.0) -> LogRewrite:
    """Ask for a rewrite that begins after now. Raises InboxAway."""
    end = time.monotonic() + patience_s
    with redis_errors():
        while True:
            try:
                # Without such a file Redis would write one now, and of all texts that wait.
                if not redis.info("persistence").get("aof_enabled"):
                    return LogRewrite.OFF
                redis.bgrewriteaof()
                return LogRewrite.STARTED
            except (NoPermissionError, ResponseError) as error:
                if "in progress" not in str(error):
                    return LogRewrite.REFUSED
            if time.monotonic() > end:
                return LogRewrite.BUSY
            time.sleep(0.2)
